"""`sam-label compact` and `merge`: write the same rows into other files."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.arguments import Json, Output
from jobs.progress import counted_progress
from jobs.wording import counted, size

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="Datasets: folders or URLs.")]
Merged = Annotated[str, typer.Argument(metavar="OUTPUT", help="Dataset to write: a folder or a URL.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete the dataset at OUTPUT first.")]


def compact(output: Output, json_: Json = False) -> int:
    """Rewrite small shards as a few large ones; the rows stay the same."""
    from pipeline.output.commands.compact import compact as put_together

    with counted_progress("images") as progress:
        result = put_together(output, progress)
    if json_:
        print(json.dumps(asdict(result)))
        return 0
    if result.shards == result.shards_before:
        print(f"nothing to compact: {counted(result.shards, 'shard')}, {size(result.bytes)}")
        return 0
    print(
        f"{counted(result.shards_before, 'shard')}, {size(result.bytes_before)}, became "
        f"{counted(result.shards, 'shard')}, {size(result.bytes)}"
    )
    print(f"next: sam-label validate {output}", file=sys.stderr)
    return 0


def merge(inputs: Inputs, output: Merged, overwrite: Overwrite = False, json_: Json = False) -> int:
    """Write the rows of several datasets to a new one.

    The same model and options must have made all of them.

    If several hold an image, the row of the dataset named first is used.
    """
    from pipeline.output.commands.merge import merge as merged

    with counted_progress("images") as progress:
        result = merged(inputs, output, overwrite, progress)
    if json_:
        print(json.dumps(asdict(result)))
        return 0
    print(f"{counted(result.rows, 'image')}, {counted(result.masks, 'mask')}")
    if result.held_twice:
        print(f"{counted(result.held_twice, 'row')} left out: a dataset named earlier has the image")
    if result.images > result.rows:
        print(f"{counted(result.images - result.rows, 'image')} not labelled yet")
    print(f"dataset: {output}")
    print(f"next: sam-label compact {output}", file=sys.stderr)
    return 0
