"""`sam-label filter`: tighter thresholds over a dataset labelled with loose ones, without the model."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.options.command_options import configured_by
from jobs.wording import counted
from pipeline.config import FilterConfig

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@configured_by(FilterConfig, show_defaults=False)  # what is not given stays as it was
def filter_masks(config: FilterConfig, json_: Json = False) -> int:
    """Write to OUTPUT the masks of the dataset INPUT that a run with tighter options would have given.

    Options that are not named stay as INPUT was made with. INPUT has to be labelled with loose thresholds
    and, but for a higher --pred-iou-thresh alone, with --box-nms-thresh 1 and --crop-nms-thresh 1.
    """
    from pipeline.output.commands.filter import filtered_dataset

    found = filtered_dataset(config)
    if json_:
        print(json.dumps(asdict(found)))
        return 0
    print(f"{counted(found.images, 'image')}, {found.masks:,} of {counted(found.masks_before, 'mask')} kept")
    print(f"dataset: {config.output}")
    print(f"next: sam-label validate {config.output}")
    return 0
