"""Checks that a value is an RGB image, and says what to pass otherwise."""

import sys

import numpy as np
import numpy.typing as npt
from PIL import Image

RgbImage = npt.NDArray[np.uint8]  # [height, width, 3]


def checked_image(image: object) -> RgbImage:
    """The image itself. Raises: ValueError if it is not a uint8 array [H, W, 3] with at least one pixel."""
    if isinstance(image, np.ndarray) and _is_rgb(image):
        return image
    got, remedy = _array_advice(image) if isinstance(image, np.ndarray) else _advice(image)
    raise ValueError(f"an image must be a numpy array, uint8 [height, width, 3] in RGB, got {got}: {remedy}")


def _is_rgb(image: npt.NDArray[np.generic]) -> bool:
    return image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0


def _advice(image: object) -> tuple[str, str]:
    """What was passed, and what to do about it."""
    # Not imported here: a process that only checks images would wait two seconds for the import.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(image, torch.Tensor):
        got = f"a tensor, {str(image.dtype).removeprefix('torch.')} {list(image.shape)}"
        last = ".permute(1, 2, 0)" if image.ndim == 3 and image.shape[0] == 3 else ""
        scaled = "(tensor * 255).round().to(torch.uint8)" if image.is_floating_point() else "tensor"
        hint = " if values are in 0..1" if image.is_floating_point() else ""
        return got, f"pass {scaled}{last}.cpu().numpy(){hint}"
    match image:
        case None:
            return "None", "check that the file was read (cv2.imread gives None for one that it cannot read)"
        case Image.Image():
            size = f"{image.width} x {image.height}"
            return f"a Pillow image ({image.mode}, {size})", 'pass np.array(image.convert("RGB"))'
        case _:
            got = f"{image!r:.80}" if isinstance(image, str) else f"a {type(image).__name__}"
            return got, 'read the file with np.array(PIL.Image.open(path).convert("RGB"))'


def _array_advice(image: npt.NDArray[np.generic]) -> tuple[str, str]:
    got = f"{image.dtype} {list(image.shape)}"
    if image.size == 0:
        return got, "it has no pixels; check how it was cropped"
    if image.ndim == 2:
        return got, "repeat a grey image with np.stack([image] * 3, axis=-1)"
    if image.ndim == 4:
        return got, "pass one image at a time, or a list of them to generate_batch"
    if image.ndim == 3 and image.shape[2] == 4:
        return got, "remove the alpha channel with image[..., :3]"
    if image.ndim == 3 and image.shape[2] == 1:
        return got, "repeat a grey image with np.repeat(image, 3, axis=2)"
    if image.ndim == 3 and image.shape[2] != 3 and image.shape[0] == 3:
        return got, "put the channels last with image.transpose(1, 2, 0)"
    if image.ndim == 3 and image.shape[2] == 3 and np.issubdtype(image.dtype, np.floating):
        scaled = "(image * 255).round().astype(np.uint8)"
        return got, f"pass {scaled} if values are in 0..1, image.astype(np.uint8) if in 0..255"
    return got, "convert it to RGB with 8 bits per channel"
