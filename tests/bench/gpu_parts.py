"""The classes that run the cases of the GPU bench; the cases of a process share models and photos."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from typing import Any

import torch
from agreement import agreement
from gpu_busy import busy_share
from gpu_setting import (
    PHOTOS,
    SIZES,
    TimedSam,
    generator,
    images,
    peak_gb,
    reset_peak,
    seconds,
)
from gpu_stages import host_ms, stage_ms
from gpu_sweep import Sweep
from recorded_masks import matches_of_recorded

from sam_core.masks.image_masks import ImageMasks
from sam_core.weights.registry import load_sam

SECONDS_A_RATE = 2.5
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


class Machine:
    """Describes the machine, and compiles the kernels, so that later cases do not wait for them."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self._asked = asked

    def machine(self) -> dict[str, Any]:
        found = {
            "torch": torch.__version__,
            "device": self._asked.device,
            "cores": len(os.sched_getaffinity(0)),
        }
        if self._asked.device == "cuda":
            import triton

            free, total = torch.cuda.mem_get_info()
            found |= {
                "device": torch.cuda.get_device_name(),
                "cuda": torch.version.cuda,
                "capability": torch.cuda.get_device_capability(),
                "triton": triton.__version__,
                "free_gb": round(free / 1e9, 1),
                "total_gb": round(total / 1e9, 1),
            }
        return found

    def kernels(self) -> dict[str, Any]:
        """Seconds until Triton's cache has all kernels, how many there are, and which failed to compile."""
        if self._asked.device != "cuda":
            return {}
        major, minor = torch.cuda.get_device_capability()
        return compiled(self._asked.models, self._asked.precisions, 10 * major + minor)


