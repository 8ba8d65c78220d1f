"""Our SamAutomaticMaskGenerator compared with the original's, for every option of the original.

It uses the bundled weights, because a random model's masks all lie on each other, and few points, to be fast.
Both share one encoder with a cache, so everything after the encoder is compared.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sam_core
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.model.build import build_sam
from sam_core.model.presets import SamPreset, VitPreset
from sam_core.model.sam import Sam
from sam_core.option_attributes import SA_ORDER
from sam_core.weights.registry import load_sam

PHOTO = Path(__file__).parents[2] / "jobs" / "demo" / "photos" / "coins.jpg"
GRIDS = [np.array([[0.25, 0.4], [0.75, 0.5], [0.1, 0.9]]), np.array([[0.5, 0.5], [0.3, 0.2]])]
LOOSE = {"pred_iou_thresh": 0.5, "stability_score_thresh": 0.7}
CROPS = {"crop_n_layers": 1, "crop_overlap_ratio": 0.6}  # the default overlap is in the golden files
CASES: list[dict[str, Any]] = [
    {"points_per_side": 3},
    {"points_per_side": 3, "points_per_batch": 5, "output_mode": "uncompressed_rle", **LOOSE},
    {"points_per_side": 3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0},
    {"points_per_side": 3, "stability_score_offset": 3.0, "box_nms_thresh": 0.3, "output_mode": "coco_rle"},
    {"points_per_side": 2, "crop_n_points_downscale_factor": 2, "crop_nms_thresh": 0.2, **CROPS, **LOOSE},
    {"points_per_side": None, "point_grids": GRIDS, "min_mask_region_area": 400, **CROPS, **LOOSE},
]


class RememberingEncoder(nn.Module):
    """An image encoder that encodes the same image once: crops repeat in many cases."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder, self.img_size = encoder, encoder.img_size
        self.answers: dict[bytes, torch.Tensor] = {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        key = images.numpy().tobytes()
        if key not in self.answers:
            self.answers[key] = self.encoder(images)
        return self.answers[key]


@pytest.fixture(scope="module")
def ours() -> Sam:
    sam = load_sam().sam
    sam.image_encoder = RememberingEncoder(sam.image_encoder)
    return sam


@pytest.fixture
def original(ours: Sam, original_sam: Callable[..., nn.Module]) -> Any:
    small_encoder = VitPreset(32, depth=1, num_heads=4, global_attn_indexes=(0,))  # replaced at once
    original = original_sam(SamPreset(small_encoder))
    original.prompt_encoder.load_state_dict(ours.prompt_encoder.state_dict())
    original.mask_decoder.load_state_dict(ours.mask_decoder.state_dict())
    original.image_encoder = ours.image_encoder
    return original.eval()


@pytest.mark.parametrize("case", CASES, ids=lambda case: ", ".join(map(str, case)))
def test_every_option(ours: Sam, original: Any, segment_anything: ModuleType, case: dict[str, Any]) -> None:
    image = np.array(Image.open(PHOTO).convert("RGB"))
    expected = segment_anything.SamAutomaticMaskGenerator(original, **case).generate(image)
    records = SamAutomaticMaskGenerator(ours, **case, reference=True).generate(image)
    assert len(records) == len(expected) > 0
    for record, other in zip(records, expected, strict=True):
        assert_same_record(record, other)


def test_another_size_of_model(
    original_sam: Callable[..., nn.Module], same_weights: Callable[..., None], segment_anything: ModuleType
) -> None:
    preset = SamPreset(
        VitPreset(32, depth=1, num_heads=4, global_attn_indexes=(0,), img_size=128, out_chans=32),
        decoder_num_heads=4,
        decoder_mlp_dim=48,
    )
    ours, original = build_sam(preset), original_sam(preset)
    same_weights(ours, original)
    options = {"points_per_side": 3, "pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}
    image = np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8)
    expected = segment_anything.SamAutomaticMaskGenerator(original, **options).generate(image)
    records = SamAutomaticMaskGenerator(ours, **options).generate(image)
    assert len(records) == len(expected) == 27
    for record, other in zip(records, expected, strict=True):
        assert_same_record(record, other)


def assert_same_record(record: dict[str, Any], other: dict[str, Any]) -> None:
    assert record.keys() == other.keys()
    assert record["point_coords"] == pytest.approx(np.array(other["point_coords"]), abs=1e-4)
    assert record["crop_box"] == other["crop_box"]
    assert {type(number) for key in ("bbox", "crop_box") for number in record[key]} == {int}  # they slice
    assert record["bbox"] == pytest.approx(other["bbox"], abs=1)
    assert record["predicted_iou"] == pytest.approx(other["predicted_iou"], rel=1e-4, abs=1e-4)
    assert record["stability_score"] == pytest.approx(other["stability_score"], abs=1e-3)
    assert type(record["segmentation"]) is type(other["segmentation"])
    # A logit of nearly 0 may round to the other side: the masks that no threshold has cleared of fringes have
    # many.
    differing = 3 + other["area"] // 1000
    assert record["area"] == pytest.approx(other["area"], abs=differing)
    if isinstance(record["segmentation"], dict):
        assert record["segmentation"]["size"] == other["segmentation"]["size"]
        assert type(record["segmentation"]["counts"]) is type(other["segmentation"]["counts"])
    else:
        assert (record["segmentation"] != other["segmentation"]).sum() <= differing


@pytest.mark.parametrize("min_area", [1, 60, 5000])
def test_small_regions_of_its_own_data(segment_anything: ModuleType, min_area: int) -> None:
    """Scripts call this step directly, with the original's data class."""
    from segment_anything.utils.amg import MaskData, batched_mask_to_box, mask_to_rle_pytorch

    rng = np.random.default_rng(0)
    coarse = rng.random((12, 9, 12)) > 0.6
    masks = torch.from_numpy(np.kron(coarse, np.ones((1, 5, 6), bool)))

    def data() -> Any:
        rles, boxes = mask_to_rle_pytorch(masks), batched_mask_to_box(masks)
        points = np.arange(24).reshape(12, 2)
        return MaskData(rles=rles, boxes=boxes, iou_preds=torch.arange(12.0), points=points)

    for is_numpy in (False, True):
        ours, original = data(), data()
        if is_numpy:
            ours.to_numpy()
            original.to_numpy()
        theirs = segment_anything.SamAutomaticMaskGenerator
        expected = theirs.postprocess_small_regions(original, min_area, 0.9)
        cleaned = SamAutomaticMaskGenerator.postprocess_small_regions(ours, min_area, 0.9)
        assert cleaned is ours
        assert len(expected["rles"]) > 0
        assert ours["rles"] == expected["rles"]
        for name in ("boxes", "iou_preds", "points"):
            assert type(ours[name]) is type(expected[name])
            np.testing.assert_array_equal(ours[name], expected[name])


def test_names_and_attributes_are_the_originals(
    original: Any, ours: Sam, segment_anything: ModuleType
) -> None:
    names = {name for name, value in vars(segment_anything).items() if not isinstance(value, ModuleType)}
    assert {name for name in names if not name.startswith("_")} <= {*sam_core.__all__}
    generator = SamAutomaticMaskGenerator(ours, 5, crop_n_layers=1)
    attributes = vars(segment_anything.SamAutomaticMaskGenerator(original, 5, crop_n_layers=1))
    assert {*vars(attributes.pop("predictor"))} <= {*dir(generator.predictor)}
    for grid, other in zip(generator.point_grids, attributes.pop("point_grids"), strict=True):
        np.testing.assert_allclose(grid, other)
    assert len(attributes) == 11
    assert {name: getattr(generator, name) for name in attributes} == attributes


def test_the_order_of_arguments_is_the_originals(segment_anything: ModuleType) -> None:
    original = inspect.signature(segment_anything.SamAutomaticMaskGenerator.__init__)
    assert [*original.parameters][3:] == [*SA_ORDER]
