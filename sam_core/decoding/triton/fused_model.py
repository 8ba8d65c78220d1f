"""What the fused decoder stores for a model: its maps, and the starts of the most recent point grids.

It holds no reference to the model, which would keep the model alive as long as the maps (made_of_weights.py).
"""

import threading
from collections import OrderedDict

import numpy as np
import numpy.typing as npt
import torch

from sam_core.decoding.triton.image_side_maps import ImageSideMaps
from sam_core.decoding.triton.prompt_start import PromptStart, prompt_start
from sam_core.decoding.triton.token_maps import TokenMaps
from sam_core.model.host_copies import on_device
from sam_core.model.sam import Sam

# Grids whose starts are stored for each stream, 18 MB each for 1024 points: a dataset has few image sizes, or
# too many to store
STARTS = 4


class FusedModel:
    """The maps of a model with its weights as they are now, for products in float16 or float32."""

    def __init__(self, sam: Sam, dtype: torch.dtype) -> None:
        self.side_maps = ImageSideMaps(sam, dtype)
        self.token_maps = TokenMaps.of(sam)
        self._starts: dict[int, OrderedDict[bytes, PromptStart]] = {}
        self._lock = threading.Lock()
        if sam.device.type == "cuda":
            # made in this stream, read in others
            torch.cuda.synchronize(sam.device)

    def start(self, sam: Sam, coords_B2: npt.NDArray[np.float32]) -> PromptStart:
        """The start of points at x, y in pixels of the model's input; `sam` must be the model of the maps.

        A start is stored for the stream that made it: another stream could read it before it is ready.
        """
        device, key = sam.device, coords_B2.tobytes()
        stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
        with self._lock:
            starts = self._starts.setdefault(stream, OrderedDict())
        if key not in starts:
            starts[key] = prompt_start(sam, on_device(coords_B2, device))
            while len(starts) > STARTS:
                starts.popitem(last=False)
        starts.move_to_end(key)
        return starts[key]
