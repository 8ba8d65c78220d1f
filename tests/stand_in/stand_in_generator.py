"""A deterministic stand-in for SAM: valid masks that depend only on the pixels, made in microseconds.

The first pixel of an image decides what it does to its labeler, so that faults come with the data, like real
faults. Ray's workers get this module and drawn_masks by value, because tests are not on their path.
"""

import io
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import drawn_masks
import numpy as np
from drawn_masks import image_masks
from PIL import Image
from ray import cloudpickle

from pipeline.images.decode_pool import DecodePool
from pipeline.labelling import labeler
from pipeline.labelling.labeler import LabelerSettings
from sam_core.masks.image_masks import ImageMasks

cloudpickle.register_pickle_by_value(sys.modules[__name__])
cloudpickle.register_pickle_by_value(drawn_masks)

HERE = str(Path(__file__).parent)
MASKS = 3
POISONS = {
    "segfault": (255, 0, 1),
    "abort": (255, 0, 2),
    "kill": (255, 0, 3),
    "raise": (255, 0, 4),
    "cuda out of memory": (255, 0, 5),
    "broken cuda": (255, 0, 6),
    "warn": (255, 0, 7),
}


class StandInGenerator:
    """Makes MASKS masks of each image, after `delay_s`; logs each image, equal images with equal lines."""

    def __init__(self, delay_s: float, log: Path | None) -> None:
        self._delay_s, self._log = delay_s, log
        self.idle_since = -math.inf  # it is idle while it waits for an image

    def generate_many(self, images: Iterable[np.ndarray]) -> Iterator[ImageMasks]:
        return map(self.generate_masks, images)

    def generate_masks(self, image: np.ndarray) -> ImageMasks:
        if self._log is not None:
            with self._log.open("a") as log:
                log.write(f"{log_line(image)}\n")
        _take_poison(tuple(image[0, 0].tolist()))
        time.sleep(self._delay_s)
        height, width, _ = image.shape
        masks = [image[..., channel] > np.median(image[..., channel]) for channel in range(MASKS)]
        return replace(
            image_masks(masks, height, width),
            predicted_iou=np.linspace(0.9, 1, MASKS, dtype=np.float32),
            stability_score=np.linspace(0.95, 1, MASKS, dtype=np.float32),
            point_coords=np.full((MASKS, 2), 0.5, np.float32),
        )


def log_line(image: np.ndarray) -> str:
    """The line of an image in the log."""
    return blake2b(image.tobytes(), digest_size=8).hexdigest()


@dataclass
class StandIn:
    """The argument for `run(load=...)`."""

    delay_s: float
    log: Path | None
    decoder: str | None

    def __call__(self, settings: LabelerSettings) -> StandInGenerator:
        logging.getLogger("sam_label.stand_in").info("a labeler has loaded")
        return StandInGenerator(self.delay_s, self.log)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Runs in a labeler's process, before its decoders start."""
        self.__dict__ |= state
        if self.decoder is not None:
            sys.path.append(HERE)  # decoders inherit the path from their labeler
            labeler.DecodePool = partial(DecodePool, program=self.decoder)


def stand_in(
    delay_s: float = 0.0, log: Path | None = None, decoder: str | None = None
) -> Callable[[LabelerSettings], StandInGenerator]:
    """A stand-in for loading a model; `decoder` is the program that decodes, None for the usual one."""
    return StandIn(delay_s, log, decoder)


def photo(seed: int, size: int = 24, poison: str | None = None) -> bytes:
    """A PNG of noise; `poison` names what it does to its labeler."""
    image_HW3 = np.random.default_rng(seed).integers(0, 250, (size, size + seed % 7, 3), np.uint8)
    if poison is not None:
        image_HW3[0, 0] = POISONS[poison]
    file = io.BytesIO()
    Image.fromarray(image_HW3).save(file, "PNG")
    return file.getvalue()


def write_photos(folder: Path, count: int) -> None:
    """That many different photos, in a folder that is made."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06d}.png").write_bytes(photo(number))


def _take_poison(first_pixel: tuple[int, ...]) -> None:
    poison = next((name for name, pixel in POISONS.items() if pixel == first_pixel), None)
    match poison:
        case "segfault":
            signal.raise_signal(signal.SIGSEGV)  # to this thread, like a real one
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise ValueError("this image cannot be labelled")
        case "cuda out of memory":
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        case "broken cuda":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        case "warn":
            logging.getLogger("sam_core.stand_in").warning("a labeler warns")
