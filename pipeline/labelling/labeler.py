"""The actor that labels: it loads a model once, then turns fetched rows into rows of the dataset.

Decoding happens here, some images ahead of the model, in the children of a `DecodePool`: pixels never pass
through the object store, and memory holds a few images, however large a block is. The images of a block go
through the generator as one stream, so that a GPU has the next ones in its queue while an image's masks are
read and its row is built. All that computes on pixels is in `sam_core`.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa
import ray

from pipeline.cluster.attempts import MOST_ATTEMPTS, LedgerHandle, add_work
from pipeline.cluster.labeler_pool import LabelerPool
from pipeline.cluster.worker_log import Logged
from pipeline.config import RunConfig
from pipeline.errors import ImageError, Reason, SamLabelError
from pipeline.images.decode_pool import DecodeLimits, DecodePool
from pipeline.labelling.gpu_memory import show_gpu_memory
from pipeline.labelling.mask_stream import MaskGenerator, MaskStream, Opened
from pipeline.labelling.opening import Image, Opening
from pipeline.labelling.worker_faults import describe, die
from pipeline.metrics.published import Published
from pipeline.metrics.work import Stage, WorkClock
from pipeline.output.format.schema import failed_row, ok_row, schema_of, table_of
from pipeline.program_log import about_image
from pipeline.store.settings import DEFAULT_ACCESS, Access
from pipeline.store.uri import redacted
from pipeline.weights.models import Weights
from sam_core.masks.image_masks import ImageMasks
from sam_core.options import MaskOptions

Row = dict[str, Any]
# What a labeler begins and finishes in one message to the ledger: a fast one would send it hundreds a second,
# and an order to stop, or progress, may wait no longer than this.
BEAT_S = 3.0
_log = logging.getLogger("sam_label.images")


@dataclass(frozen=True)
class LabelerSettings:
    """What each labeler of a run is made from; it travels to the workers."""

    model: str | None
    checkpoint: str | None
    sha256: str  # of the weights that the dataset was begun with
    device: str
    threads: int
    mask: MaskOptions
    decoders: int
    decode_limits: DecodeLimits
    access: Access = DEFAULT_ACCESS  # how the input is reached

    @classmethod
    def of(cls, config: RunConfig, weights: Weights, pool: LabelerPool) -> "LabelerSettings":
        """Those of a run's labelers."""
        return cls(
            model=config.model,
            checkpoint=config.checkpoint,
            sha256=weights.sha256,
            device=pool.device,
            threads=pool.threads,
            mask=config.mask,
            decoders=pool.decoders,
            decode_limits=DecodeLimits(config.max_image_pixels, config.decode_timeout_s, config.reading),
            access=config.access,
        )


@dataclass(frozen=True)
class _Begun:
    """An image that the ledger knows to be begun, and its decoding."""

    row: Row
    decoding: Future[Image]
    is_suspect: bool  # it may have killed a labeler: alone, it costs no other image


LoadGenerator = Callable[[LabelerSettings], MaskGenerator]


