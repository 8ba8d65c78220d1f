"""`sam-label bench`: how long an image takes on this machine, and what a whole run would take."""

import json
from typing import Annotated

import typer

from jobs.arguments import Json
from jobs.bench_text import bench_figures, bench_text
from jobs.options.command_options import configured_by
from pipeline.config import RunConfig

Images = Annotated[
    int, typer.Option("--images", metavar="N", min=1, max=1000, help="How many images to try.")
]


@configured_by(RunConfig)
def bench(config: RunConfig, images: Images = 8, json_: Json = False) -> int:
    """Label a few images of INPUT without writing any, and estimate a run from them.

    Accepts the options of `run`, and estimates the run that they would start.
    """
    from pipeline.rates.estimate import estimate

    result = estimate(config, images, config.seed)
    print(json.dumps(bench_figures(result)) if json_ else bench_text(result, config.output))
    return 0
