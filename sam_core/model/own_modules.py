"""Whether modules are as SAM's classes built them, so that a step past their calls gives what calls give.

Adapters (LoRA), quantization, parametrizations and wrappers put a module of another class in one's place.
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
    """Whether the module's call is that of SAM's classes or torch's layers, and nothing else: no hook."""
    kind, its = type(module), module.__dict__
    return (kind in OF_TORCH or kind.__module__.startswith("sam_core.model.")) and not (
        its["_forward_hooks"] or its["_forward_pre_hooks"] or "forward" in its
    )


def are_own(module: nn.Module) -> bool:
    """Whether the module and all inside it are: 30 us for a mask decoder, so that it may be asked a crop."""
    left: list[nn.Module | None] = [module]
    while left:
        inner = left.pop()
        if inner is not None:
            if not is_own(inner):
                return False
            left += inner.__dict__["_modules"].values()
    return True
