"""Whether modules are as SAM's classes built them, so that reading their weights can replace calling them.

Adapters (LoRA), quantization, parametrizations and wrappers replace a module by one of another class.
"""

from torch import nn

OF_TORCH = {
    nn.BatchNorm2d,
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.Embedding,
    nn.GELU,
    nn.LayerNorm,
    nn.Linear,
    nn.ModuleList,
    nn.ReLU,
    nn.Sequential,
}


def is_own(module: nn.Module) -> bool:
    """Whether calling the module runs only code of SAM's classes or torch's layers, without hooks."""
    kind, its = type(module), module.__dict__
    return (kind in OF_TORCH or kind.__module__.startswith("sam_core.model.")) and not (
        its["_forward_hooks"] or its["_forward_pre_hooks"] or "forward" in its
    )


def are_own(module: nn.Module) -> bool:
    """Whether `is_own` holds for the module and all modules inside; 30 us for a mask decoder, per crop."""
    left: list[nn.Module | None] = [module]
    while left:
        inner = left.pop()
        if inner is not None:
            if not is_own(inner):
                return False
            left += inner.__dict__["_modules"].values()
    return True
