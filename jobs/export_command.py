"""`sam-label export`: writes a dataset in the form that another tool reads."""

import json
import sys

from jobs.arguments import Json
from jobs.export_text import export_text
from jobs.options.command_options import configured_by
from jobs.progress import counted_progress
from pipeline.export_config import ExportConfig


@configured_by(ExportConfig)
def export(config: ExportConfig, json_: Json = False) -> int:
    """Write the dataset OUTPUT to DEST in the format of another tool.

    Failed images are left out. The dataset is not changed. The same command continues an interrupted export.
    """
    from pipeline.export.export import exported

    with counted_progress("images") as progress:
        result = exported(config, progress)
    if json_:
        print(json.dumps({**vars(result), "counts": result.counts.as_json()}))
        return 0
    print(export_text(result, bool(config.where)))
    if result.counts.images:
        print(f"next: {_NEXT[config.format].replace('DEST', config.dest)}", file=sys.stderr)
    return 0


_NEXT = {
    "coco": "load it with pycocotools, CVAT or FiftyOne (docs/export.md)",
    "sa1b": "read it as SA-1B (docs/export.md)",
    "yolo": "yolo segment train data=DEST/data.yaml (docs/export.md)",
    "png": "read masks/*.png; a pixel's value is its mask's in tables/*.csv (docs/export.md)",
    "webdataset": "webdataset.WebDataset over the .tar files below DEST (docs/export.md)",
    "geojson": "open the .geojson files below DEST in QGIS or GeoPandas (docs/export.md)",
    "geopackage": "open DEST in QGIS or GeoPandas (docs/export.md)",
    "lance": "lance.dataset(DEST) (docs/export.md)",
}
