"""A value that is no image raises one sentence: what was passed, and what to pass. The advice is tested."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_sam import small_sam

from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.model.rgb_image import checked_image
from sam_core.model.sam import Sam
from sam_core.predictor import SamPredictor

RGB = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
GREY = np.stack([RGB[..., 0]] * 3, axis=-1)
# what is passed, what the sentence calls it, the advice in it, and what following the advice gives
WRONG: list[tuple[Any, str, str, Any]] = [
    (None, "got None", "cv2.imread", None),
    ("a.png", "got 'a.png'", "np.array(PIL.Image.open(path)", None),
    ([[1, 2]], "got a list", "np.array(PIL.Image.open(path)", None),
    (Image.fromarray(RGB), "a Pillow image (RGB, 6 x 4)", 'np.array(image.convert("RGB"))', RGB),
    (
        torch.from_numpy(RGB).permute(2, 0, 1) / 255,
        "a tensor, float32 [3, 4, 6]",
        "(tensor * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()",
        RGB,
    ),
    (torch.from_numpy(RGB), "a tensor, uint8 [4, 6, 3]", "tensor.cpu().numpy()", RGB),
    (RGB / 255, "float64 [4, 6, 3]", "(image * 255).round().astype(np.uint8)", RGB),
    (RGB.astype(np.float32), "float32 [4, 6, 3]", "image.astype(np.uint8)", RGB),
    (RGB.astype(np.uint16), "uint16 [4, 6, 3]", "convert it to RGB with 8 bits", None),
    (RGB[..., 0], "uint8 [4, 6]", "np.stack([image] * 3, axis=-1)", GREY),
    (RGB[..., :1], "uint8 [4, 6, 1]", "np.repeat(image, 3, axis=2)", GREY),
    (RGB[..., [0, 1, 2, 0]], "uint8 [4, 6, 4]", "image[..., :3]", RGB),
    (RGB.transpose(2, 0, 1), "uint8 [3, 4, 6]", "image.transpose(1, 2, 0)", RGB),
    (RGB[None], "uint8 [1, 4, 6, 3]", "generate_batch", None),
    (RGB[:0], "uint8 [0, 6, 3]", "no pixel", None),
]


@pytest.fixture(scope="module")
def sam() -> Sam:
    return small_sam()


def test_an_image_is_itself() -> None:
    assert checked_image(RGB) is RGB


@pytest.mark.parametrize(("wrong", "got", "advice", "right"), WRONG, ids=[case[1] for case in WRONG])
def test_the_sentence_says_what_came_and_what_to_pass(wrong: Any, got: str, advice: str, right: Any) -> None:
    with pytest.raises(ValueError, match="an image must be a numpy array") as refused:
        checked_image(wrong)
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert got in sentence
    assert advice in sentence
    if right is not None:
        names = {"image": wrong, "tensor": wrong, "np": np, "torch": torch}
        np.testing.assert_array_equal(checked_image(eval(advice, names)), right)  # noqa: S307


@pytest.mark.parametrize("wrong", [case[0] for case in WRONG], ids=[case[1] for case in WRONG])
def test_every_door_has_the_sentence(sam: Sam, wrong: Any) -> None:
    generator, predictor = SamAutomaticMaskGenerator(sam, 1), SamPredictor(sam)
    doors = (
        generator.generate,
        generator.generate_masks,
        lambda image: generator.generate_batch([image]),
        predictor.set_image,
        lambda image: predictor.set_image(image, "BGR"),
        sam.encode,
    )
    for door in doors:
        with pytest.raises(ValueError, match="an image must be a numpy array"):
            door(wrong)


@pytest.mark.parametrize("wrong", [RGB, None, Image.fromarray(RGB)], ids=["array", "None", "Pillow"])
def test_one_image_is_no_batch(sam: Sam, wrong: Any) -> None:
    with pytest.raises(ValueError, match="a list of images"):
        SamAutomaticMaskGenerator(sam, 1).generate_batch(wrong)
