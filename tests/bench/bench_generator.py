"""Our mask generation against the original: one process, the same weights, the same photos, both complete.

The original is SamAutomaticMaskGenerator of the package segment-anything 1.0 with its own prompt encoder and
mask decoder. It has no TinyViT and uses ours, so both encoders are equally fast and the ratio is smaller than
with its own encoder. Prints a table, then one line of JSON.
"""

import argparse
import json
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "parity" / "stand_in"))  # torchvision, if there is none

from sam_core.decoding.crop_decoder import crop_decoder
from sam_core.decoding.crop_frame import CropFrame
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.masks.crops import point_grid
from sam_core.masks.nms import box_iou, kept_by_nms
from sam_core.masks.selection import best_first, encoded_masks, is_cut_off
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions
from sam_core.weights.registry import load_sam

PHOTOS = Path(__file__).parents[2] / "jobs" / "demo" / "photos"
STAGES = ("encode", "decode", "filter", "nms", "rle")
# A prompt of SA's decoder, multiply-adds times two: 1124 M in two layers, 276 M attention, 403 M upscaling,
# 8 M masks.
ORIGINAL_FLOP = 2 * 1811e6
# One prompt at one position of the embedding, as the kernel computes it (infra/adr/0005): 5 k in the first
# attention, 32 k and 70 k in the two layers, 112 k upscaling. Positions of the padding are skipped.
KERNEL_FLOP = 219e3


def main() -> None:
    arguments = parsed_arguments()
    torch.set_grad_enabled(False)
    sam = load_sam().sam
    photos = {name: np.array(Image.open(PHOTOS / name).convert("RGB")) for name in arguments.images}
    side = arguments.points_per_side
    peak_gflops = matrix_product_gflops()
    print(
        f"{torch.get_num_threads()} threads, matrix product {peak_gflops:.0f} GFLOP/s, {side} x {side} points"
    )

    ours = SamAutomaticMaskGenerator(sam, side, output_mode="coco_rle")
    ours.generate(next(iter(photos.values())))  # warm-up
    our_s = {
        name: median_s(lambda image=image: ours.generate(image), arguments.repeats)
        for name, image in photos.items()
    }
    stages_s = {name: stage_seconds(sam, image, ours.options) for name, image in photos.items()}
    our_peak_mb = peak_mb()

    original_s: dict[str, float] = {}
    if not arguments.ours_only:
        theirs = original_generator(sam, side)
        original_s = {
            name: median_s(lambda image=image: theirs.generate(image), arguments.original_repeats)
            for name, image in photos.items()
        }
    report(our_s, original_s, stages_s)
    total_s = sum(our_s.values())
    kernel_flop = sum(KERNEL_FLOP * side**2 * positions(image) for image in photos.values())
    figures = {
        "threads": torch.get_num_threads(),
        "points_per_side": side,
        "images": list(photos),
        "seconds": our_s,
        "original_seconds": original_s,
        "ratio": sum(original_s.values()) / total_s if original_s else None,
        "stage_seconds": stages_s,
        "images_per_second": len(photos) / total_s,
        "matrix_product_gflops": peak_gflops,
        "share_of_peak": kernel_flop / total_s / 1e9 / peak_gflops,
        "original_flop_share_of_peak": ORIGINAL_FLOP * side**2 * len(photos) / total_s / 1e9 / peak_gflops,
        "peak_mb": our_peak_mb,
        "original_peak_mb": peak_mb() if original_s else None,
    }
    print(
        f"{figures['images_per_second']:.3f} images/s; the decoder's arithmetic at "
        f"{figures['share_of_peak']:.0%} of the matrix product's speed over the whole time (SA's would be at "
        f"{figures['original_flop_share_of_peak']:.0%}); peak memory {our_peak_mb:.0f} MB"
    )
    print(json.dumps(figures))


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = sorted(path.name for path in PHOTOS.glob("*.jpg"))
    parser.add_argument(
        "--images", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3, help="runs of ours, of which the median counts")
    parser.add_argument("--original-repeats", type=int, default=1, help="a run takes a minute or two a photo")
    parser.add_argument("--ours-only", action="store_true", help="do not run the original")
    return parser.parse_args()


def original_generator(sam: Sam, points_per_side: int) -> Any:
    """The original's generator with the same weights and our encoder in place of its own."""
    from segment_anything import SamAutomaticMaskGenerator as OriginalGenerator
    from segment_anything.build_sam import _build_sam

    original = _build_sam(
        encoder_embed_dim=32, encoder_depth=1, encoder_num_heads=4, encoder_global_attn_indexes=[0]
    )
    original.prompt_encoder.load_state_dict(sam.prompt_encoder.state_dict())
    original.mask_decoder.load_state_dict(sam.mask_decoder.state_dict())
    original.image_encoder = sam.image_encoder
    return OriginalGenerator(original, points_per_side=points_per_side, output_mode="coco_rle")


def stage_seconds(sam: Sam, image: np.ndarray, options: MaskOptions) -> dict[str, float]:
    """Time of each stage of one image, by the generator's own functions."""
    clock = [time.perf_counter()]
    height, width = image.shape[:2]
    whole = (0, 0, width, height)
    embedding = sam.encode(image)
    clock.append(time.perf_counter())
    points = point_grid(options.points_per_side) * np.array([width, height])
    decoder = crop_decoder(sam, embedding.features_1Chw, CropFrame(height, width), options)
    candidates = decoder.candidates(points)
    clock.append(time.perf_counter())
    order = best_first(candidates.predicted_iou_N)
    order = order[~is_cut_off(candidates.box_xyxy_N4, whole, (height, width))[order]]
    clock.append(time.perf_counter())
    order = kept_by_nms(order, box_iou(candidates.box_xyxy_N4), options.box_nms_thresh)
    clock.append(time.perf_counter())
    encoded_masks(candidates, order, points, whole, (height, width))
    clock.append(time.perf_counter())
    return dict(zip(STAGES, np.diff(clock).tolist(), strict=True))


def positions(image: np.ndarray) -> int:
    """How many of the embedding's 64 x 64 positions show the image, not padding."""
    height, width = image.shape[:2]
    return math.ceil(64 * height / max(height, width)) * math.ceil(64 * width / max(height, width))


def report(
    our_s: dict[str, float], original_s: dict[str, float], stages_s: dict[str, dict[str, float]]
) -> None:
    print(
        f"{'photo':24}{'ours s':>9}{'original s':>12}{'ratio':>8}"
        + "".join(f"{stage:>9}" for stage in STAGES)
    )
    for name, seconds in our_s.items():
        original = original_s.get(name)
        beside = f"{original:12.1f}{original / seconds:8.1f}" if original else f"{'-':>12}{'-':>8}"
        print(
            f"{name:24}{seconds:9.2f}{beside}" + "".join(f"{stages_s[name][stage]:9.3f}" for stage in STAGES)
        )
    if original_s:
        print(f"all: {sum(original_s.values()) / sum(our_s.values()):.1f} times the original")


def median_s(run: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def matrix_product_gflops(size: int = 2048) -> float:
    """The best speed of a float32 product of square matrices."""
    matrix = torch.randn(size, size)
    best_s = min(median_s(lambda: matrix @ matrix, 1) for _ in range(10))
    return 2 * size**3 / best_s / 1e9


def peak_mb() -> float:
    """Peak memory of this process, in MB; Linux counts in KB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    main()