def compiled(models: list[str], precisions: list[str], capability: int) -> dict[str, Any]:
    """As `Machine.kernels`, for a card of this capability.

    Does for all models at once what `compile_kernels` does for one. In float16 each model's encoder has its
    own kernels; all other kernels are the same for all models.
    """
    sets = [(model, each) for each in precisions for model in (models if each == "float16" else models[:1])]
    shares = max(1, len(os.sched_getaffinity(0)) // len(sets))
    program = [sys.executable, "-m", "sam_core.decoding.triton.rehearsal"]
    start = time.perf_counter()
    processes = [
        subprocess.Popen(
            [*program, *each, str(capability), str(share), str(shares)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for each in sets
        for share in range(shares)
    ]
    count, faults = 0, []
    for process in processes:
        out, err = process.communicate()
        count += len(out.splitlines())
        if process.returncode:
            faults.append(err[-500:])
    return {"seconds": round(time.perf_counter() - start, 1), "kernels": count, "faults": faults}


class Parity:
    """Compares masks with the original's recorded masks, and each lossy precision with float32."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self._asked, self._masks = asked, dict[str, list[ImageMasks]]()
        self._sam = load_sam(device=asked.device).sam
        self._photos = images("photos")

    def recorded(self, precision: str) -> dict[str, Any]:
        return matches_of_recorded(self._sam, precision)

    def beside_float32(self, precision: str) -> dict[str, Any]:
        return asdict(agreement(self._of(precision), self._of("float32"), 0.99))

    def _of(self, precision: str) -> list[ImageMasks]:
        if precision not in self._masks:
            self._masks[precision] = generator(self._sam, precision, self._asked).generate_batch(self._photos)
        return self._masks[precision]


class First:
    """Seconds from the loaded model to the first masks, with an empty kernel cache and with the full one."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self._asked = asked
        self._cache = tempfile.TemporaryDirectory()
        self._is_filled = False

    def empty(self, precision: str) -> float:
        taken_s, self._is_filled = self._seconds(precision), True
        return taken_s

    def full(self, precision: str) -> float:
        if not self._is_filled:
            raise RuntimeError("nothing has filled the cache: the start with an empty one has failed")
        return self._seconds(precision)

    def _seconds(self, precision: str) -> float:
        photo = str(sorted(PHOTOS.glob("*.jpg"))[0])
        arguments = [self._asked.device, photo, precision, str(self._asked.points_per_side)]
        done = subprocess.run(
            [sys.executable, "-c", FIRST_MASKS, *arguments],
            env={**os.environ, "TRITON_CACHE_DIR": self._cache.name},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return round(float(done.stdout.split()[-1]), 2)


class Model:
    """One model's rates, stages and share of the device's time."""

    def __init__(self, asked: argparse.Namespace, model: str) -> None:
        self._asked = asked
        self._photos = {size: images(size)[: asked.photos] for size in SIZES if size in asked.sizes}
        every_photo = [photo for photos in self._photos.values() for photo in photos]
        self._timed = TimedSam(model, every_photo, asked.device)

    def rate(self, precision: str, size: str) -> dict[str, float]:
        """Images per second, and the peak of device memory without what only this bench keeps there."""
        photos, device = self._photos[size], self._asked.device
        ours = generator(self._timed.sam, precision, self._asked)
        ours.generate_batch(photos)
        reset_peak(device)
        once_s = seconds(lambda: ours.generate_batch(photos), device)
        repeats = round(SECONDS_A_RATE / once_s)
        if repeats > 1:
            elapsed_s = seconds(lambda: ours.generate_batch(photos * repeats), device)
        else:
            repeats, elapsed_s = 1, once_s
        return {
            "images_a_second": round(len(photos) * repeats / elapsed_s, 2),
            "peak_gb": round(peak_gb(device) - self._timed.base_gb, 2),
        }

    def stages(self, precision: str, size: str) -> dict[str, Any]:
        ours = generator(self._timed.sam, precision, self._asked)
        found = stage_ms(ours, self._photos[size])
        return found | host_ms(ours, self._photos[size]) if self._asked.device == "cuda" else found

    def busy(self, precision: str, size: str) -> dict[str, Any]:
        photos, ours = self._photos[size], generator(self._timed.sam, precision, self._asked)
        ours.generate_batch(photos)
        return busy_share(lambda: ours.generate_batch(photos))


class Original:
    """segment-anything 1.0 in float32, unchanged; its encoder runs only for its time."""

    def __init__(self, asked: argparse.Namespace, model: str) -> None:
        import segment_anything

        self._device, self._photos = asked.device, images("photos")
        bundled = load_sam(device=asked.device).sam
        with torch.device(asked.device):  # random numbers come faster there
            theirs = segment_anything.sam_model_registry[model]()
        theirs.prompt_encoder.load_state_dict(bundled.prompt_encoder.state_dict())
        theirs.mask_decoder.load_state_dict(bundled.mask_decoder.state_dict())
        theirs.image_encoder = _Both(theirs.image_encoder, bundled.image_encoder)
        self._slow = segment_anything.SamAutomaticMaskGenerator(
            theirs.to(asked.device).eval(), asked.points_per_side, output_mode="coco_rle"
        )

    def rate(self, photos: str) -> dict[str, float]:
        """Images per second over this number of photos, after one photo to warm up."""
        warm, *timed = self._photos[: int(photos) + 1]
        self._slow.generate(warm)
        elapsed_s = seconds(lambda: [self._slow.generate(photo) for photo in timed], self._device)
        return {"images_a_second": round(len(timed) / elapsed_s, 2)}


class _Both(torch.nn.Module):
    """Runs one encoder only for its time, and another one whose output is used."""

    def __init__(self, timed: torch.nn.Module, answering: Any) -> None:
        super().__init__()
        self.img_size = answering.img_size
        self.timed, self.answering = timed, answering

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.timed(images)
        answer: torch.Tensor = self.answering(images)
        return answer


PARTS: dict[str, Any] = {
    "machine": Machine,
    "parity": Parity,
    "first": First,
    "model": Model,
    "original": Original,
    "sweep": Sweep,
}


def part(name: str, asked: argparse.Namespace) -> Any:
    """The object that runs the cases of this piece; a case is a method and its arguments."""
    kind, *arguments = name.split()
    return PARTS[kind](asked, *arguments)
