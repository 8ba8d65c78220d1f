"""A GPU's figures in one command of under 4 minutes: parity, images a second beside the original's, stages.

No checkpoint of the large models is at hand. Their image encoders therefore run on random weights, for
their time alone, and the bundled MobileSAM's embeddings are decoded, so that as many masks survive as on
real photos. Standard output gets the figures for people, then one line of JSON. A part that fails is named,
and the others go on. Without a GPU the command itself is tried by `--device cpu --points-per-side 2
--models vit_t --sizes photos --precisions float32 --skip parity`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from agreement import agreement
from gpu_stages import busy_share, stage_ms
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "stand_in"))
sys.path.append(str(Path(__file__).parents[1] / "parity" / "stand_in"))  # torchvision, if there is none

from recorded_masks import matches_of_recorded

from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.masks.image_masks import ImageMasks
from sam_core.model.build import build_sam
from sam_core.model.presets import PRESETS
from sam_core.model.sam import ImageEmbedding, Sam
from sam_core.weights.registry import load_sam

PHOTOS = Path(__file__).parents[2] / "jobs" / "demo" / "photos"
SIZES = {"photos": None, "sa1b": (2250, 1500)}  # width and height that all photos are resized to
SECONDS_A_RATE = 3.0
FIRST_MASKS = """
import sys, time
import numpy as np
from PIL import Image
from sam_core.decoding.device_kernels import compile_kernels
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.weights.registry import load_sam
loaded = load_sam(device=sys.argv[1])
sam = loaded.sam
photo = np.array(Image.open(sys.argv[2]).convert("RGB"))
start = time.perf_counter()
generator = SamAutomaticMaskGenerator(sam, int(sys.argv[4]), precision=sys.argv[3])
compile_kernels(sam, loaded.model_type, generator.options)
print(len(generator.generate_masks(photo)), time.perf_counter() - start)
"""

Images = Sequence[np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--models",
        nargs="+",
        default=["vit_t", "vit_b", "vit_h"],
        choices=["vit_t", "vit_b", "vit_l", "vit_h"],
    )
    parser.add_argument("--precisions", nargs="+", default=["float32", "float16"])
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--skip", nargs="+", default=[], choices=["parity", "first", "stages", "original"])
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here: nothing was measured.")
        return
    torch.set_grad_enabled(False)
    figures: dict[str, Any] = {"machine": machine(asked.device)}
    print(figures["machine"])
    parts: dict[str, Callable[[argparse.Namespace], Any]] = {
        "parity": parity,
        "rates": rates,
        "stages": stages,
        "original": original,
        "first": first_masks,
    }
    for name, part in parts.items():
        if name not in asked.skip:
            start = time.perf_counter()
            try:
                figures[name] = part(asked)
            except Exception as fault:  # noqa: BLE001  # the minutes of a card that is lent are few
                figures[name] = f"{type(fault).__name__}: {str(fault)[:500]}"
            print(f"{name} ({time.perf_counter() - start:.0f} s): {json.dumps(figures[name])}", flush=True)
    print(json.dumps(figures))


def machine(device: str) -> dict[str, str]:
    """What the figures are of."""
    versions = {"torch": torch.__version__, "device": device}
    if device == "cuda":
        import triton

        versions |= {"device": torch.cuda.get_device_name(), "triton": triton.__version__}
    return versions


def parity(asked: argparse.Namespace) -> dict[str, Any]:
    """Beside the original's recorded masks, and of each lossy precision beside float32."""
    sam, photos = load_sam(device=asked.device).sam, images("photos")
    figures: dict[str, Any] = {}
    masks: dict[str, list[ImageMasks]] = {}
    for precision in asked.precisions:
        masks[precision] = generator(sam, precision, asked).generate_batch(photos)
        if asked.points_per_side == 32:
            figures[f"recorded, {precision}"] = matches_of_recorded(sam, precision)
        if precision != "float32" and "float32" in masks:
            agreed = agreement(masks[precision], masks["float32"], 0.99)
            figures[f"{precision} beside float32"] = asdict(agreed)
    return figures


def rates(asked: argparse.Namespace) -> dict[str, Any]:
    """Images a second and peak memory of each model, precision and size of image."""
    figures = {}
    for model in asked.models:
        for precision in asked.precisions:
            for size in asked.sizes:
                photos = images(size)
                ours = generator(timed_sam(model, precision, photos, asked.device), precision, asked)
                ours.generate_batch(photos)
                reset_peak(asked.device)
                once_s, _ = seconds(
                    lambda ours=ours, photos=photos: ours.generate_batch(photos), asked.device
                )
                repeats = max(1, round(SECONDS_A_RATE / once_s))
                elapsed_s, _ = seconds(
                    lambda ours=ours, photos=photos, n=repeats: ours.generate_batch(photos * n), asked.device
                )
                figures[f"{model} {precision} {size}"] = {
                    "images_a_second": round(len(photos) * repeats / elapsed_s, 2),
                    "peak_gb": round(peak_gb(asked.device), 2),
                }
    return figures


