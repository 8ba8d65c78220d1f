"""What exports of a large dataset cost: seconds, bytes and peak memory of `sam-label export`, form by form.

The dataset is made by the real writer, its masks drawn from a few hundred blobs. Usage:
bench_export.py [--images N] [--masks N] [--formats coco,sa1b] [--folder DIR]. Prints a table and JSON.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "stand_in"))

from labelled_photos import blobs, image_masks

from pipeline.images.decode import DecodedImage
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import ManifestRow, manifest_row, rows_of
from pipeline.output.format.schema import ok_row, table_of
from pipeline.output.shards import write_shards
from pipeline.output.sink import MAX_ROWS
from pipeline.output.writer import open_output
from pipeline.store.storage import Store
from sam_core.masks.image_masks import ImageMasks
from sam_core.options import MaskOptions

WIDTH, HEIGHT = 640, 480
BLOBS = 200
DEST = {"coco": "coco.json"}


@dataclass(frozen=True)
class Cost:
    """Of one export, a process of its own."""

    form: str
    images: int
    masks: int
    seconds: float
    peak_mb: int
    written_mb: int


def bench_export(folder: Path, images: int, masks: int, forms: list[str]) -> list[Cost]:
    """The costs, one after the other, of a dataset that is made first if it is not there."""
    output = folder / f"masks-{images}-{masks}"
    if not output.exists():
        write_dataset(folder / "photos", output, images, masks)
    return [cost_of(output, folder / f"export-{form}" / DEST.get(form, ""), form) for form in forms]


def cost_of(output: Path, dest: Path, form: str) -> Cost:
    """What the command itself takes."""
    command = [
        Path(sys.executable).with_name("sam-label"),
        "export",
        output,
        dest,
        "--format",
        form,
        "--json",
    ]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    said, _ = child.communicate()
    seconds = time.monotonic() - began
    assert child.returncode == 0, said
    assert before.ru_maxrss <= resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    counts = json.loads(said)["counts"]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10  # of the largest child so far
    return Cost(form, counts["images"], counts["masks"], round(seconds, 1), peak, counts["bytes"] >> 20)


def write_dataset(photos: Path, output: Path, images: int, masks: int) -> None:
    """A dataset of one photo under many names, in shards as large as a long run's."""
    photos.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(photos / "0.jpg")
    drawn = image_masks(blobs(0, BLOBS, HEIGHT, WIDTH), HEIGHT, WIDTH)
    store = Store.at(str(output))
    identity = Identity("vit_t", "0" * 64, MaskOptions())
    with open_output(store, identity, Store.at(str(photos)).url, lambda: listing(photos, images)) as run:
        for task, rows in enumerate(row_batches(run.dataset.manifest(), drawn, masks)):
            write_shards(store, f"{run.run}-{task:06d}", table_of(rows), run.sink().metadata)


def listing(photos: Path, images: int) -> Iterator[ManifestRow]:
    etag = next(entry.etag for page in Store.at(str(photos)).list() for entry in page)
    for number in range(images):
        path = photos / f"{number}.jpg"
        if not path.exists():
            path.hardlink_to(photos / "0.jpg")
        yield manifest_row(f"file://{path.resolve()}", 1, etag)


def row_batches(manifest, drawn: ImageMasks, masks: int) -> Iterator[list[dict]]:
    random, decoded = np.random.default_rng(0), DecodedImage(np.zeros(0), 1, 1)
    rows: list[dict] = []
    for image in rows_of(manifest):
        chosen = random.integers(0, len(drawn), masks)
        rows.append(ok_row(image._asdict(), decoded, drawn.select(chosen)))
        if len(rows) == MAX_ROWS:
            yield rows
            rows = []
    if rows:
        yield rows


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
