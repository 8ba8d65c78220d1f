"""Where an image's time on a GPU goes, step by step, and the share of the time that the device works."""

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


def stage_ms(generator: SamAutomaticMaskGenerator, photos: Sequence[np.ndarray]) -> dict[str, Any]:
    """Milliseconds an image, each step waited for; together they are slower than `generate_batch` is."""
    sam, options, photo = generator.model, generator.options, photos[0]
    height, width, _ = photo.shape
    dtype = product_dtype(options)
    (embedding,) = sam.encode_batch([photo], dtype)
    features = embedding.features_1Chw
    frame = CropFrame(height, width, sam.image_encoder.img_size, 4 * features.shape[2])
    points_N2 = generator.point_grids[0] * np.array([width, height])
    decoder: Any = crop_decoder(sam, features, frame, options)
    whole = (points_N2, (0, 0, width, height), (height, width))
    found: dict[str, Any] = {
        "decoder": type(decoder).__name__,
        "upload and resize": _ms(lambda: resized_inputs(sam, [photo]), sam.device),
        "upload, resize, encode": _ms(lambda: sam.encode_batch([photo], dtype), sam.device),
        "upload, resize, encode of 2": _ms(lambda: sam.encode_batch([photo, photo], dtype), sam.device) / 2,
    }
    if isinstance(decoder, DeviceDecoder):
        coords_N2 = frame.input_points(points_N2).astype(np.float32)[: decoder._batch_size]
        found["one batch drawn"] = _ms(lambda: decoder.drawn(coords_N2), sam.device)
        found["prompts a batch"] = len(coords_N2)
    if hasattr(decoder, "masks"):
        found["drawn, selected, encoded"] = _ms(lambda: decoder.masks(*whole), sam.device)
    return found


def busy_share(call: Callable[[], Any]) -> dict[str, Any]:
    """How much of the call's time the device works, its kernels, and the dearest of them in milliseconds."""
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        elapsed_ms = (time.perf_counter() - start) * 1e3
    events = [
        (event.self_device_time_total / 1e3, event.count, event.key) for event in profiled.key_averages()
    ]
    dearest = sorted((event for event in events if event[0] > 0), reverse=True)[:15]
    return {
        "share": round(sum(event[0] for event in events) / elapsed_ms, 3),
        "kernels": sum(event[1] for event in events if event[0] > 0),
        "dearest": {f"{name[:60]} x {count}": round(ms, 2) for ms, count, name in dearest},
    }


def _ms(call: Callable[[], Any], device: torch.device) -> float:
    call()
    spans = []
    for _ in range(REPEATS):
        _wait(device)
        start = time.perf_counter()
        call()
        _wait(device)
        spans.append((time.perf_counter() - start) * 1e3)
    return round(float(np.median(spans)), 3)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
