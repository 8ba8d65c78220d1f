"""`sam-label draw`: one image with its masks drawn over it."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.arguments import Json, Output
from jobs.wording import counted
from pipeline.errors import ImageError, SamLabelError, UsageError
from pipeline.store.uri import redacted

if TYPE_CHECKING:
    from pipeline.reading.record import Record

Named = Annotated[
    str, typer.Argument(metavar="IMAGE", help="Its image_id, uri, path or file name, or the end of its uri.")
]
File = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="New .png, .jpg or .webp file or URL to write; - is standard output. Default: NAME-masks.png.",
    ),
]
Where = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Draw only masks for which this holds: 'predicted_iou > 0.9'."),
]
Alpha = Annotated[
    float, typer.Option(metavar="X", min=0, max=1, help="Opacity of the colours; 0 leaves the outlines.")
]
Outline = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="N", help="Width of the outlines in pixels. Default: a 300th of the longer side."
    ),
]
Size = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Longer side of the picture in pixels. Default: the image's."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it exists.")]


def draw(
    output: Output,
    image: Named,
    out: File = None,
    where: Where = None,
    alpha: Alpha = 0.4,
    outline: Outline = None,
    size: Size = None,
    overwrite: Overwrite = False,
    json_: Json = False,
) -> int:
    """Draw the masks of one image over it, each in its own colour with an outline.

    Smaller masks lie on top of larger ones. An image that has changed since it was labelled is not drawn.
    """
    if out == "-" and sys.stdout.isatty():
        raise UsageError(
            "a picture cannot be shown in a terminal; name a file with -o, or redirect it: -o - > FILE"
        )
    if out == "-" and json_:
        raise UsageError("--json and -o - would both write to standard output; name a file with -o")
    from pipeline.export.where import parsed_where
    from pipeline.reading.dataset import Dataset
    from pipeline.reading.named import record_named
    from pipeline.report.overlay import draw as drawn
    from pipeline.report.picture import PictureFile, picture_bytes

    chosen = parsed_where(where) if where is not None else None
    dataset = Dataset.open(output)
    record = record_named(dataset, image)
    if not record.is_ok:
        raise UsageError(f"{record.uri} has no masks: labelling it failed ({record['error']})")
    file = None if out == "-" else PictureFile.at(out or ".", record, dataset, overwrite)
    shown = record if chosen is None else record.select(chosen(record.image_masks))
    try:
        picture_HW3 = drawn(shown, alpha=alpha, outline=outline)
    except ImageError as fault:
        raise SamLabelError(str(fault)) from fault
    if file is None:
        sys.stdout.buffer.write(picture_bytes(picture_HW3, size=size))
        return 0
    file.write(picture_HW3, size)
    picture = file.url.removeprefix("file://")
    if json_:
        print(json.dumps({"picture": picture, "masks": len(shown), "masks_of": len(record)}))
        return 0
    print(_masks(record, shown))
    print(f"picture: {redacted(picture)}")
    print(f"next: sam-label preview {output}", file=sys.stderr)
    return 0


def _masks(record: "Record", shown: "Record") -> str:
    """How many masks are drawn."""
    if len(shown) == len(record):
        return f"{counted(len(record), 'mask')} drawn"
    return f"{len(shown):,} of {counted(len(record), 'mask')} drawn"
