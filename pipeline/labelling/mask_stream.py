"""The masks of images that go through a generator as one stream, and the fault of each failed image.

On a GPU the generator takes some images ahead of the masks that it returns. If it raises, any of these images
may be the cause, so each is labelled again alone, and a new stream goes on with the next image.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from pipeline.errors import ImageError
from pipeline.labelling.opening import Image
from pipeline.labelling.worker_faults import labeler_fault
from pipeline.metrics.work import Stage, WorkClock
from pipeline.program_log import about_image
from sam_core.masks.image_masks import ImageMasks
from sam_core.windows import Windows


class MaskGenerator(Protocol):
    """What a labeler needs of `SamAutomaticMaskGenerator`."""

    @property
    def idle_since(self) -> float: ...

    def generate_many(self, images: Iterable[np.ndarray | Windows]) -> Iterator[ImageMasks]: ...


@dataclass(frozen=True)
class Opened:
    """An image that is ready for the generator, and the fetched row that it came with."""

    row: dict[str, Any]
    image: Image


AnyOpened = TypeVar("AnyOpened", bound=Opened)


@dataclass(frozen=True)
class MaskStream:
    """A generator whose exceptions fail only the image that causes them."""

    generator: MaskGenerator
    clock: WorkClock  # counts the generator's time as Stage.LABEL, without the waiting for images

    def of_each(self, images: Iterator[AnyOpened]) -> Iterator[tuple[AnyOpened, ImageMasks | ImageError]]:
        """Each image with its masks or its fault, in order. What `images` raises is raised as it is."""
        with _Taking(images, self.clock) as taking:
            stream = self.generator.generate_many(taking)
            while True:
                masks, has_failed = None, False
                try:
                    with self.clock.timed(Stage.LABEL, 0):
                        masks = next(stream, None)
                # any error is caused by an image that was taken, unless `images` raised it
                except Exception as fault:
                    if taking.has_failed:
                        raise
                    labeler_fault(fault)  # which ends this process if its GPU is lost
                    has_failed = True
                if has_failed:
                    while taking.taken:
                        each = taking.taken.popleft()
                        yield each, self.of_one(each)
                    stream = self.generator.generate_many(taking)
                elif masks is None:
                    return
                else:
                    yield taking.taken.popleft(), masks

    def of_one(self, opened: Opened) -> ImageMasks | ImageError:
        """The masks of an image that goes through the generator alone, or its fault."""
        with about_image(opened.row["image_id"], opened.row["uri"]):
            try:
                with self.clock.timed(Stage.LABEL, 0):
                    (masks,) = self.generator.generate_many([opened.image.pixels])
            except Exception as fault:  # noqa: BLE001  # any error fails one image, and the others are labelled
                return labeler_fault(fault)
        return masks


class _Taking(Generic[AnyOpened]):
    """An iterator over the pixels of images; an image stays in `taken` until its masks have come."""

    def __init__(self, images: Iterator[AnyOpened], clock: WorkClock) -> None:
        self._images, self._clock = images, clock
        self._about = ExitStack()
        self.taken: deque[AnyOpened] = deque()
        self.has_failed = False  # whether `images` raised

    def __iter__(self) -> Iterator[np.ndarray | Windows]:
        return self

    def __next__(self) -> np.ndarray | Windows:
        self._about.close()
        try:
            with self._clock.left_out(Stage.LABEL):
                opened = next(self._images)
        except StopIteration:
            raise
        except Exception:
            self.has_failed = True
            raise
        if not self.taken:  # what is logged until the next one is taken is about this image
            self._about.enter_context(about_image(opened.row["image_id"], opened.row["uri"]))
        self.taken.append(opened)
        return opened.image.pixels

    def __enter__(self) -> "_Taking[AnyOpened]":
        return self

    def __exit__(self, *_: object) -> None:
        self._about.close()
