"""Rates of reading: decoding against pycocotools, records and masks from a disk and a store, bytes per mask.

    python tests/bench/bench_reading.py [IMAGES]

The masks are the recorded masks of the sample photos, also enlarged to the size of SA-1B's photos; the
dataset of IMAGES rows (4,000) repeats them. Decoding is timed in CPU seconds of one core, everything else by
the clock. The last line is JSON.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch.utils.data  # noqa: F401  # so that the first loader does not wait for it
from pycocotools import mask as coco

sys.path.insert(0, str(Path(__file__).parents[1] / "stand_in"))
from demo_dataset import PHOTOS, Upright, recorded_masks
from object_stores import login_at, new_bucket, seaweedfs_server

from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import manifest_row
from pipeline.output.format.schema import ok_row, table_of
from pipeline.output.shards import write_shards
from pipeline.output.writer import Listing, open_output
from pipeline.reading.dataset import Dataset
from pipeline.store.storage import Store
from sam_core.masks.decode import decoded_masks, drawn_labels, reduced_masks
from sam_core.masks.image_masks import ImageMasks
from sam_core.options import MaskOptions

LARGE = (1500, 2250)  # height and width of SA-1B's photos
ROWS_A_SHARD = 1000
SAMPLES = 400  # of the passes that decode


def main(images: int) -> None:
    """Measures and prints everything."""
    figures: dict[str, Any] = {"images": images, **decoding(), **sizes()}
    with tempfile.TemporaryDirectory() as folder:
        write_many(f"{folder}/masks", images)
        figures["disk"] = rates(f"{folder}/masks")
        (Path(folder) / "store").mkdir()
        with seaweedfs_server(Path(folder) / "store") as endpoint:
            os.environ.update(login_at(endpoint))
            output = f"{new_bucket()}/masks"
            write_many(output, images)
            figures["s3"] = rates(output)
    print(json.dumps(figures))


def decoding() -> dict[str, Any]:
    """Milliseconds per mask for each way to decode, on one core, the best of five."""
    masks = [recorded_masks(photo.stem) for photo in sorted(PHOTOS.glob("*.jpg"))]
    height, width = LARGE
    large = [enlarged(image.mask(index)) for image in masks for index in range(0, len(image), 3)]
    counts = [coco.encode(np.asfortranarray(mask_HW.astype(np.uint8)))["counts"] for mask_HW in large]
    size = {"size": [height, width]}
    out_NHW = np.zeros((len(counts), height, width), np.bool_)
    order = np.argsort([-mask_HW.sum() for mask_HW in large])

    def by_pycocotools() -> list[Any]:
        return [coco.decode({**size, "counts": one}) for one in counts]

    ways: dict[str, Callable[[], Any]] = {
        "pycocotools, one after the other": by_pycocotools,
        "pycocotools, then bool [N, H, W]": lambda: np.stack(by_pycocotools()).astype(np.bool_),
        "ours, one after the other": lambda: [decoded_masks([one], height, width) for one in counts],
        "ours, bool [N, H, W]": lambda: decoded_masks(counts, height, width),
        "ours, into an array that is there": lambda: decoded_masks(counts, height, width, out_NHW=out_NHW),
        "ours, a window of 512 x 512": lambda: decoded_masks(counts, height, width, (800, 500, 1312, 1012)),
        "ours, at 256 x 256": lambda: reduced_masks(counts, height, width, (256, 256)),
        "ours, label map": lambda: drawn_labels(counts, order, height, width),
    }
    found = {name: best_s(way) / len(counts) * 1000 for name, way in ways.items()}
    base = found["pycocotools, one after the other"]
    print(f"{len(counts)} masks of {height} x {width}, ms a mask")
    for name, ms in found.items():
        print(f"  {name:36} {ms:8.3f}  {base / ms:6.1f} x")
    return {"decode_ms": {name: round(ms, 4) for name, ms in found.items()}}


def sizes() -> dict[str, Any]:
    """Bytes per mask of the same masks, as a dataset and as SA-1B's JSON."""
    masks = {photo.stem: recorded_masks(photo.stem) for photo in sorted(PHOTOS.glob("*.jpg"))}
    as_json = sum(len(json.dumps(sa1b(name, image))) for name, image in masks.items())
    count = sum(len(image) for image in masks.values())
    with tempfile.TemporaryDirectory() as folder:
        write_many(folder, len(masks))
        shards = sum(path.stat().st_size for path in (Path(folder) / "data").iterdir())
    print(f"bytes a mask: {shards / count:.0f} in the dataset, {as_json / count:.0f} as SA-1B's JSON")
    return {"bytes_a_mask": round(shards / count), "json_bytes_a_mask": round(as_json / count)}


