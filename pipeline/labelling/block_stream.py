"""Labels blocks of images as one stream, in one thread, while the calls that brought the blocks wait.

A labeler gets the next block while it still works on one. The images of both follow each other through the
generator, so that the GPU's queue and the decoders stay busy when one block ends. When no block waits, the
stream ends: the last masks are read at once, without waiting for images that may not come.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from typing import Any

import pyarrow as pa

from pipeline.cluster.attempts import MOST_ATTEMPTS
from pipeline.cluster.worker_log import Logged
from pipeline.errors import ImageError, Reason
from pipeline.images.decode_pool import NoDecoder
from pipeline.labelling.beats import Beat, Beats
from pipeline.labelling.mask_stream import MaskStream, Opened
from pipeline.labelling.opening import Image, Opening
from pipeline.metrics.work import Stage
from pipeline.output.format.schema import failed_row, ok_row, table_of
from pipeline.program_log import about_image
from pipeline.store.uri import redacted
from sam_core.masks.image_masks import ImageMasks

Row = dict[str, Any]
_log = logging.getLogger("sam_label.images")


@dataclass(frozen=True, eq=False)
class _Block:
    """Images that came together, and the rows of the finished ones, by the image's index."""

    images: pa.Table
    rows: dict[int, Row] = field(default_factory=dict)
    labelled: Future[pa.Table] = field(default_factory=Future)

    def rows_in_order(self) -> list[Row]:
        """The rows so far, in the order of the images."""
        return [self.rows[place] for place in sorted(self.rows)]

    def coming(self) -> Iterator[tuple["_Place", Row]]:
        """Each image with its place."""
        for index in range(len(self.images)):  # one by one, since this copies the image's file
            (row,) = self.images.slice(index, 1).to_pylist()
            yield _Place(self, index), row


@dataclass(frozen=True)
class _Place:
    """Where an image and its row are: the block, and the index in it."""

    block: _Block
    index: int

    def image_ids_from_here(self) -> list[str]:
        """The ids of this image and of those behind it in the block."""
        ids: list[str] = self.block.images["image_id"].slice(self.index).to_pylist()
        return ids


@dataclass(frozen=True)
class _Image:
    """An image of a block, and its decoding."""

    place: _Place
    row: Row
    decoding: Future[Image]
    is_suspect: bool = False  # it may have killed a labeler


@dataclass(frozen=True)
class _Opened(Opened):
    """An image that is ready for the generator."""

    place: _Place


