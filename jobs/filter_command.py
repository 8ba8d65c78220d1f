"""`sam-label filter`: tighter thresholds over a dataset labelled with loose ones, without the model."""

import json
import sys
from dataclasses import asdict

from jobs.arguments import Json
from jobs.options.command_options import configured_by
from jobs.progress import counted_progress
from jobs.wording import counted
from pipeline.config import FilterConfig


# Without defaults: an option that is not given stays as it was.
@configured_by(FilterConfig, show_defaults=False)
def filter_masks(config: FilterConfig, json_: Json = False) -> int:
    """Write the masks of a dataset that a run with tighter options would give.

    Options that are not given stay as they were for INPUT. INPUT has to be labelled with loose thresholds and
    with --box-nms-thresh 1 and --crop-nms-thresh 1, unless only a higher --pred-iou-thresh is asked for.
    """
    from pipeline.output.commands.filter import filtered_dataset

    with counted_progress("images") as progress:
        filtered = filtered_dataset(config, progress)
    if json_:
        print(json.dumps(asdict(filtered)))
        return 0
    masks = f"{filtered.masks:,} of {counted(filtered.masks_before, 'mask')}"
    print(f"{counted(filtered.images, 'image')}, {masks} kept")
    print(f"dataset: {config.output}")
    print(f"next: sam-label validate {config.output}", file=sys.stderr)
    return 0