def rates(output: str) -> dict[str, Any]:
    """Records and masks per second, for whole passes in one process."""
    dataset = Dataset.open(output)
    started = time.perf_counter()
    masks = sum(len(record.counts) for record in dataset)
    read_s = time.perf_counter() - started
    started = time.perf_counter()
    small = sum(len(record.masks((64, 64))) for record in islice(dataset, SAMPLES))
    small_s = time.perf_counter() - started
    started = time.perf_counter()
    full = sum(len(record.masks()) for record in islice(dataset, SAMPLES))
    full_s = time.perf_counter() - started
    started = time.perf_counter()
    loader = dataset.to_torch(shuffle=True, transform=lambda record: record.masks((64, 64)).sum()).loader(16)
    given = sum(len(batch) for batch in loader)
    torch_s = time.perf_counter() - started
    found = {
        "records/s": len(dataset) / read_s,
        "run lengths of masks/s": masks / read_s,
        "masks/s at 64 x 64": small / small_s,
        "masks/s at full size": full / full_s,
        "shuffled samples/s, masks at 64 x 64": given / torch_s,
    }
    print(f"{len(dataset)} records, {masks} masks at {dataset.url}")
    for name, rate in found.items():
        print(f"  {name:40} {rate:10.0f}")
    return {name: round(rate) for name, rate in found.items()}


def write_many(output: str, images: int) -> None:
    """Writes a dataset of `images` rows with the real output protocol."""
    photos = [recorded_masks(photo.stem) for photo in sorted(PHOTOS.glob("*.jpg"))]
    store, listed = (
        Store.at(output),
        [manifest_row(f"file:///photos/{n:07d}.jpg", 1, "1") for n in range(images)],
    )
    identity = Identity("vit_t", "0" * 64, MaskOptions())
    with open_output(store, identity, Listing("file:///photos", lambda: listed)) as run:
        for task, start in enumerate(range(0, images, ROWS_A_SHARD)):
            rows = [
                ok_row(row._asdict(), Upright(), photos[number % len(photos)])
                for number, row in enumerate(listed[start : start + ROWS_A_SHARD], start)
            ]
            write_shards(run.store, f"{run.run}-{task:06d}", table_of(rows), run.sink().metadata)


def enlarged(mask_HW: np.ndarray) -> np.ndarray:
    """The mask at the size of SA-1B's photos."""
    rows, columns = (np.arange(side) * old // side for side, old in zip(LARGE, mask_HW.shape, strict=True))
    return mask_HW[rows][:, columns]


def sa1b(name: str, masks: ImageMasks) -> dict[str, Any]:
    """The content of SA-1B's file of an image."""
    about = {"image_id": 1, "width": masks.width, "height": masks.height, "file_name": f"{name}.jpg"}
    records = [{"id": number, **record} for number, record in enumerate(masks.records("coco_rle"))]
    return {"image": about, "annotations": records}


def best_s(way: Callable[[], Any]) -> float:
    times = []
    for _ in range(5):
        started = time.process_time()
        way()
        times.append(time.process_time() - started)
    return min(times)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
