"""`sam-label compact`: many small shards become few that training reads well."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.wording import counted, size

Output = Annotated[str, typer.Argument(help="A dataset that `sam-label run` has written: a folder or a URL.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def compact(output: Output, json_: Json = False) -> int:
    """Put small shards together into few large ones; the rows stay what they are."""
    from pipeline.output.commands.compact import compact as put_together

    result = put_together(output)
    if json_:
        print(json.dumps(asdict(result)))
        return 0
    if result.shards == result.shards_before:
        print(f"nothing to put together: {counted(result.shards, 'shard')}, {size(result.bytes)}")
        return 0
    print(
        f"{counted(result.shards_before, 'shard')}, {size(result.bytes_before)}, became "
        f"{counted(result.shards, 'shard')}, {size(result.bytes)}"
    )
    print(f"next: sam-label validate {output}", file=sys.stderr)
    return 0
