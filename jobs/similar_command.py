"""`sam-label similar`: finds what in a dataset is most like one of its masks or images."""

import json
import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.arguments import Json, Output
from jobs.progress import counted_progress
from jobs.wording import counted
from pipeline.store.uri import redacted

if TYPE_CHECKING:
    from pipeline.similarity.similar import Similar

Image = Annotated[
    str, typer.Option("--image", metavar="IMAGE", help="An image_id, a uri, a path, or the end of one.")
]
Mask = Annotated[
    int | None,
    typer.Option(
        "--mask", metavar="N", help="Index of one of its masks, from 0. Without it, images are compared."
    ),
]
Top = Annotated[int, typer.Option("--top", metavar="K", help="How many to show.")]


def similar(output: Output, image: Image, mask: Mask = None, top: Top = 10, json_: Json = False) -> int:
    """Show the masks most similar to one of IMAGE's, or the images most similar to it.

    OUTPUT has to be labelled with --mask-embeddings. The most similar come first; 1 is the highest score.
    """
    from pipeline.similarity.similar import similar as most_similar

    with counted_progress("images") as progress:
        found = most_similar(output, image, mask, top, progress)
    print(json.dumps(asdict(found)) if json_ else _text(found))
    if found.nearest and not json_:
        first = found.nearest[0]
        print(f"next: sam-label draw {shlex.quote(output)} {redacted(first.image_id)}", file=sys.stderr)
    return 0


def _text(found: "Similar") -> str:
    """A line for each: similarity, mask, uri."""
    kind = "image" if found.mask is None else "mask"
    lines = [
        f"{one.similarity:.4f}  "
        + (f"mask {one.mask:<4} " if one.mask is not None else "")
        + redacted(one.uri)
        for one in found.nearest
    ]
    return "\n".join([*lines, f"of {counted(found.compared, f'other {kind}')}"])
