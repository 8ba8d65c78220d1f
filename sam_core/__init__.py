"""SAM's model and mask generation: tensors in, masks out. Uses torch and numpy, not Ray or Arrow.

This package exports the names of the original package. Each is imported on first use, so that the command
line reads the version without waiting for torch.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam_core.generator import SamAutomaticMaskGenerator
    from sam_core.model.resize import ResizeLongestSide
    from sam_core.model.sam import Sam
    from sam_core.predictor import SamPredictor
    from sam_core.weights.files import bundled_checkpoint
    from sam_core.weights.registry import sam_model_registry

    build_sam: Callable[..., Sam]
    build_sam_vit_h: Callable[..., Sam]
    build_sam_vit_l: Callable[..., Sam]
    build_sam_vit_b: Callable[..., Sam]
    build_sam_vit_t: Callable[..., Sam]

__version__ = "0.1.0"
__all__ = [
    "ResizeLongestSide",
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "__version__",
    "build_sam",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "build_sam_vit_t",
    "bundled_checkpoint",
    "sam_model_registry",
]

HOMES = {
    "ResizeLongestSide": "sam_core.model.resize",
    "SamAutomaticMaskGenerator": "sam_core.generator",
    "SamPredictor": "sam_core.predictor",
    "bundled_checkpoint": "sam_core.weights.files",
    "sam_model_registry": "sam_core.weights.registry",
}
# The builders of segment-anything; each is an entry of sam_model_registry.
BUILDERS = {
    "build_sam": "default",
    "build_sam_vit_h": "vit_h",
    "build_sam_vit_l": "vit_l",
    "build_sam_vit_b": "vit_b",
    "build_sam_vit_t": "vit_t",
}


def __getattr__(name: str) -> Any:
    if name in BUILDERS:
        return __getattr__("sam_model_registry")[BUILDERS[name]]
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
