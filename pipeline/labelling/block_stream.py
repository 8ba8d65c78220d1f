"""Blocks of images that are labelled as one stream, by one thread, while the calls that brought them wait.

A labeler is called with the next block while it is at one. The images of both follow each other through the
generator, so that a GPU has some in its queue, and decoders are at work, when one block ends. The stream ends
where no block waits: the last masks are read then, and wait for no image that may not come.
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
    """Images that came together, and the rows of those that are done, each at its image's place."""

    images: pa.Table
    rows: dict[int, Row] = field(default_factory=dict)
    labelled: Future[pa.Table] = field(default_factory=Future)

    def rows_in_order(self) -> list[Row]:
        """The rows that there are; of the same images always in the same order."""
        return [self.rows[place] for place in sorted(self.rows)]

    def coming(self) -> Iterator[tuple["_Place", Row]]:
        """Each image with its place."""
        for index in range(len(self.images)):  # one by one: its file is copied, and others wait here
            (row,) = self.images.slice(index, 1).to_pylist()
            yield _Place(self, index), row


@dataclass(frozen=True)
class _Place:
    """Of an image and its row."""

    block: _Block
    index: int

    def image_ids_from_here(self) -> list[str]:
        """Of the image here and those behind it in its block."""
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
        self._rest: Iterator[tuple[_Place, Row]] = iter(())  # of the last block under way
        self._thread = ThreadPoolExecutor(1)  # the generator's own
        self._decoders = ThreadPoolExecutor(opening.decoders.size)

    def labelled(self, images: pa.Table) -> Future[pa.Table]:
        """A row for each image to come, in their order; for fewer of them once the run stops.

        Raises, in place of the table: what is no image's fault.
        """
        block = _Block(images)
        self._waiting.append(block)
        self._thread.submit(self._label_what_waits)
        return block.labelled

    def _label_what_waits(self) -> None:
        """Labels until no block waits. What is no image's fault goes to all who wait for rows."""
        if not self._waiting:  # an earlier turn has taken it along
            return
        self._clock.labels()
        try:
            with self._logged():
                self._label()
        except BaseException as fault:  # noqa: BLE001  # a caller that hears nothing would wait for ever
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
            self._beats.end_labeler(f"a labeler ends: {fault}")
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

        The table is made in this thread, so that no image begins meanwhile: one of the next block would be
        blamed if the labeler died of making it, as for want of memory.
        """
        table = table_of(block.rows_in_order(), self._schema)
        self._under_way.remove(block)
        block.labelled.set_result(table)

    def _rows(self) -> Iterator[tuple[_Place, Row]]:
        # A group ends when the first image of the next one has been taken. If that is a suspect, the ledger
        # has not begun it yet.
        for is_suspect, images in groupby(self._in_beats(), attrgetter("is_suspect")):
            labelled = self._one_by_one if is_suspect else self._in_a_stream
            yield from labelled(images)

    def _in_beats(self) -> Iterator[_Image]:
        """The images in order, until the run stops, and whether they are suspects; a beat begins together."""
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
                        Reason.WORKER_CRASH, f"its labeler died {MOST_ATTEMPTS} times while at it"
                    )
                opened = self._opened(image)
            except ImageError as fault:
                yield image.place, self._failed(image.row, fault)
            else:
                yield image.place, self._row(opened, self._masks.of_one(opened))

    def _in_a_stream(self, images: Iterable[_Image]) -> Iterator[tuple[_Place, Row]]:
        """A row for each image that can be decoded; those of the others are added meanwhile."""

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
        """Each image of the blocks that wait; while it is used, the decoders are at work on the next ones."""
        ahead: deque[_Image] = deque()
        while True:
            # Asked anew at the end of each block: another one may have come.
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
