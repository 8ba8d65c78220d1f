"""What `sam-label export` prints at its end: what was written, left out, and lost because of the format."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.wording import counted, size, tallied
from pipeline.export.counts import PLACELESS
from pipeline.export_config import ON_EARTH

if TYPE_CHECKING:
    from pipeline.export.counts import Counts
    from pipeline.export.export import Exported


def export_text(exported: "Exported", has_where: bool) -> str:
    """Counts, then everything that is not in the export."""
    counts = exported.counts
    written = f"{counted(counts.images, 'image')}, {counted(counts.masks, 'mask')}"
    files = f"{counted(counts.files, 'file')}, {size(counts.bytes)}" if counts.bytes else ""
    lines = [written + (f" in {files}" if files else "") + ("" if exported.is_new else "; done before")]
    if counts.failed:
        failed = sum(counts.failed.values())
        lines.append(f"{counted(failed, 'failed image')} left out: {tallied(counts.failed)}")
    if exported.unlabelled:
        lines.append(f"{counted(exported.unlabelled, 'image')} left out: not labelled yet")
    if exported.duplicates:
        lines.append(f"{counted(exported.duplicates, 'image')} left out: other images have the same bytes")
    if has_where and counts.unmatched:
        lines.append(f"{counted(counts.unmatched, 'image')} left out: no mask fits --where")
    if counts.unavailable:
        gone = counted(sum(counts.unavailable.values()), "image")
        reasons = tallied(counts.unavailable)
        lines.append(f"{gone} left out with all masks, because the images cannot be copied: {reasons}")
    if counts.turned:
        lines.append(f"{counted(counts.turned, 'image')} {_turned(exported)}")
    lines += _lost(counts)
    return "\n".join([*lines, f"exported to {exported.dest}"])


def _turned(exported: "Exported") -> str:
    if exported.images_as == "copy":
        return "rotated by EXIF: copied upright, as PNG"
    copy = "" if exported.format in ON_EARTH else ", or use --images copy"
    return f"rotated by EXIF: the masks are upright, so apply the rotation when you load the images{copy}"


def _lost(counts: "Counts") -> Iterator[str]:
    """What the format cannot hold, a line for each kind of loss."""

    def masks(kind: str) -> str:
        return counted(counts.lost[kind], "mask") if counts.lost[kind] else ""

    def share(kind: str) -> str:
        return f"{counts.lost[kind] / max(counts.lost['pixels'], 1):.2%} of all pixels"

    if lost := masks("masks that lose parts"):
        yield f"{lost} of several parts: the largest is kept, {share('pixels of lost parts')} lost"
    if lost := masks("masks with filled holes"):
        yield f"{lost} with holes: filled, {share('pixels of filled holes')} added"
    if lost := masks("masks without a pixel"):
        yield f"{lost} without a pixel left out"
    if lost := masks("masks without a place in degrees"):
        yield f"{lost} left out: their corners lie outside of the area of the image's coordinate system"
    if placeless := counts.lost[PLACELESS]:
        yield f"{counted(placeless, 'image')} left out: no transform or EPSG code, as GeoTIFFs have"
    if lost := masks("masks that smaller ones hide"):
        yield f"{lost} with no pixel of their own: smaller ones cover them"
