"""What vectors of masks cost: seconds per image with and without them, and bytes per mask in the dataset.

Seconds are CPU time of all cores (`time.process_time`). Runs with and without vectors alternate, so that
other work on the machine matters little. Prints a table, then one line of JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "stand_in"))
from demo_dataset import PHOTOS, Upright

from pipeline.output.format.manifest import manifest_row
from pipeline.output.format.parquet import parquet_bytes
from pipeline.output.format.schema import ok_row, schema_of, table_of
from pipeline.similarity.vectors import cosines
from sam_core.decoding.mask_embedding import View, with_embeddings
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.masks.image_masks import ImageMasks
from sam_core.options import MaskOptions
from sam_core.weights.registry import load_sam

STEP_REPEATS = 20  # the step takes some milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--images", nargs="+", default=sorted(path.name for path in PHOTOS.glob("*.jpg")))
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    sam = load_sam().sam
    generators = {
        has: SamAutomaticMaskGenerator(sam, arguments.points_per_side, mask_embeddings=has)
        for has in (False, True)
    }
    generators[False].generate_masks(np.zeros((64, 64, 3), np.uint8))  # warm-up
    figures: dict[str, Any] = {}
    masks_of: list[ImageMasks] = []
    print(f"{'photo':24}{'masks':>7}{'without s':>11}{'with s':>9}{'the step, ms':>14}")
    for name in arguments.images:
        image = np.array(Image.open(PHOTOS / name).convert("RGB"))
        without_s, with_s, step_ms, masks = costs(generators, image)
        masks_of.append(masks)
        figures[name] = [len(masks), without_s, with_s, step_ms]
        print(f"{name:24}{len(masks):7}{without_s:11.2f}{with_s:9.2f}{step_ms:14.1f}")
    sizes = {has: dataset_bytes(masks_of, has) for has in (False, True)}
    every = sum(map(len, masks_of))
    print(f"bytes a mask: {sizes[False] / every:.0f} without, {sizes[True] / every:.0f} with ({every} masks)")
    vectors = np.concatenate([masks.embedding for masks in masks_of] * (1 + 100_000 // every))
    search_s, _ = timed(lambda: cosines(vectors, vectors[0]))
    print(f"cosines of {len(vectors):,} vectors with one: {search_s:.2f} s")
    print(json.dumps({"photos": figures, "bytes": sizes, "masks": every, "search_s": search_s}))


def costs(
    generators: dict[bool, SamAutomaticMaskGenerator], image: np.ndarray
) -> tuple[float, float, float, ImageMasks]:
    """Seconds of the image without and with vectors, milliseconds of their step alone, and the masks."""
    without_s, plain = timed(lambda: generators[False].generate_masks(image))
    with_s, masks = timed(lambda: generators[True].generate_masks(image))
    assert masks.counts == plain.counts
    height, width, _ = image.shape
    sam = generators[True].model
    view = View((0, 0, width, height), sam.encode(image), sam.image_encoder.img_size)
    step_s, _ = timed(lambda: [with_embeddings(plain, view) for _ in range(STEP_REPEATS)])
    return without_s, with_s, step_s * 1000 / STEP_REPEATS, masks


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of all cores, and the result."""
    start = time.process_time()
    answer = call()
    return time.process_time() - start, answer


def dataset_bytes(masks_of: list[ImageMasks], has_vectors: bool) -> int:
    """The size of a shard with these images."""
    rows = []
    for number, masks in enumerate(masks_of):
        kept = masks if has_vectors else replace(masks, embedding=None, image_embedding=None)
        rows.append(ok_row(manifest_row(f"file:///photos/{number}.jpg", 1, "1")._asdict(), Upright(), kept))
    table = table_of(rows, schema_of(MaskOptions(mask_embeddings=has_vectors)))
    return len(parquet_bytes(table, ["status", "error"]))


if __name__ == "__main__":
    main()
