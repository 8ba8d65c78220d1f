"""Our masks of the sample photos beside the original's, recorded with the same weights (golden/README.md).

All photos go together: the original's masks of one image are few, and a rare mask at a threshold may fall
either way.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from sam_core.decoding.torch_decoder import TorchDecoder
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.model.sam import Sam
from sam_core.weights.registry import load_sam

GOLDEN = Path(__file__).parent / "golden"
PHOTOS = Path(__file__).parents[2] / "jobs" / "demo" / "photos"

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Compared:
    """Our records beside the original's for all golden files."""

    ours: int
    original: int
    matched: list[tuple[dict[str, Any], dict[str, Any]]]  # one to one, at IoU of 0.99 or more


@pytest.fixture(scope="module")
def sam() -> Sam:
    return load_sam().sam


@pytest.fixture(scope="module")
def compared(sam: Sam) -> Compared:
    ours = original = 0
    matched = []
    for path in sorted(GOLDEN.glob("*.json.gz")):
        golden = json.loads(gzip.decompress(path.read_bytes()))
        generator = SamAutomaticMaskGenerator(sam, output_mode="coco_rle", **golden["options"])
        records = generator.generate(photo(golden["image"]))
        ours += len(records)
        original += len(golden["masks"])
        matched += matches(records, golden["masks"])
    return Compared(ours, original, matched)


def photo(name: str) -> np.ndarray:
    return np.array(Image.open(PHOTOS / name).convert("RGB"))


def matches(records: Records, golden: Records) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    segmentations = [[record["segmentation"] for record in side] for side in (records, golden)]
    iou = coco_mask.iou(*segmentations, [0] * len(golden))
    pairs = zip(*linear_sum_assignment(-iou), strict=True)
    return [(records[our], golden[other]) for our, other in pairs if iou[our, other] >= 0.99]


@pytest.mark.timeout(600)
def test_as_many_masks(compared: Compared) -> None:
    assert compared.original == 175
    assert compared.ours == pytest.approx(compared.original, rel=0.02)


def test_same_masks(compared: Compared) -> None:
    assert len(compared.matched) >= 0.98 * compared.original


def test_same_scores(compared: Compared) -> None:
    for name in ("predicted_iou", "stability_score"):
        difference = [abs(ours[name] - original[name]) for ours, original in compared.matched]
        assert max(difference) < 0.01


def test_same_points_and_boxes(compared: Compared) -> None:
    for ours, original in compared.matched:
        assert ours["point_coords"] == original["point_coords"]
        assert ours["crop_box"] == original["crop_box"]
        assert ours["bbox"] == pytest.approx(
            original["bbox"], abs=2
        )  # as SA counts it: last pixel minus first


def test_reference_mode_gives_the_original_crops(sam: Sam) -> None:
    golden = json.loads(gzip.decompress((GOLDEN / "coffee.crops.json.gz").read_bytes()))
    options = {**golden["options"], "output_mode": "coco_rle", "reference": True}
    records = SamAutomaticMaskGenerator(sam, **options).generate(photo(golden["image"]))
    assert len(matches(records, golden["masks"])) == len(records) == len(golden["masks"])


def test_plain_torch_gives_the_same_masks(sam: Sam) -> None:
    image = photo("coins.jpg")
    fastest = SamAutomaticMaskGenerator(sam, 6).generate_masks(image)
    plain = SamAutomaticMaskGenerator(sam, 6, decoder=TorchDecoder).generate_masks(image)
    assert plain.counts == fastest.counts
    assert len(plain) > 10
    np.testing.assert_allclose(plain.predicted_iou, fastest.predicted_iou, atol=1e-4)
    np.testing.assert_allclose(plain.stability_score, fastest.stability_score, atol=1e-3)
    np.testing.assert_array_equal(plain.point_coords, fastest.point_coords)
