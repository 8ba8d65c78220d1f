"""SAM's model and mask generation: tensors in, masks out. Knows torch and numpy, no Ray and no Arrow.

The names of the original package come from here. They are imported when they are asked for: the command line
reads the version without waiting for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam_core.generator import SamAutomaticMaskGenerator
    from sam_core.predictor import SamPredictor
    from sam_core.weights.registry import sam_model_registry

__version__ = "0.1.0"
__all__ = ["SamAutomaticMaskGenerator", "SamPredictor", "__version__", "sam_model_registry"]

HOMES = {
    "SamAutomaticMaskGenerator": "sam_core.generator",
    "SamPredictor": "sam_core.predictor",
    "sam_model_registry": "sam_core.weights.registry",
}


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
