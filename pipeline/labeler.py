"""The actor that labels: it loads a model once, then turns fetched rows into rows of the dataset.

Decoding happens here, one image ahead of the model, in the children of a `DecodePool`: pixels never pass
through the object store, and memory holds a few images whatever the size of a block. What looks at pixels
is `sam_core`'s.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import numpy as np
import pyarrow as pa
import ray

from pipeline.attempts import MOST_ATTEMPTS, LedgerHandle
from pipeline.decode import DecodedImage
from pipeline.decode_pool import DecodeLimits, DecodePool
from pipeline.errors import ImageError, SamLabelError
from pipeline.reason import Reason
from pipeline.schema import failed_row, ok_row, table_of
from sam_core.image_masks import ImageMasks
from sam_core.options import MaskOptions

Row = dict[str, Any]


class MaskGenerator(Protocol):
    """What a labeler needs of `SamAutomaticMaskGenerator`."""

    def generate_masks(self, image: np.ndarray) -> ImageMasks: ...


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


LoadGenerator = Callable[[LabelerSettings], MaskGenerator]


class Labeler:
    """Rows with bytes in, rows of the dataset out, one for one, unless the run stops."""

    def __init__(self, settings: LabelerSettings, load: LoadGenerator, ledger: LedgerHandle) -> None:
        self._ledger = ledger
        try:
            self._generator = load(settings)
        except Exception as fault:  # noqa: BLE001  # told to the ledger: Ray would bury it in pages, and try again
            why = str(fault) if isinstance(fault, SamLabelError) else describe(fault)
            ray.get(ledger.give_up.remote(why))  # and nothing begins that would need the generator
        self._decoders = DecodePool(settings.decoders, settings.decode_limits)
        self._threads = ThreadPoolExecutor(settings.decoders)

    def __call__(self, images: pa.Table) -> pa.Table:
        return table_of(list(self._rows(images.to_pylist())))

    def _rows(self, images: list[Row]) -> Iterator[Row]:
        for image, decoding in self._decoded_ahead(images):
            attempt: int | None = ray.get(self._ledger.begin.remote(image["image_id"]))
            if attempt is None:
                return
            try:
                if attempt > MOST_ATTEMPTS:
                    raise ImageError(
                        Reason.WORKER_CRASH, f"its labeler died {MOST_ATTEMPTS} times while at it"
                    )
                decoded = decoding.result()
                row = ok_row(image, decoded, self._masks(decoded))
            except ImageError as fault:
                row = failed_row(image, fault.reason, str(fault))
            self._ledger.finish.remote(image["image_id"], row.get("error"))
            yield row

    def _masks(self, decoded: DecodedImage) -> ImageMasks:
        try:
            return self._generator.generate_masks(decoded.image_HW3)
        except Exception as fault:  # whatever it is, it is this image's; the neighbours go on
            raise labeler_fault(fault) from fault

    def _decoded_ahead(self, images: list[Row]) -> Iterator[tuple[Row, Future[DecodedImage]]]:
        """Each image and its decoding; as many more as there are decoders are under way."""
        ahead: list[tuple[Row, Future[DecodedImage]]] = []
        for image in images:
            ahead.append((image, self._threads.submit(self._decoded, image)))
            if len(ahead) > self._decoders.size:
                yield ahead.pop(0)
        yield from ahead

    def _decoded(self, image: Row) -> DecodedImage:
        if image["error"] is not None:
            raise ImageError(Reason(image["error"]), image["error_message"])
        return self._decoders.decode(image["data"])


def labeler_fault(fault: Exception) -> ImageError:
    """The failed row that an exception of the mask generator becomes.

    An error that leaves the CUDA context broken ends the process instead, so that Ray starts a sound one; the
    ledger remembers the image.
    """
    text = describe(fault)
    if "out of memory" in text and "CUDA" in text:  # the generator has halved its batches down to one before
        return ImageError(Reason.GPU_OOM, text)
    if "CUDA error" in text:
        _die()
    return ImageError(Reason.LABELER_ERROR, text)


def describe(fault: BaseException) -> str:
    """The fault in one line, its type first."""
    return f"{type(fault).__name__}: {fault}".strip().replace("\n", " ")


def _die() -> NoReturn:
    os._exit(1)  # not sys.exit: Ray would keep the dead actor in its slot
