"""`sam-label plan`: lists what of an input would be labelled, and what is left out and why."""

import json
import shlex
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs.options.command_options import OF_THE_PLACES, given_options
from jobs.options.given import Given
from jobs.plan_text import inventory_json, inventory_text
from jobs.progress import counted_steps
from pipeline.config import RunConfig
from pipeline.progress import silent_steps

if TYPE_CHECKING:
    from pipeline.output.dataset import Dataset

Inspect = Annotated[
    bool, typer.Option("--inspect", help="Read 200 of the images for types by content and for pixels.")
]
Duplicates = Annotated[
    bool,
    typer.Option(
        "--duplicates", help="Count images with equal bytes; reads each file whose MD5 is not in the listing."
    ),
]
Names = Annotated[
    Literal["taken", "left-out"] | None,
    typer.Option("--names", help="Print these names, one a line, and the counts on stderr."),
]
Hidden = Annotated[
    bool, typer.Option("--hidden", help="Look into hidden folders too, and count their files.")
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, or with --names one object per line.")
]


@given_options(RunConfig, only=OF_THE_PLACES)
def plan(
    given: Given,
    inspect: Inspect = False,
    duplicates: Duplicates = False,
    names: Names = None,
    hidden: Hidden = False,
    json_: Json = False,
) -> int:
    """List the images of INPUT that a run would label, and the files that it would leave out.

    Needs neither a model nor Ray, and writes nothing.
    """
    has_output = given.has("output")
    config = given.config(RunConfig, may_lack=("output",))
    from pipeline.inputs.inventory import inventory
    from pipeline.inputs.options import SourceOptions
    from pipeline.inputs.source import Source

    source = Source.of(config) if has_output else Source.at(config.input, SourceOptions.of(config))
    dataset = _dataset(source.refuse_overlap, config) if has_output else None
    source.sees_hidden = hidden
    # the names that are printed show how far it is
    with nullcontext(silent_steps) if names else counted_steps() as source.on_step:
        found = inventory(
            source,
            inspect,
            duplicates,
            take=lambda uri: _print_name(uri, "", json_) if names == "taken" else None,
            leave=lambda uri, why: _print_name(uri, why, json_) if names == "left-out" else None,
        )
    if json_ and not names:
        print(json.dumps(inventory_json(found, dataset)))
        return 0
    text = inventory_text(found, dataset)
    print(text, file=sys.stderr if names else sys.stdout)
    if found.images:
        output = config.output if has_output else "OUTPUT"
        print(
            f"next: sam-label run {shlex.quote(config.input)} {output} with the same options", file=sys.stderr
        )
    return 0


def _dataset(refuse_overlap: "Callable[..., None]", config: RunConfig) -> "Dataset | None":
    """The dataset that OUTPUT holds already. Raises: UsageError if OUTPUT is inside the input."""
    from pipeline.output.dataset import Dataset
    from pipeline.store.storage import Store

    store = Store.at(config.output, config.output_access)
    refuse_overlap(store.location)
    return Dataset.in_store_or_none(store)


def _print_name(uri: str, why: str, json_: bool) -> None:
    from pipeline.store.uri import redacted

    if json_:
        print(json.dumps({"uri": uri, **({"why": why} if why else {})}))
    else:
        print(f"{redacted(why)}\t{redacted(uri)}" if why else redacted(uri))
