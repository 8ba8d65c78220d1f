"""`sam-label stats`: shows what is in a dataset, as figures and histograms."""

import json
import shutil
import sys
from typing import Annotated

import typer

from jobs.arguments import Json, Output, Seed
from jobs.progress import counted_progress
from jobs.stats_text import Page, stats_next, stats_text
from jobs.status_text import status_next

Sampled = Annotated[
    int,
    typer.Option(
        "--sample", metavar="N", min=0, help="Images in the sample for coverage, overlap and nesting."
    ),
]


def stats(output: Output, sample: Sampled = 1000, seed: Seed = 0, json_: Json = False) -> int:
    """Show figures of the masks: areas, scores, coverage, overlap, duplicates; also during a run.

    Figures that columns hold are of all images; those that need the masks themselves are of a sample.
    """
    from pipeline.output.commands.status import status
    from pipeline.statistics.statistics import statistics

    with counted_progress("images") as progress:
        figures = statistics(output, sample, seed, progress)
    if json_:
        print(json.dumps(figures.as_json()))
        return 0
    print(stats_text(figures, _page()))
    state = status(output)
    is_whole = not (state.is_written or state.left)
    print(f"next: {stats_next(figures, output) if is_whole else status_next(state, output)}", file=sys.stderr)
    return 0


def _page() -> Page:
    """A page as wide as the terminal, 80 columns elsewhere; with blocks if the encoding has them."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
    try:
        "█▏".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return Page(width, has_blocks=False)
    return Page(width)
