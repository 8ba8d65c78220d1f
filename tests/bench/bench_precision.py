"""How well a lossy precision agrees with float32 on the sample photos; works on a CPU too, but slower.

Prints a sentence and, as the last line, JSON.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from agreement import agreement
from PIL import Image

from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.weights.registry import load_sam

PHOTOS = Path(__file__).parents[2] / "jobs" / "demo" / "photos"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", nargs="+", default=["coffee.jpg", "coins.jpg"])
    parser.add_argument("--points-per-side", type=int, default=6, help="a coarse grid: a CPU is slow at this")
    parser.add_argument("--precision", default="float16", choices=["float16", "bfloat16"])
    parser.add_argument("--match-iou", type=float, default=0.99)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--checkpoint", help="weights; the bundled ones if not given")
    arguments = parser.parse_args()
    sam = load_sam(arguments.checkpoint, arguments.device).sam
    photos = [np.array(Image.open(PHOTOS / name).convert("RGB")) for name in arguments.images]
    masks = {
        precision: SamAutomaticMaskGenerator(
            sam, arguments.points_per_side, precision=precision
        ).generate_batch(photos)
        for precision in ("float32", arguments.precision)
    }
    agreed = agreement(masks[arguments.precision], masks["float32"], arguments.match_iou)
    print(
        f"{arguments.precision} against float32, {len(photos)} photos, "
        f"{arguments.points_per_side} points a side: {agreed}"
    )
    print(json.dumps({"images": arguments.images, "device": arguments.device, **asdict(agreed)}))


if __name__ == "__main__":
    main()
