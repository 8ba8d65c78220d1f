"""What exports of a large dataset cost: seconds, bytes and peak memory of `sam-label export` per format.

The real writer makes the dataset, with masks drawn from a thousand ellipses. Usage:
bench_export.py [--images N] [--masks N] [--formats coco,sa1b] [--folder DIR]. Prints a table and JSON.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "stand_in"))

from drawn_masks import image_masks

from pipeline.images.decode import DecodedImage
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import ManifestRow, manifest_row
from pipeline.output.format.schema import SCHEMA, ok_row, table_of
from pipeline.output.shards import write_shards
from pipeline.output.sink import MAX_ROWS
from pipeline.output.writer import Listing, open_output
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

WIDTH, HEIGHT = 640, 480
NAMES = ["image_id", "uri", "etag"]
DRAWN = 1000  # ellipses; their RLE has about as many bytes as the RLE of SAM's masks
DEST = {"coco": "coco.json"}


@dataclass(frozen=True)
class Cost:
    """The cost of one export, which runs in a separate process."""

    form: str
    images: int
    masks: int
    seconds: float
    peak_mb: int
    written_mb: int


def bench_export(folder: Path, images: int, masks: int, forms: list[str]) -> list[Cost]:
    """The costs of each export of the dataset."""
    output = dataset_in(folder, images, masks)
    return [cost_of(output, folder / f"export-{form}" / DEST.get(form, ""), form) for form in forms]


def dataset_in(folder: Path, images: int, masks: int) -> Path:
    """Where the dataset is, which is made first if it does not exist."""
    output = folder / f"masks-{images}-{masks}"
    if not output.exists():
        # In a separate process: Linux counts the memory that a process has when it starts a child as the
        # child's.
        asked = (folder / "photos", output, images, masks)
        writer = multiprocessing.get_context("spawn").Process(target=write_dataset, args=asked)
        writer.start()
        writer.join()
    return output


def cost_of(output: Path, dest: Path, form: str) -> Cost:
    """Exports the dataset and measures it."""
    said, seconds, peak_mb = measured("export", output, dest, "--format", form)
    counts = said["counts"]
    return Cost(form, counts["images"], counts["masks"], seconds, peak_mb, counts["bytes"] >> 20)


def measured(*arguments: str | Path) -> tuple[dict[str, Any], float, int]:
    """What `sam-label` with these arguments says as JSON, its seconds, and its peak memory in MB."""
    command = [Path(sys.executable).with_name("sam-label"), *arguments, "--json"]
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    said = child.stdout.read() if child.stdout else b""
    _, status, used = os.wait4(child.pid, 0)
    seconds = round(time.monotonic() - began, 1)
    assert status == 0, said
    return json.loads(said), seconds, used.ru_maxrss >> 10


def write_dataset(photos: Path, output: Path, images: int, masks: int) -> None:
    """A dataset of one photo under many names, in shards as large as a long run's."""
    photos.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(photos / "0.jpg")
    labelled = labelled_rows(masks)  # the masks of one shard; all shards repeat them under their own names
    store = Store.at(str(output))
    identity = Identity("vit_t", "0" * 64, MaskOptions())
    with open_output(
        store, identity, Listing(Store.at(str(photos)).url, lambda: listing(photos, images))
    ) as run:
        names = pa.concat_tables(run.dataset.manifest()).select(NAMES)
        for task, start in enumerate(range(0, images, MAX_ROWS)):
            rows = names.slice(start, MAX_ROWS)
            for name in labelled.column_names[len(NAMES) :]:
                rows = rows.append_column(SCHEMA.field(name), labelled[name].slice(0, len(rows)))
            write_shards(store, f"{run.run}-{task:06d}", rows.cast(SCHEMA), run.sink().metadata)


def labelled_rows(masks: int) -> pa.Table:
    """As many rows as a shard has."""
    random, decoded = np.random.default_rng(0), DecodedImage(np.zeros(0), 1, 1)
    drawn = image_masks(ellipses(DRAWN), HEIGHT, WIDTH)
    image = dict.fromkeys(NAMES, "")
    return table_of(
        [ok_row(image, decoded, drawn.select(random.integers(0, DRAWN, masks))) for _ in range(MAX_ROWS)]
    )


def ellipses(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    y_HW, x_HW = np.mgrid[:HEIGHT, :WIDTH]
    places = random.uniform((0, 0, 5, 5), (HEIGHT, WIDTH, 100, 100), (count, 4))
    return [((y_HW - y) / height) ** 2 + ((x_HW - x) / width) ** 2 < 1 for y, x, height, width in places]


def listing(photos: Path, images: int) -> Iterator[ManifestRow]:
    etag = next(entry.etag for page in Store.at(str(photos)).list() for entry in page)
    for number in range(images):
        path = photos / f"{number}.jpg"
        if number:
            path.symlink_to("0.jpg")
        yield manifest_row(f"file://{photos.resolve()}/{number}.jpg", 1, etag)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--images", type=int, default=100_000)
    options.add_argument("--masks", type=int, default=100)
    options.add_argument("--formats", default="coco")
    options.add_argument("--folder", type=Path)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        costs = bench_export(folder, asked.images, asked.masks, asked.formats.split(","))
    for cost in costs:
        print(
            f"{cost.form:10} {cost.images:,} images, {cost.masks:,} masks: {cost.seconds} s, "
            f"{cost.peak_mb} MB at its peak, {cost.written_mb} MB written"
        )
    print(json.dumps([asdict(cost) for cost in costs]))


if __name__ == "__main__":
    main()