class Labeler:
    """Rows with bytes in, rows of the dataset out, one for one, unless the run stops."""

    def __init__(
        self,
        settings: LabelerSettings,
        load: LoadGenerator,
        ledger: LedgerHandle,
        logged: Logged = nullcontext,
        published: Published | None = None,
    ) -> None:
        self._ledger, self._logged, self._published = ledger, logged, published
        self._clock = WorkClock()
        with logged():
            self._stream = MaskStream(loaded(load, settings, ledger), self._clock)
        self._schema = schema_of(settings.mask)
        self._images_a_beat = 1  # as many as took BEAT_S in the block before
        self._finished: dict[str, str | None] = {}  # why they failed, of images the ledger has not heard of
        self._finished_masks: dict[str, int] = {}
        self._decoders = DecodePool(settings.decoders, settings.decode_limits)
        self._decoders.start()
        self._opening = Opening(
            self._decoders, settings.decode_limits, bool(settings.mask.tile_size), settings.access
        )
        self._threads = ThreadPoolExecutor(settings.decoders)

    def __call__(self, images: pa.Table) -> pa.Table:
        with self._clock.block(), self._logged():
            labelled = table_of(list(self._rows(images.to_pylist())), self._schema)
        add_work(self._ledger, self._clock.read())
        if self._published is not None:
            show_gpu_memory(self._published)
        return labelled

    def _rows(self, images: list[Row]) -> Iterator[Row]:
        started_s = time.monotonic()
        for is_suspect, some in groupby(self._in_beats(images), lambda each: each.is_suspect):
            if is_suspect:
                yield from self._one_by_one(some)
            else:
                yield from self._in_a_stream(some)
        self._tell_finished()
        pace = len(images) / max(time.monotonic() - started_s, 1e-3)
        self._images_a_beat = max(1, int(BEAT_S * pace))

    def _in_beats(self, images: list[Row]) -> Iterator[_Begun]:
        """The images in order, a beat of them begun together, until the run stops."""
        begun, suspects = 0, set[str]()
        for place, (image, decoding) in enumerate(self._decoded_ahead(images)):
            if place == begun:
                some = [each["image_id"] for each in images[place : place + self._images_a_beat]]
                if (suspected := self._begun(some)) is None:
                    return
                begun, suspects = begun + len(some), suspected
            yield _Begun(image, decoding, image["image_id"] in suspects)

    def _one_by_one(self, suspects: Iterator[_Begun]) -> Iterator[Row]:
        for each in suspects:
            if (attempt := self._attempt_alone(each.row)) is None:
                return
            try:
                if attempt > MOST_ATTEMPTS:
                    raise ImageError(
                        Reason.WORKER_CRASH, f"its labeler died {MOST_ATTEMPTS} times while at it"
                    )
                opened = Opened(each.row, each.decoding.result())
            except ImageError as fault:
                yield self._failed(each.row, fault)
            else:
                yield self._row(opened, self._stream.of_one(opened))

    def _in_a_stream(self, begun: Iterator[_Begun]) -> Iterator[Row]:
        """A row for each image; those that cannot be decoded come before their neighbours."""
        failed: list[Row] = []
        for opened, masks in self._stream.of_each(self._opened(begun, failed)):
            yield from failed
            failed.clear()
            yield self._row(opened, masks)
        yield from failed

    def _opened(self, begun: Iterator[_Begun], failed: list[Row]) -> Iterator[Opened]:
        """The images that can be decoded; the rows of the others are added to `failed`."""
        for each in begun:
            try:
                opened = Opened(each.row, each.decoding.result())
            except ImageError as fault:
                failed.append(self._failed(each.row, fault))
            else:
                yield opened

    def _begun(self, image_ids: list[str]) -> set[str] | None:
        """The images among them that may have killed a labeler; the others are begun. None at the end."""
        self._tell_finished()
        suspects: set[str] | None = ray.get(self._ledger.begin.remote(image_ids))
        return suspects

    def _attempt_alone(self, image: Row) -> int | None:
        self._tell_finished()  # or its death would take that along
        attempt: int | None = ray.get(self._ledger.begin_alone.remote(image["image_id"]))
        return attempt

    def _tell_finished(self) -> None:
        if self._finished:
            self._ledger.finish.remote(self._finished, self._finished_masks)
        self._finished, self._finished_masks = {}, {}

    def _row(self, opened: Opened, masks: ImageMasks | ImageError) -> Row:
        self._clock.count(Stage.LABEL)
        if isinstance(masks, ImageError):
            return self._failed(opened.row, masks)
        self._finished[opened.row["image_id"]] = None
        self._finished_masks[opened.row["image_id"]] = len(masks)
        return ok_row(opened.row, opened.image, masks)

    def _failed(self, image: Row, fault: ImageError) -> Row:
        self._finished[image["image_id"]] = fault.reason.value
        with about_image(image["image_id"], image["uri"]):
            _log.info("%s failed with %s: %s", redacted(image["uri"]), fault.reason.value, fault)
        return failed_row(image, fault.reason, str(fault))

    def _decoded_ahead(self, images: list[Row]) -> Iterator[tuple[Row, Future[Image]]]:
        """Each image and its decoding; while it is used, the decoders are at work on the next."""
        ahead: deque[tuple[Row, Future[Image]]] = deque()
        for image in images:
            ahead.append((image, self._threads.submit(self._decoded, image)))
            if len(ahead) > self._decoders.size:
                yield ahead.popleft()
        yield from ahead

    def _decoded(self, image: Row) -> Image:
        is_fetched = image["error"] is None
        with self._clock.timed(Stage.DECODE, int(is_fetched)), about_image(image["image_id"], image["uri"]):
            return self._opening.image_of(image)


def loaded(load: LoadGenerator, settings: LabelerSettings, ledger: LedgerHandle) -> Any:
    """The generator; None if the run ends for want of it. While others have one, this process begins anew."""
    context = ray.get_runtime_context()
    me = context.get_actor_id() or "here"
    time.sleep(ray.get(ledger.begin_load.remote(me, context.get_node_id())))
    try:
        generator = load(settings)
    # If it were raised, Ray would bury it in pages and end the run.
    except Exception as fault:  # noqa: BLE001
        why = str(fault) if isinstance(fault, SamLabelError) else describe(fault)
        if ray.get(ledger.fail_load.remote(me, why)):
            return None  # nor does any image begin that would need it
        node = os.uname().nodename
        _log.warning("a labeler on %s does not start, and tries again later: %s", node, why)
        ray.get(ledger.is_stopping.remote())  # which the ledger answers after it has the warning
        die()
    ray.get(ledger.end_load.remote(me))
    return generator