class BlockStream:
    """Labels the blocks of one labeler, in one thread for all of them."""

    def __init__(
        self, masks: MaskStream, beats: Beats, opening: Opening, schema: pa.Schema, logged: Logged
    ) -> None:
        self._masks, self._beats, self._opening = masks, beats, opening
        self._schema, self._logged = schema, logged
        self._clock = masks.clock
        self._waiting: deque[_Block] = deque()
        self._under_way: list[_Block] = []
        self._rest: Iterator[tuple[_Place, Row]] = iter(())  # images left in the last block under way
        self._thread = ThreadPoolExecutor(1)  # only this thread uses the generator
        self._decoders = ThreadPoolExecutor(opening.decoders.size)

    def labelled(self, images: pa.Table) -> Future[pa.Table]:
        """A future table with a row for each image, in their order; with fewer rows once the run stops.

        The future raises a fault that is not of a single image.
        """
        block = _Block(images)
        self._waiting.append(block)
        self._thread.submit(self._label_what_waits)
        return block.labelled

    def _label_what_waits(self) -> None:
        """Labels until no block waits. A fault that is not of a single image goes to all waiting calls."""
        if not self._waiting:  # an earlier turn has labelled it already
            return
        self._clock.labels()
        try:
            with self._logged():
                self._label()
        except BaseException as fault:  # noqa: BLE001  # else callers would wait for ever
            for block in self._under_way:
                block.labelled.set_exception(fault)
        finally:
            self._under_way, self._rest = [], iter(())
            self._clock.waits()

    def _label(self) -> None:
        try:
            for place, row in self._rows():
                self._add(place, row)
        except NoDecoder as fault:
            self._beats.end_labeler(f"a labeler stops: {fault}")
        self._beats.tell()
        for block in list(self._under_way):  # the run stops
            self._hand_on(block)

    def _add(self, place: _Place, row: Row) -> None:
        block = place.block
        block.rows[place.index] = row
        if len(block.rows) == len(block.images):
            self._beats.end_block()
            self._hand_on(block)

    def _hand_on(self, block: _Block) -> None:
        """Ends the block's call.

        The table is made in this thread, so that no image begins meanwhile: if the labeler died while making
        it, for lack of memory for example, an image of the next block would be blamed.
        """
        table = table_of(block.rows_in_order(), self._schema)
        self._under_way.remove(block)
        block.labelled.set_result(table)

    def _rows(self) -> Iterator[tuple[_Place, Row]]:
        # A group ends when groupby has read the first image of the next one. If that image is a suspect, it
        # has not begun yet in the ledger.
        for is_suspect, images in groupby(self._in_beats(), attrgetter("is_suspect")):
            labelled = self._one_by_one if is_suspect else self._in_a_stream
            yield from labelled(images)

    def _in_beats(self) -> Iterator[_Image]:
        """The images in order, marked if suspect, until the run stops; all of a beat begin together."""
        beat, left = Beat(0, frozenset()), 0
        for image in self._decoded_ahead():
            if left == 0:
                begun = self._beats.begin(image.place.image_ids_from_here())
                if begun is None:
                    return
                beat, left = begun, begun.size
            left -= 1
            yield replace(image, is_suspect=image.row["image_id"] in beat.suspects)

    def _one_by_one(self, suspects: Iterable[_Image]) -> Iterator[tuple[_Place, Row]]:
        for image in suspects:
            if (attempt := self._beats.begin_alone(image.row["image_id"])) is None:
                return
            try:
                if attempt > MOST_ATTEMPTS:
                    raise ImageError(
                        Reason.WORKER_CRASH, f"its labeler died {MOST_ATTEMPTS} times while labelling it"
                    )
                opened = self._opened(image)
            except ImageError as fault:
                yield image.place, self._failed(image.row, fault)
            else:
                yield image.place, self._row(opened, self._masks.of_one(opened))

    def _in_a_stream(self, images: Iterable[_Image]) -> Iterator[tuple[_Place, Row]]:
        """A row for each image that can be decoded; rows of the others are added meanwhile."""

        def decodable() -> Iterator[_Opened]:
            for image in images:
                try:
                    yield self._opened(image)
                except ImageError as fault:
                    self._add(image.place, self._failed(image.row, fault))

        for each, masks in self._masks.of_each(decodable()):
            yield each.place, self._row(each, masks)

    def _opened(self, image: _Image) -> _Opened:
        with self._clock.waiting(lambda: self._masks.generator.idle_since):
            return _Opened(image.row, image.decoding.result(), image.place)

    def _row(self, opened: Opened, masks: ImageMasks | ImageError) -> Row:
        self._clock.count(Stage.LABEL)
        if isinstance(masks, ImageError):
            return self._failed(opened.row, masks)
        self._beats.finish(opened.row["image_id"], None, len(masks))
        return ok_row(opened.row, opened.image, masks)

    def _failed(self, image: Row, fault: ImageError) -> Row:
        self._beats.finish(image["image_id"], fault.reason.value)
        with about_image(image["image_id"], image["uri"]):
            _log.info("%s failed with %s: %s", redacted(image["uri"]), fault.reason.value, fault)
        return failed_row(image, fault.reason, str(fault))

    def _decoded_ahead(self) -> Iterator[_Image]:
        """Each image of the waiting blocks; while it is labelled, the decoders work on the next ones."""
        ahead: deque[_Image] = deque()
        while True:
            # Asked again at the end of each block: another one may have come.
            while len(ahead) <= self._opening.decoders.size and (coming := self._next()) is not None:
                place, row = coming
                ahead.append(_Image(place, row, self._decoders.submit(self._decoded, row)))
            if not ahead:
                return
            yield ahead.popleft()

    def _next(self) -> tuple[_Place, Row] | None:
        """The next image of all blocks; None while no block waits."""
        while (coming := next(self._rest, None)) is None and self._waiting:
            block = self._waiting.popleft()
            self._under_way.append(block)
            self._rest = block.coming()
        return coming

    def _decoded(self, image: Row) -> Image:
        is_fetched = image["error"] is None
        with self._clock.timed(Stage.DECODE, int(is_fetched)), about_image(image["image_id"], image["uri"]):
            return self._opening.image_of(image)
