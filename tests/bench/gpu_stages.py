"""How an image's time on a GPU is spent, step by step, and the host's part of it."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from sam_core.decoding.crop_decoder import crop_decoder
from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.gpu_decoder import DeviceDecoder
from sam_core.decoding.precision import product_dtype
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.model.device_encoder import resized_inputs

REPEATS = 5


class _Crop:
    """A photo as one crop, and its decoder."""

    def __init__(self, generator: SamAutomaticMaskGenerator, photo: np.ndarray) -> None:
        self.sam, self.photo, self._options = generator.model, photo, generator.options
        self.dtype = product_dtype(self._options)
        height, width, _ = photo.shape
        (embedding,) = self.sam.encode_batch([photo], self.dtype)
        self._features = embedding.features_1Chw
        size = self.sam.image_encoder.img_size
        self.frame = CropFrame(height, width, size, 4 * self._features.shape[2])
        points_N2 = generator.point_grids[0] * np.array([width, height])
        self.whole = (points_N2, (0, 0, width, height), (height, width))

    def decoder(self) -> Any:
        """A new decoder, which has computed nothing for the image yet."""
        return crop_decoder(self.sam, self._features, self.frame, self._options)


def stage_ms(generator: SamAutomaticMaskGenerator, photos: Sequence[np.ndarray]) -> dict[str, Any]:
    """Milliseconds per image, with a wait after each step; the sum is slower than `generate_batch`."""
    crop = _Crop(generator, photos[0])
    sam, photo, dtype, device = crop.sam, crop.photo, crop.dtype, crop.sam.device
    decoder = crop.decoder()
    found: dict[str, Any] = {
        "decoder": type(decoder).__name__,
        "upload and resize": _ms(lambda: resized_inputs(sam, [photo]), device),
        "upload, resize, encode": _ms(lambda: sam.encode_batch([photo], dtype), device),
        "upload, resize, encode of 2": _ms(lambda: sam.encode_batch([photo, photo], dtype), device) / 2,
    }
    if isinstance(decoder, DeviceDecoder):
        coords_N2 = crop.frame.input_points(crop.whole[0]).astype(np.float32)[: decoder._batch_size]
        found["one batch drawn"] = _ms(lambda: decoder.drawn(coords_N2), device)
        found["prompts a batch"] = len(coords_N2)
    if hasattr(decoder, "masks"):
        found["drawn, selected, encoded"] = _ms(lambda: crop.decoder().masks(*crop.whole), device)
    return found


def host_ms(generator: SamAutomaticMaskGenerator, photos: Sequence[np.ndarray]) -> dict[str, float]:
    """Milliseconds of the host alone: to queue the work of an image, and to make masks of the results.

    If they are close to the device's milliseconds, the device waits for the host, or the host waits for room
    in its queue.
    """
    crop = _Crop(generator, photos[0])
    pair, device = [crop.photo, crop.photo], crop.sam.device
    found = {"host encode": _host_ms(lambda: crop.sam.encode_batch(pair, crop.dtype), device) / 2}
    if hasattr(crop.decoder(), "queued"):
        from sam_core.decoding.triton.crop_masks import finished

        def queued() -> Any:
            return crop.decoder().queued(*crop.whole)

        finish = torch.inference_mode()(lambda one: finished(one, crop.whole[0]))
        found["host queue"] = _host_ms(queued, device)
        found["host finish"] = _host_ms(finish, device, queued)
    return found


def _ms(call: Callable[[], Any], device: torch.device) -> float:
    """Like `_host_ms`, including the wait for the device."""

    def waited() -> None:
        call()
        _wait(device)

    return _host_ms(waited, device)


def _host_ms(
    call: Callable[..., Any], device: torch.device, before: Callable[[], Any] | None = None
) -> float:
    """The median time of some calls on an idle device; each gets the result of `before`, which is untimed."""
    spans = []
    for _ in range(1 + REPEATS):
        given = () if before is None else (before(),)
        _wait(device)
        start = time.perf_counter()
        call(*given)
        spans.append((time.perf_counter() - start) * 1e3)
    _wait(device)
    return round(float(np.median(spans[1:])), 3)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
