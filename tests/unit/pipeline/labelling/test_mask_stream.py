"""A fault fails only its own image; a stream fails no other image, and hides no fault of its source."""

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from stand_in_generator import StandInGenerator

from pipeline.errors import ImageError, Reason, SamLabelError
from pipeline.labelling.mask_stream import MaskGenerator, MaskStream, Opened
from pipeline.labelling.opening import Image
from pipeline.metrics.work import Stage, Work, WorkClock
from pipeline.program_log import Origin
from sam_core.masks.image_masks import ImageMasks

RAISES, WARNS = 1, 2


class Generator(StandInGenerator):
    """Reads `at_once` images at a time; raises or logs at an image whose pixels are RAISES or WARNS."""

    def __init__(self, at_once: int) -> None:
        super().__init__(0.0, None)
        self.at_once = at_once

    def generate_many(self, images: Iterable[np.ndarray]) -> Iterator[ImageMasks]:
        images = iter(images)
        while taken := list(islice(images, self.at_once)):
            yield from map(self.generate_masks, taken)

    def generate_masks(self, image: np.ndarray) -> ImageMasks:
        if image[0, 0, 0] == RAISES:
            raise ValueError("no masks of this one")
        if image[0, 0, 0] == WARNS:
            logging.getLogger("sam_core.stand_in").warning("a strange image")
        return super().generate_masks(image)


def opened(numbers: Iterable[int]) -> Iterator[Opened]:
    """An image of each number's value; its id is its place among the numbers, its width the place + 1."""
    for place, number in enumerate(numbers):
        pixels = np.full((4, place + 1, 3), number, np.uint8)
        yield Opened({"image_id": f"{place}", "uri": f"file:///{place}"}, image(pixels))


def image(pixels: np.ndarray) -> Image:
    return cast(Image, SimpleNamespace(pixels=pixels))


def answers(images: Iterator[Opened], generator: MaskGenerator) -> Iterator[tuple[str, int | Reason]]:
    """The name of each image with the width of its masks, or the reason why there are none."""
    for each, masks in MaskStream(generator, WorkClock()).of_each(images):
        yield each.row["image_id"], masks.reason if isinstance(masks, ImageError) else masks.width


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("at", range(7))
def test_a_fault_costs_one_image(at: int, at_once: int) -> None:
    numbers = [9] * 7
    numbers[at] = RAISES
    expected: dict[str, int | Reason] = {f"{place}": place + 1 for place in range(7)}
    given = list(answers(opened(numbers), Generator(at_once)))
    assert given == list((expected | {f"{at}": Reason.LABELER_ERROR}).items())


def test_what_the_images_raise_is_no_fault_of_an_image() -> None:
    def broken() -> Iterator[Opened]:
        yield from opened([9, 9])
        raise SamLabelError("no decoder starts here")

    with pytest.raises(SamLabelError, match="no decoder starts here"):
        list(answers(broken(), Generator(3)))


def test_a_fault_of_reading_keeps_its_reason() -> None:
    class Window(StandInGenerator):
        def generate_masks(self, image: np.ndarray) -> ImageMasks:
            raise ImageError(Reason.TRUNCATED, "the window ends early")

    assert list(answers(opened([9]), Window(0.0, None))) == [("0", Reason.TRUNCATED)]


@pytest.mark.parametrize(("at_once", "known"), [(1, "1"), (3, None)])
def test_what_is_logged_names_its_image_if_it_is_known(
    at_once: int, known: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    names = list[str | None]()
    with caplog.filtering(lambda record: names.append(Origin.of(record).image_id) is None):
        list(answers(opened([9, WARNS, 9]), Generator(at_once)))
    assert names == [known]


def test_the_wait_for_images_is_not_the_generators_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("pipeline.metrics.work.time.perf_counter", lambda: now_s)

    between = list[Work]()

    def late(clock: WorkClock) -> Iterator[Opened]:
        nonlocal now_s
        for each in opened([9, 9]):
            now_s += 10
            yield each
            between.append(clock.read())  # as another thread may

    class Slow(StandInGenerator):
        def generate_masks(self, image: np.ndarray) -> ImageMasks:
            nonlocal now_s
            now_s += 1
            return super().generate_masks(image)

    clock = WorkClock()
    reports = [clock.read() for _ in MaskStream(Slow(0.0, None), clock).of_each(late(clock))]
    assert all(report.seconds.get(Stage.LABEL, 0) >= 0 for report in [*between, *reports]), "it may not fall"
    assert sum([*between, *reports], clock.read()).seconds == {Stage.LABEL: 2}
