"""A folder of files that a run may meet: odd names, files that are not images, links, files to leave out."""

from pathlib import Path

from PIL import Image
from stand_in_generator import photo

# without the ones with odd names; labelers warn about every second one
PHOTOS = 20
# images that can be labelled; five more cannot
LABELLED = 30
ODD_NAMES = ["a b.png", "100%.png", "x#y.png", "[1]*?.png", "line\nbreak.png"]
ODD_NAMES += ["\u00fc.png", "u\u0308.png", "..png"]


def odd_files(folder: Path) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    for number in range(PHOTOS):
        poison = "warn" if number % 2 == 0 else None
        (folder / f"{number:04d}.png").write_bytes(photo(number, poison=poison))
    for number, name in enumerate(ODD_NAMES):
        (folder / "deep" / "er" / f"_{name}").write_bytes(photo(100 + number))
    (folder / "caf\udce9.png").write_bytes(photo(200))  # the byte E9, which is not UTF-8
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(folder / "turned.jpg", exif=exif)
    (folder / "text.jpg").write_text("<html>not found</html>")
    (folder / "empty.jpg").touch()
    (folder / "cut.png").write_bytes(photo(7)[:900])
    (folder / "heic.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (folder / "link.png").symlink_to("/etc/hostname")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    (folder / "notes.txt").write_text("left out")


def warned_of(folder: Path) -> set[str]:
    """The URIs of the images that labelers warn about."""
    return {(folder / f"{number:04d}.png").as_uri() for number in range(0, PHOTOS, 2)}
