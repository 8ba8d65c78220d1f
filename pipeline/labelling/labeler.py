"""The actor that labels: it loads a model once, then turns fetched rows into rows of the dataset.

Decoding happens here, some images ahead of the model, in the children of a `DecodePool`: pixels never pass
through the object store, and memory holds a few images, however large a block is. All that computes on pixels
is in `sam_core`.
"""

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray

from pipeline.cluster.attempts import LedgerHandle, add_work
from pipeline.cluster.labeler_pool import LabelerPool
from pipeline.cluster.worker_log import Logged
from pipeline.config import RunConfig
from pipeline.errors import SamLabelError
from pipeline.images.decode_pool import DecodeLimits, DecodePool
from pipeline.labelling.beats import Beats
from pipeline.labelling.block_stream import BlockStream
from pipeline.labelling.gpu_memory import show_gpu_memory
from pipeline.labelling.mask_stream import MaskGenerator, MaskStream
from pipeline.labelling.opening import Opening
from pipeline.labelling.worker_faults import describe, die_with_warning
from pipeline.metrics.published import Published
from pipeline.metrics.work import WorkClock
from pipeline.output.format.schema import schema_of
from pipeline.store.settings import DEFAULT_ACCESS, Access
from pipeline.weights.models import Weights
from sam_core.options import MaskOptions


@dataclass(frozen=True)
class LabelerSettings:
    """What each labeler of a run is made from; it is sent to the workers."""

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
        """The settings of a run's labelers."""
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


LoadGenerator = Callable[[LabelerSettings], MaskGenerator]


class Labeler:
    """Makes fetched rows into rows of the dataset, one for one unless the run stops; calls may overlap."""

    def __init__(
        self,
        settings: LabelerSettings,
        load: LoadGenerator,
        ledger: LedgerHandle,
        logged: Logged = nullcontext,
        published: Published | None = None,
    ) -> None:
        self._ledger, self._published = ledger, published
        self._clock = WorkClock()
        decoders = DecodePool(settings.decoders, settings.decode_limits)

        def generator() -> MaskGenerator:
            decoders.start()  # while the model loads, so that no image begins long before it can be decoded
            made = load(settings)
            decoders.await_start()
            return made

        with logged():
            masks = MaskStream(loaded(generator, ledger), self._clock)
        opening = Opening(decoders, settings.decode_limits, bool(settings.mask.tile_size), settings.access)
        self._blocks = BlockStream(masks, Beats(ledger), opening, schema_of(settings.mask), logged)

    def __call__(self, images: pa.Table) -> pa.Table:
        labelled = self._blocks.labelled(images).result()
        add_work(self._ledger, self._clock.read())
        if self._published is not None:
            show_gpu_memory(self._published)
        return labelled


def loaded(load: Callable[[], MaskGenerator], ledger: LedgerHandle) -> Any:
    """The generator; None if the run ends since no labeler has one. Else a failed load ends this process."""
    context = ray.get_runtime_context()
    me = context.get_actor_id() or "here"
    time.sleep(ray.get(ledger.begin_load.remote(me, context.get_node_id())))
    try:
        generator = load()
    # If it were raised, Ray would hide it in pages of text and end the run.
    except Exception as fault:  # noqa: BLE001
        why = str(fault) if isinstance(fault, SamLabelError) else describe(fault)
        if ray.get(ledger.fail_load.remote(me, why)):
            return None  # no image begins that would need it
        die_with_warning(ledger, f"a labeler on {os.uname().nodename} cannot start: {why}")
    ray.get(ledger.end_load.remote(me))
    return generator
