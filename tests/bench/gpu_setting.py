"""The models, photos and generators that are timed on a GPU, and a clock that waits for the device."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "stand_in"))
sys.path.append(str(Path(__file__).parents[1] / "parity" / "stand_in"))  # torchvision, if there is none

from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.model.build import build_sam
from sam_core.model.presets import PRESETS
from sam_core.model.sam import ImageEmbedding, Sam
from sam_core.weights.registry import load_sam

PHOTOS = Path(__file__).parents[2] / "jobs" / "demo" / "photos"
SIZES = {"photos": None, "sa1b": (2250, 1500)}  # width and height that all photos are resized to

Images = Sequence[np.ndarray]


def images(size: str) -> list[np.ndarray]:
    """The sample photos, as they are or at one size."""
    photos = [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.jpg"))]
    wanted = SIZES[size]
    return [np.array(photo.resize(wanted, Image.Resampling.BICUBIC) if wanted else photo) for photo in photos]


def generator(sam: Sam, precision: str, asked: argparse.Namespace) -> SamAutomaticMaskGenerator:
    return SamAutomaticMaskGenerator(sam, asked.points_per_side, points_per_batch=256, precision=precision)


class TimedSam:
    """The bundled model; to time another model, that one encodes, but known embeddings are returned.

    base_gb: device memory that is used by anything but the timed model.
    """

    def __init__(self, model: str, photos: Images, device: str) -> None:
        self.sam: Sam = load_sam(device=device).sam
        self.base_gb = 0.0
        if model == "vit_t":
            return
        known = {id(photo): self.sam.encode(photo) for photo in photos}
        self.base_gb = allocated_gb(device)
        with torch.device(device):  # random numbers come faster there
            large = build_sam(PRESETS[model])
        large = large.to(device)
        for name, value in large.image_encoder.named_parameters():
            # positions start at zero, which would need no work
            if "rel_pos" in name or "pos_embed" in name:
                torch.nn.init.normal_(value, std=0.1)

        def encode_batch(pixels: Images, dtype: torch.dtype = torch.float32) -> list[ImageEmbedding]:
            large.encode_batch(pixels, dtype)
            return [known[id(one if one.base is None else one.base)] for one in pixels]

        self.encoder = large
        self.sam.encode_batch = encode_batch  # type: ignore[assignment,method-assign]


def seconds(call: Callable[[], Any], device: str) -> float:
    """How long the call takes, including the device's work."""
    wait(device)
    start = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - start


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def reset_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gb(device: str) -> float:
    return torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0


def allocated_gb(device: str) -> float:
    return torch.cuda.memory_allocated() / 1e9 if device == "cuda" else 0.0
