"""`sam-label preview`: writes a page that shows a dataset's masks over its photos."""

import json
import sys
import webbrowser
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.arguments import Json, Output, Seed
from jobs.progress import counted_progress
from jobs.wording import counted, size
from pipeline.errors import UsageError

MOST_IMAGES = 500  # they share the page's 15 MB, and more of them would be too small to judge

File = Annotated[
    str | None,
    typer.Option(
        "--file",
        "-o",
        metavar="FILE",
        help="Where to write the page: a file or an s3:// object. Default: OUTPUT/report.html.",
    ),
]
Compare = Annotated[
    str | None,
    typer.Option(
        "--compare",
        metavar="OTHER",
        help="Earlier dataset of the same images; the page shows which masks appear, vanish or change.",
    ),
]
Images = Annotated[
    int, typer.Option("--images", metavar="N", min=1, max=MOST_IMAGES, help="Show at most this many images.")
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def preview(
    output: Output,
    file: File = None,
    compare: Compare = None,
    images: Images = 60,
    seed: Seed = 0,
    open_: Open = False,
    json_: Json = False,
) -> int:
    """Write a page that shows the masks: of the best, worst, random and failed images.

    The page is one file that needs no network. Of a large dataset it shows a sample.
    """
    from pipeline.report.destination import Destination
    from pipeline.report.report import Preview, written_report

    path = Destination.of(output, file).path
    if open_ and path is None:
        raise UsageError("--open needs a page on this machine; name a local file with -o")
    with counted_progress("images") as progress:
        report = written_report(Preview(output, file, compare, images, seed), progress)
    if open_ and path is not None and not webbrowser.open(path.as_uri()):
        print("no browser was found on this machine; open the page in one of yours", file=sys.stderr)
    if json_:
        print(json.dumps(asdict(report)))
        return 0
    shown = f"{report.images:,} of {counted(report.images_of, 'image')}"
    print(f"{shown} shown, with {counted(report.masks, 'mask')}, in {size(report.bytes)}")
    if report.unreadable:
        photos = counted(report.unreadable, "photo")
        print(f"{photos} could not be fetched; their masks are shown on a plain background")
    print(f"report: {report.report}")
    print("next: open it in a browser" if not open_ else f"next: sam-label status {output}", file=sys.stderr)
    return 0
