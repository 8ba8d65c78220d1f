"""The crop decoder for modules that are not SAM's own: adapted, hooked, quantized, wrapped or subclassed.

The other decoders read weights out of the modules and share the image's half of the work among its prompts.
This one calls the prompt encoder and the mask decoder as `SamPredictor` does: slower, but right whatever they
do.
"""

import numpy as np
import numpy.typing as npt
import torch

from sam_core.decoding.gpu_decoder import DeviceDecoder
from sam_core.model.host_copies import on_device


class CallingDecoder(DeviceDecoder):
    """A DeviceDecoder, on any device, that calls the model's modules."""

    def drawn(self, coords_B2: npt.NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
        """Predicted IoU [B, M], logits [B, M, rows, columns] over the crop; points in the model's input."""
        encoder = self._sam.prompt_encoder
        labels_B1 = torch.ones(len(coords_B2), 1, dtype=torch.int, device=self._device)
        points = (on_device(coords_B2, self._device)[:, None], labels_B1)
        sparse, dense = encoder(points, None, None)
        logits, predicted_iou = self._sam.mask_decoder(
            self._features_1Chw, encoder.get_dense_pe(), sparse, dense, True
        )
        rows, columns = self._frame.shown
        return predicted_iou, logits[..., :rows, :columns]
