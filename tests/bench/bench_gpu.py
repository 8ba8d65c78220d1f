"""Full mask generation on a GPU, images a second, ours beside the original's in one run.

No checkpoint of the large models is at hand. A model's image encoder therefore runs on random weights, for
its time alone, and the bundled MobileSAM's embedding is decoded, so that as many masks survive as on real
photos. MobileSAM's encoder adds its few milliseconds to both programs. Standard output gets a table for
people, then one line of JSON. Without a CUDA device nothing is measured.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from agreement import agreement
from PIL import Image
from torch import nn

sys.path.append(str(Path(__file__).parents[1] / "parity" / "stand_in"))  # torchvision, if there is none

from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.masks.image_masks import ImageMasks
from sam_core.model.build import build_sam
from sam_core.model.presets import PRESETS
from sam_core.weights.registry import load_sam

PHOTOS = Path(__file__).parents[2] / "jobs" / "demo" / "photos"
DEVICE = "cuda"


class TimedEncoder(nn.Module):
    """An encoder that is run for its time alone, and another whose answer is used."""

    def __init__(self, timed: nn.Module, answering: nn.Module) -> None:
        super().__init__()
        self.img_size = answering.img_size
        self.timed, self.answering = timed, answering

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.timed(images)
        answer: torch.Tensor = self.answering(images)
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--models", nargs="+", default=["vit_h", "vit_b"], choices=["vit_h", "vit_l", "vit_b"]
    )
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--points-per-batch", type=int, default=128, help="of ours; the original has its 64")
    parser.add_argument("--compile-decoder", action="store_true", help="ours; see the first image's seconds")
    parser.add_argument("--repeats", type=int, default=5, help="times that ours labels all photos")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no CUDA device here: nothing was measured.")
        return
    torch.set_grad_enabled(False)
    photos = [np.array(Image.open(path).convert("RGB")) for path in sorted(PHOTOS.glob("*.jpg"))]
    device = torch.cuda.get_device_properties(DEVICE)
    print(f"{device.name}, torch {torch.__version__}, {len(photos)} photos, encoders on random weights")
    results = {name: measured(name, photos, arguments) for name in arguments.models}
    print(json.dumps({"device": device.name, "torch": torch.__version__, "models": results}))


def measured(name: str, photos: Sequence[np.ndarray], arguments: argparse.Namespace) -> dict[str, Any]:
    """Figures of one model, printed on the way."""
    sam = load_sam(device=DEVICE).sam
    answering = sam.image_encoder
    sam.image_encoder = TimedEncoder(build_sam(PRESETS[name]).image_encoder.to(DEVICE), answering)
    side, results, masks = arguments.points_per_side, dict[str, Any](), dict[str, list[ImageMasks]]()
    for precision in ("float32", "bfloat16"):
        ours = SamAutomaticMaskGenerator(
            sam,
            side,
            points_per_batch=arguments.points_per_batch,
            compile_decoder=arguments.compile_decoder,
            precision=precision,
        )
        first_s, _ = seconds(lambda ours=ours: ours.generate_batch(photos[:1]))
        ours.generate_batch(photos)  # every size of image once: torch keeps its memory from here on
        torch.cuda.reset_peak_memory_stats()
        batch_s, answers = seconds(lambda ours=ours: ours.generate_batch(list(photos) * arguments.repeats))
        masks[precision] = answers[: len(photos)]
        results[precision] = {
            "images_a_second": len(photos) * arguments.repeats / batch_s,
            "first_image_s": first_s,
            "peak_memory_gb": torch.cuda.max_memory_allocated() / 1e9,
            "reserved_memory_gb": torch.cuda.memory_reserved() / 1e9,
        }
    results["bfloat16"]["agreement"] = asdict(agreement(masks["bfloat16"], masks["float32"]))
    del sam.image_encoder
    results["original"] = {"images_a_second": original_rate(name, sam, answering, photos, side)}
    for program, figures in results.items():
        rounded = {key: round(figure, 3) for key, figure in figures.items() if isinstance(figure, float)}
        print(f"{name:6} {program:9} {rounded}")
    print(f"{name:6} bfloat16 against float32: {agreement(masks['bfloat16'], masks['float32'])}")
    return results


def original_rate(
    name: str, ours: nn.Module, answering: nn.Module, photos: Sequence[np.ndarray], points_per_side: int
) -> float:
    """Images a second of segment-anything 1.0 with its own encoder of this size, in float32 as it comes."""
    import segment_anything

    original = segment_anything.sam_model_registry[name]()
    original.prompt_encoder.load_state_dict(ours.prompt_encoder.state_dict())
    original.mask_decoder.load_state_dict(ours.mask_decoder.state_dict())
    original.image_encoder = TimedEncoder(original.image_encoder, answering)
    generator = segment_anything.SamAutomaticMaskGenerator(
        original.to(DEVICE).eval(), points_per_side, output_mode="coco_rle"
    )
    generator.generate(photos[0])
    elapsed_s, _ = seconds(lambda: [generator.generate(photo) for photo in photos])
    return len(photos) / elapsed_s


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """How long the call took, to the device's last answer, and what it gave."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    answer = call()
    torch.cuda.synchronize()
    return time.perf_counter() - start, answer


if __name__ == "__main__":
    main()
