"""Guesses what a run takes without a measurement: from figures of other machines and a few headers.

`sam-label bench` measures; this is for `run --dry-run`, which must answer within seconds. The figures and
their sources are in tests/bench/RESULTS.md and docs/scaling.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from PIL import Image

from pipeline.cluster.labeler_pool import LabelerPool
from pipeline.cluster.start import local_pool
from pipeline.config import RunConfig
from pipeline.errors import ImageError
from pipeline.images.fetch import FetchSettings, fetched
from pipeline.images.header import stored_size
from pipeline.inputs.source import Source
from pipeline.output.format.manifest import ManifestRow
from pipeline.plan import RunPlan
from pipeline.store.storage import side_by_side
from pipeline.weights.models import weights_of
from sam_core.options import MaskOptions

# Seconds of one core for the encoder: vit_t measured (Xeon with AVX-512), the others by their operations.
CPU_ENCODE_S = {"vit_t": 1.0, "vit_b": 3.5, "vit_l": 10.0, "vit_h": 19.0}
CPU_PROMPT_S = 0.0083  # of one core, by the C kernel
# Seconds on an H100 in bfloat16: vit_t and vit_h measured, the others between them.
GPU_ENCODE_S = {"vit_t": 0.005, "vit_b": 0.015, "vit_l": 0.03, "vit_h": 0.04}
GPU_PROMPT_S, GPU_PROMPT_MEGAPIXEL_S = 1.5e-4, 1.4e-4
MASKS = 28  # of an image of the sample photos; SA-1B's larger images have about a hundred
MASK_BYTES, MASK_BYTES_WITH_VECTOR = 256, 764
MOST_BYTES = 8 << 20  # a larger image is not fetched for its header


@dataclass(frozen=True)
class Forecast:
    """A guess, good to about a factor of two, and what it is based on."""

    hours: float
    output_bytes: int
    device: str
    labelers: int
    megapixels: float | None  # the median of the sample; None if no header could be read
    sample: int  # images whose headers were read


def forecast(config: RunConfig, plan: RunPlan) -> Forecast:
    """The forecast for the pending images. Raises: UsageError if the labelers asked for do not fit here."""
    sizes = _megapixels(config, plan.sample)
    typical = median(sizes) if sizes else None
    pool = _pool(config)
    seconds = image_seconds(weights_of(config).model_type, config.mask, pool, typical or 1.0)
    mask_bytes = MASK_BYTES_WITH_VECTOR if config.mask.mask_embeddings else MASK_BYTES
    return Forecast(
        hours=plan.pending * seconds / pool.workers / 3600,
        output_bytes=plan.pending * MASKS * mask_bytes,
        device=pool.device,
        labelers=pool.workers,
        megapixels=typical,
        sample=len(sizes),
    )


def image_seconds(model: str, mask: MaskOptions, pool: LabelerPool, megapixels: float) -> float:
    """What one labeler takes for an image, by the figures above."""
    layers = range(mask.crop_n_layers + 1)
    encodes = sum(4**layer for layer in layers)
    factor = mask.crop_n_points_downscale_factor
    prompts = sum(4**layer * int(mask.points_per_side / factor**layer) ** 2 for layer in layers)
    if pool.gpus:
        prompt_s = GPU_PROMPT_S + GPU_PROMPT_MEGAPIXEL_S * megapixels
        return float(encodes * GPU_ENCODE_S[model] + prompts * prompt_s)
    return float((encodes * CPU_ENCODE_S[model] + prompts * CPU_PROMPT_S) / pool.threads)


def _pool(config: RunConfig) -> LabelerPool:
    """The labelers of this machine. A cluster is not asked: it counts as `config.workers`, or one."""
    if config.address is None:
        return local_pool(config)
    return LabelerPool(config.workers or 1, threads=2, gpus=int(config.device != "cpu"))


def _megapixels(config: RunConfig, rows: Sequence[ManifestRow]) -> list[float]:
    """The megapixels of the sample's images whose header can be read."""
    if not rows:
        return []
    settings = FetchSettings(Source.of(config).root, config.access, config.max_image_pixels)

    def megapixels(row: ManifestRow) -> float | None:
        try:
            width, height = stored_size(fetched(row._asdict(), settings).data)
        except (ImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError, RuntimeError):
            return None  # its row will say why
        return width * height / 1e6

    found = side_by_side(megapixels, [row for row in rows if row.size <= MOST_BYTES])
    return [size for size in found if size is not None]
