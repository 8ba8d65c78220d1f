"""The names that programs need, from one place: `import sam_label`.

Each is imported on first use, so that neither Ray nor torch is loaded before it is needed. The modules behind
these names may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sam_core import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.config import RunConfig
    from pipeline.errors import ImageError, SamLabelError, UsageError
    from pipeline.reading.dataset import Dataset
    from pipeline.reading.record import Record
    from pipeline.reading.sampling import MaskSampling
    from pipeline.report.overlay import draw
    from pipeline.run import run
    from pipeline.similarity.similar import similar
    from sam_core import ResizeLongestSide, SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
    from sam_core.model.sam import Sam
    from sam_core.options import MaskOptions
    from sam_core.weights.files import bundled_checkpoint

    build_sam: Callable[..., Sam]
    build_sam_vit_h: Callable[..., Sam]
    build_sam_vit_l: Callable[..., Sam]
    build_sam_vit_b: Callable[..., Sam]
    build_sam_vit_t: Callable[..., Sam]

__all__ = [
    "Dataset",
    "ImageError",
    "MaskOptions",
    "MaskSampling",
    "Record",
    "ResizeLongestSide",
    "RunConfig",
    "SamAutomaticMaskGenerator",
    "SamLabelError",
    "SamPredictor",
    "UsageError",
    "__version__",
    "build_sam",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "build_sam_vit_t",
    "bundled_checkpoint",
    "draw",
    "run",
    "sam_model_registry",
    "similar",
]

_HOMES = {
    "Dataset": "pipeline.reading.dataset",
    "ImageError": "pipeline.errors",
    "MaskOptions": "sam_core.options",
    "MaskSampling": "pipeline.reading.sampling",
    "Record": "pipeline.reading.record",
    "RunConfig": "pipeline.config",
    "SamLabelError": "pipeline.errors",
    "UsageError": "pipeline.errors",
    "draw": "pipeline.report.overlay",
    "run": "pipeline.run",
    "similar": "pipeline.similarity.similar",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # the names of the original package come from sam_core, lazily too
    value = getattr(import_module(_HOMES.get(name, "sam_core")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