def stages(asked: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds an image in each step, and how much of the time the device works."""
    figures = {}
    for size in asked.sizes:
        photos = images(size)
        for model in asked.models:
            sam = timed_sam(model, "float16", photos, asked.device)
            ours = generator(sam, "float16", asked)
            figures[f"{model} {size}"] = stage_ms(ours, photos)
            if asked.device == "cuda":
                figures[f"{model} {size}"]["busy"] = busy_share(
                    lambda ours=ours, p=photos: ours.generate_batch(p)
                )
    return figures


def original(asked: argparse.Namespace) -> dict[str, float]:
    """Images a second of segment-anything 1.0 in float32 as it comes; `encode` runs for its time alone."""
    import segment_anything

    figures = {}
    bundled, photos = load_sam(device=asked.device).sam, images("photos")
    for model in (name for name in asked.models if name != "vit_t"):
        theirs = segment_anything.sam_model_registry[model]()
        theirs.prompt_encoder.load_state_dict(bundled.prompt_encoder.state_dict())
        theirs.mask_decoder.load_state_dict(bundled.mask_decoder.state_dict())
        theirs.image_encoder = _Both(theirs.image_encoder, bundled.image_encoder)
        slow = segment_anything.SamAutomaticMaskGenerator(
            theirs.to(asked.device).eval(), asked.points_per_side, output_mode="coco_rle"
        )
        slow.generate(photos[0])
        elapsed_s, _ = seconds(lambda slow=slow: [slow.generate(photo) for photo in photos], asked.device)
        figures[model] = round(len(photos) / elapsed_s, 2)
    return figures


def first_masks(asked: argparse.Namespace) -> dict[str, float]:
    """Seconds from the loaded model to the first masks, with an empty kernel cache and with a full one."""
    figures = {}
    photo = str(sorted(PHOTOS.glob("*.jpg"))[0])
    for precision in asked.precisions:
        with tempfile.TemporaryDirectory() as cache:
            for name in ("empty", "full"):
                done = subprocess.run(
                    [
                        sys.executable,
                        "-c",
                        FIRST_MASKS,
                        asked.device,
                        photo,
                        precision,
                        str(asked.points_per_side),
                    ],
                    env={**os.environ, "TRITON_CACHE_DIR": cache},
                    capture_output=True,
                    text=True,
                    check=True,
                )
                figures[f"{precision}, {name} cache"] = round(float(done.stdout.split()[1]), 2)
    return figures


class _Both(torch.nn.Module):
    """An encoder that is run for its time alone, and another whose answer is used."""

    def __init__(self, timed: torch.nn.Module, answering: Any) -> None:
        super().__init__()
        self.img_size = answering.img_size
        self.timed, self.answering = timed, answering

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.timed(images)
        answer: torch.Tensor = self.answering(images)
        return answer


def timed_sam(model: str, precision: str, photos: Images, device: str) -> Sam:
    """The bundled model; if another is timed, that one encodes, and known embeddings are the answer."""
    sam = load_sam(device=device).sam
    if model == "vit_t":
        return sam
    large = build_sam(PRESETS[model]).to(device)
    for name, value in large.image_encoder.named_parameters():
        # positions start at zero, for which there is no work
        if "rel_pos" in name or "pos_embed" in name:
            torch.nn.init.normal_(value, std=0.1)
    known = {id(photo): sam.encode(photo) for photo in photos}

    def encode_batch(pixels: Images, dtype: torch.dtype) -> list[ImageEmbedding]:
        large.encode_batch(pixels, dtype)
        return [known[id(one if one.base is None else one.base)] for one in pixels]

    sam.encode_batch = encode_batch  # type: ignore[assignment]
    return sam


def generator(sam: Sam, precision: str, asked: argparse.Namespace) -> SamAutomaticMaskGenerator:
    return SamAutomaticMaskGenerator(sam, asked.points_per_side, points_per_batch=256, precision=precision)


def images(size: str) -> list[np.ndarray]:
    """The sample photos, as they are or at one size."""
    photos = [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.jpg"))]
    wanted = SIZES[size]
    return [np.array(photo.resize(wanted, Image.Resampling.BICUBIC) if wanted else photo) for photo in photos]


def seconds(call: Callable[[], Any], device: str) -> tuple[float, Any]:
    """How long the call took, to the device's last answer, and what it gave."""
    wait(device)
    start = time.perf_counter()
    answer = call()
    wait(device)
    return time.perf_counter() - start, answer


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def reset_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gb(device: str) -> float:
    return torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0


if __name__ == "__main__":
    main()
