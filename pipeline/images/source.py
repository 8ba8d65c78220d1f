"""Which files of the input are images to label: listed once, page by page.

What an image is, its content decides; but whoever points at a folder does not mean the notes and
annotations beside the photos. So a name that says image is taken at its word (a text file named .jpg
becomes a failed row: it is reported, not lost), a name that says something else is left out, and any other
file is asked for its first bytes. Hidden files and folders are not looked at, nor counted. A link to a
folder is not followed: its target is listed where it is.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import StoreError, UsageError
from pipeline.images.image_format import HEADER_BYTES, image_format
from pipeline.output.format.manifest import ManifestRow, manifest_row
from pipeline.store.objects import Entry
from pipeline.store.storage import Store
from pipeline.store.uri import Location, location, redacted

IMAGE_NAME = re.compile(
    r"\.(jpg|jpeg|jpe|jfif|png|apng|webp|tif|tiff|bmp|dib|gif|pbm|pgm|ppm|pnm"
    r"|heic|heics|heif|heifs|avif|avifs|jp2|jxl|psd|eps)$",
    re.IGNORECASE,
)
OTHER_NAME = re.compile(
    r"""\.(txt|md|rst|log|html|htm|css|js|py|ipynb|sh|pdf|doc|docx|xls|xlsx
    |json|jsonl|ndjson|xml|csv|tsv|yaml|yml|toml|ini|cfg|aae|xmp
    |npy|npz|mat|pt|pth|safetensors|onnx|parquet|arrow|feather|h5|hdf5|pkl|db|sqlite
    |zip|tar|gz|tgz|bz2|xz|7z|rar|mp4|mov|avi|mkv|webm|mp3|wav)$""",
    re.IGNORECASE | re.VERBOSE,
)
PEEKS_AT_ONCE = 32  # waiting on the network, not on a core


@dataclass
class Source:
    """An input that exists. `skipped` counts the files that `rows` has left out so far."""

    url: str
    store: Store
    one_image: Entry | None  # where the input is a single file
    skipped: int = 0

    @classmethod
    def at(cls, url: str) -> "Source":
        """The input that a path or URL names. Raises: UsageError where there is none, StoreError."""
        store = Store.at(url)
        whole, name = Store.of_uri(store.url)
        one_image = whole.info(name) if name else None
        if one_image is not None:
            return cls(url, whole, one_image)
        if store.is_local and not Path(store.location.root or "/").is_dir():
            raise UsageError(f"there is no file or folder {url}; name one that holds images")
        return cls(url, store, None)

    @property
    def location(self) -> Location:
        """The place that the input names: the folder or prefix, or the single file itself."""
        return location(self.url)

    @property
    def root(self) -> str | None:
        """The folder on disk that no image may leave; None for a store, or a file named itself."""
        return self.store.location.root or "/" if self.store.is_local and self.one_image is None else None

    def rows(self) -> Iterator[ManifestRow]:
        """The images in listing order. Raises: UsageError where there is none, StoreError."""
        found = False
        for entry in self._images():
            found = True
            yield manifest_row(self.store.uri(entry.name), entry.size, entry.etag)
        if not found:
            left_out = f" ({self.skipped} other files)" if self.skipped else ""
            raise UsageError(
                f"no image was found in {redacted(self.url)}{left_out}; name a folder that holds images"
            )

    def require_images(self) -> None:
        """Raises UsageError where the input holds no image."""
        next(Source(self.url, self.store, self.one_image).rows())

    def _images(self) -> Iterator[Entry]:
        if self.one_image is not None:
            yield self.one_image
            return
        with ThreadPoolExecutor(PEEKS_AT_ONCE) as threads:
            for page in self.store.list(hidden=False):
                for entry, wanted in zip(page, threads.map(self._is_wanted, page), strict=True):
                    self.skipped += not wanted
                    if wanted:
                        yield entry

    def _is_wanted(self, entry: Entry) -> bool:
        if IMAGE_NAME.search(entry.name):
            return True
        if OTHER_NAME.search(entry.name):
            return False
        try:
            return image_format(self.store.read_range(entry.name, 0, HEADER_BYTES)) is not None
        except StoreError:
            return True  # it cannot be read: that is for its row to say, not for a listing to hide
