"""The share of the engine's rate that `sam-label run` reaches on this machine, one labeler on real photos.

The engine's rate is measured in the labeler, after its model is loaded: for SECONDS it labels a stream of one
decoded photo. The run's rate is measured from its first masks to its last. On a CPU the two are nearly equal;
on a GPU a run must also decode images and pass them on.

Usage: bench_run.py [--images N] [--size W H] [--s3] [-- flags of `sam-label run`, as --precision float16].
Prints one line of JSON. It needs its own process, because Ray reads its environment when it is imported.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

import numpy as np
from bench_photos import PHOTO, source_of, write_photos
from PIL import Image

import pipeline.run
from jobs import cli
from pipeline.labelling.labeler import LabelerSettings
from pipeline.labelling.sam_generator import sam_generator
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from sam_core.masks.image_masks import ImageMasks

SA1B = (2250, 1500)
SECONDS = 5.0
LEAST_IMAGES = 4  # that the engine labels, after as many to warm up


class TimedEngine:
    """A labeler's generator, which logs when each image has its masks."""

    def __init__(self, generator: Any, size: tuple[int, int], log: Path) -> None:
        self._generator, self._log = generator, log
        photo = np.array(Image.open(PHOTO).convert("RGB").resize(size, Image.Resampling.BICUBIC))
        self._note("engine", rate_of(generator, photo))

    @property
    def idle_since(self) -> float:
        return float(self._generator.idle_since)

    def generate_many(self, images: Iterable[np.ndarray]) -> Iterator[ImageMasks]:
        for masks in self._generator.generate_many(images):
            self._note("masks", time.perf_counter())
            yield masks

    def _note(self, what: str, number: float) -> None:
        with self._log.open("a") as log:
            log.write(f"{what} {number}\n")


def rate_of(generator: Any, photo: np.ndarray) -> float:
    """Images per second of the warm generator, in a stream of one photo."""
    stream = generator.generate_many(repeat(photo))
    for _ in range(LEAST_IMAGES):
        next(stream)
    began, images = time.perf_counter(), 0
    while images < LEAST_IMAGES or time.perf_counter() - began < SECONDS:
        next(stream)
        images += 1
    rate = images / (time.perf_counter() - began)
    stream.close()
    return rate


def load(settings: LabelerSettings, size: tuple[int, int], log: Path) -> TimedEngine:
    return TimedEngine(sam_generator(settings), size, log)


def drive(source: str, output: str, log: str, width: str, height: str, *flags: str) -> None:
    """Runs the command; called in a separate process."""
    loads = partial(load, size=(int(width), int(height)), log=Path(log))
    pipeline.run.run = partial(pipeline.run.run, load=loads)
    cli.main(["run", source, output, "--workers", "1", "--json", *flags])


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--images", type=int, default=2000)
    options.add_argument("--size", type=int, nargs=2, default=SA1B, help="of the photos: width and height")
    options.add_argument("--s3", action="store_true", help="photos in a bucket, not in a folder")
    options.add_argument("flags", nargs="*", help="of `sam-label run`, after --")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos, output, log = (Path(folder) / name for name in ("in", "out", "log"))
        write_photos(photos, asked.images, asked.size)
        with source_of(photos, asked.s3) as source:
            drives = [sys.executable, __file__, "drive", source, output, log, *map(str, asked.size)]
            subprocess.run([*drives, *asked.flags], stdout=subprocess.DEVNULL, check=True)
        notes = [line.split() for line in log.read_text().splitlines()]
        (engine,) = (float(number) for what, number in notes if what == "engine")
        masks = [float(number) for what, number in notes if what == "masks"]
        rate = (len(masks) - 1) / (masks[-1] - masks[0])
        found = validate(str(output))
        figures = {
            "images": len(masks),
            "engine_images_a_second": round(engine, 3),
            "run_images_a_second": round(rate, 3),
            "of_the_engines": round(rate / engine, 3),
            "feed_idle": ((Dataset.at(str(output)).record.ended or {})["report"] or {})["feed_idle"],
            "faults": [*found.problems, *["images are missing"] * (found.labelled != asked.images)],
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    drive(*sys.argv[2:]) if sys.argv[1:2] == ["drive"] else main()
