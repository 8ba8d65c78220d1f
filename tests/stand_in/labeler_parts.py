"""The parts of a labeler for tests, with a stand-in for its model; and blocks for it."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import count
from threading import Event
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from stand_in_generator import StandInGenerator

from pipeline.cluster.attempts import AttemptLedger
from pipeline.images.decode_pool import DecodeLimits, DecodePool
from pipeline.labelling.beats import Beats
from pipeline.labelling.block_stream import BlockStream
from pipeline.labelling.fetch import FETCHED_SCHEMA
from pipeline.labelling.labeler import LabelerSettings
from pipeline.labelling.mask_stream import MaskStream
from pipeline.labelling.opening import Opening
from pipeline.metrics.work import WorkClock
from pipeline.output.format.schema import SCHEMA
from pipeline.store.settings import DEFAULT_ACCESS
from sam_core.masks.image_masks import ImageMasks
from sam_core.options import MaskOptions

IDS = count()
SETTINGS = LabelerSettings(None, None, "", "cpu", 1, MaskOptions(), 1, DecodeLimits(1 << 20, 20))


def new_ledger() -> Any:
    return ray.remote(AttemptLedger).options(num_cpus=0).remote()


class Ahead(StandInGenerator):
    """Reads `ahead` images more than it has yielded masks for, as on a GPU; counts each stream's images."""

    def __init__(self, ahead: int) -> None:
        super().__init__(0.0, None)
        self.ahead, self.streams = ahead, list[int]()

    def generate_many(self, images: Iterable[np.ndarray]) -> Iterator[ImageMasks]:
        self.streams.append(0)
        stream, taken = len(self.streams) - 1, deque[np.ndarray]()
        for image in images:
            self.streams[stream] += 1
            taken.append(image)
            if len(taken) > self.ahead:
                yield self.generate_masks(taken.popleft())
        yield from map(self.generate_masks, taken)


class Gated(Ahead):
    """Begins when `may_begin` is set."""

    def __init__(self, ahead: int) -> None:
        super().__init__(ahead)
        self.may_begin = Event()

    def generate_many(self, images: Iterable[np.ndarray]) -> Iterator[ImageMasks]:
        assert self.may_begin.wait(60)
        return super().generate_many(images)


def fetched(photos: list[bytes]) -> pa.Table:
    rows = [
        {
            "image_id": f"{next(IDS):032x}",
            "uri": f"file:///{number}",
            "size": len(data),
            "etag": "e",
            "data": data,
        }
        for number, data in enumerate(photos)
    ]
    return pa.Table.from_pylist(rows, schema=FETCHED_SCHEMA)


def block_stream(
    generator: StandInGenerator,
    ledger: Any,
    clock: WorkClock | None = None,
    decoders: DecodePool | None = None,
) -> BlockStream:
    limits = SETTINGS.decode_limits
    opening = Opening(decoders or DecodePool(1, limits), limits, False, DEFAULT_ACCESS)
    masks = MaskStream(generator, clock or WorkClock())
    return BlockStream(masks, Beats(ledger), opening, SCHEMA, nullcontext)
