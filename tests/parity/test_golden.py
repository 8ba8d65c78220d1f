"""Our masks of the sample photos compared with the original's, recorded with our weights (golden/README.md).

Masks are counted over all photos together: the original has few masks for one image, and a rare mask at a
threshold may fall either way.

A mask that NMS drops is always dropped because of one that it keeps. So the points of the recorded masks
alone give the same masks as all points. The other points must add no mask; one in EVERY_NTH_POINT of them is
used, with `make parity` all. The recorded run with crops always uses all of its points.
"""

import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from recorded_masks import points_of
from scipy.optimize import linear_sum_assignment

from sam_core.decoding.crop_decoder import CropDecoder, crop_decoder
from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.torch_decoder import TorchDecoder
from sam_core.generator import MakeDecoder, SamAutomaticMaskGenerator
from sam_core.masks.candidates import Candidates
from sam_core.model.sam import ImageEmbedding, Sam
from sam_core.options import MaskOptions
from sam_core.weights.registry import load_sam

GOLDEN = Path(__file__).parent / "golden"
PHOTOS = Path(__file__).parents[2] / "jobs" / "demo" / "photos"
EVERY_NTH_POINT = int(os.environ.get("EVERY_NTH_POINT", "7"))  # prime to the 32 of a row

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Compared:
    """Our records and the original's, for all golden files."""

    ours: int
    original: int
    matched: list[tuple[dict[str, Any], dict[str, Any]]]  # one to one, at IoU of 0.99 or more


@dataclass
class Remembering:
    """A crop decoder that decodes the same points only once."""

    decoder: CropDecoder
    answers: dict[bytes, Candidates] = field(default_factory=dict)

    def candidates(self, points_N2: np.ndarray) -> Candidates:
        key = points_N2.tobytes()
        if key not in self.answers:
            self.answers[key] = self.decoder.candidates(points_N2)
        return self.answers[key]


@pytest.fixture(scope="module")
def sam() -> Sam:
    """The bundled model; it encodes the same pixels only once, since tests share photos and crops."""
    sam = load_sam().sam
    embeddings: dict[tuple[Any, ...], ImageEmbedding] = {}

    def encode_batch(images: Sequence[np.ndarray], dtype: torch.dtype) -> list[ImageEmbedding]:
        keys = [(image.shape, image.tobytes(), dtype) for image in images]
        for key, image in zip(keys, images, strict=True):
            if key not in embeddings:
                embeddings[key] = Sam.encode_batch(sam, [image], dtype)[0]
        return [embeddings[key] for key in keys]

    sam.encode_batch = encode_batch
    return sam


@pytest.fixture(scope="module")
def decoder() -> MakeDecoder:
    """The fastest decoder. Only selection reads `reference`, so both its values share the decoded masks."""
    crops: dict[tuple[torch.Tensor, MaskOptions], Remembering] = {}

    def remembering(
        sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame, options: MaskOptions
    ) -> Remembering:
        key = (features_1Chw, options.model_copy(update={"reference": False}))
        if key not in crops:
            crops[key] = Remembering(crop_decoder(sam, features_1Chw, frame, options))
        return crops[key]

    return remembering


@pytest.fixture(scope="module")
def compared(sam: Sam, decoder: MakeDecoder) -> Compared:
    ours = original = 0
    matched = []
    for path in sorted(GOLDEN.glob("*.json.gz")):
        golden = json.loads(gzip.decompress(path.read_bytes()))
        options = {**golden["options"], "output_mode": "coco_rle", "decoder": decoder}
        if not golden["options"]:
            options |= {"points_per_side": None, "point_grids": [points_of(golden["masks"], EVERY_NTH_POINT)]}
        records = SamAutomaticMaskGenerator(sam, **options).generate(photo(golden["image"]))
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
        # As SA counts it: last pixel minus first.
        assert ours["bbox"] == pytest.approx(original["bbox"], abs=2)


def test_reference_mode_gives_the_original_crops(sam: Sam, decoder: MakeDecoder) -> None:
    golden = json.loads(gzip.decompress((GOLDEN / "coffee.crops.json.gz").read_bytes()))
    options = {**golden["options"], "output_mode": "coco_rle", "reference": True, "decoder": decoder}
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
