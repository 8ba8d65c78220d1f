"""The GPU that a labeler was given: whether torch can compute on it, and whether the model fits."""

import os
from dataclasses import dataclass

from pipeline.errors import SamLabelError

# What labelling needs besides the weights, with the smallest batches of prompts.
WORKING_BYTES = 3 << 30
_MAKE_ROOM = "other processes use the rest; end them, or exclude the GPU with CUDA_VISIBLE_DEVICES"
_OTHERWISE = "or label with --device cpu"


@dataclass(frozen=True)
class GivenGpu:
    """A GPU as it is before the model comes."""

    name: str
    total_bytes: int
    free_bytes: int

    @classmethod
    def here(cls) -> "GivenGpu":
        """The GPU of this process. Raises: SamLabelError if torch cannot compute on it."""
        import torch

        build = f"torch {torch.__version__} on {os.uname().nodename}"
        if torch.version.cuda is None:
            raise SamLabelError(
                f"{build} is built for CPUs, but the labeler was given a GPU; install torch's build for CUDA "
                f"there, {_OTHERWISE}"
            )
        try:
            torch.zeros(1, device="cuda").add_(1).item()
            free_bytes, total_bytes = torch.cuda.mem_get_info()
            return cls(torch.cuda.get_device_name(), total_bytes, free_bytes)
        except RuntimeError as fault:  # no driver or an old one, or a card that the build does not support
            why = str(fault).partition("\n")[0].rstrip(".")
            if "out of memory" in why:
                raise SamLabelError(
                    f"the GPU on {os.uname().nodename} has no memory left for a labeler: {_MAKE_ROOM}"
                ) from fault
            raise SamLabelError(
                f"{build}, for CUDA {torch.version.cuda}, cannot use the GPU: {why}; check nvidia-smi, "
                f"install a driver as new as that CUDA, {_OTHERWISE}"
            ) from fault

    def refuse_what_does_not_fit(self, model_type: str, weights_bytes: int) -> None:
        """Raises: SamLabelError if the card, or what other processes leave of it, is too small."""
        needed = weights_bytes + WORKING_BYTES
        needs = (
            f"{model_type} needs {_gb(needed)} of GPU memory, and the {self.name} on {os.uname().nodename}"
        )
        if self.total_bytes < needed:
            raise SamLabelError(f"{needs} has {_gb(self.total_bytes)}; use a smaller model, {_OTHERWISE}")
        if self.free_bytes < needed:
            raise SamLabelError(
                f"{needs} has {_gb(self.free_bytes)} free of {_gb(self.total_bytes)}: {_MAKE_ROOM}"
            )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
