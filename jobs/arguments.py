"""The arguments and options that several commands share."""

from typing import Annotated

import typer

Output = Annotated[
    str,
    typer.Argument(metavar="OUTPUT", help="Dataset that a run has written: a folder or a URL."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of the sample.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
JsonList = Annotated[bool, typer.Option("--json", help="Print the result as one JSON list.")]
