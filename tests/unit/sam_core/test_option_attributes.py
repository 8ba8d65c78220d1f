"""An option that a script sets on a generator later acts like a constructor's argument, or raises."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from small_sam import small_sam

from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions
from sam_core.predictor import SamPredictor

pytestmark = pytest.mark.usefixtures("one_thread")
LOOSE: dict[str, Any] = {"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}
IMAGE = np.kron(
    np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8), np.ones((9, 9, 1), np.uint8)
)
GRIDS = [np.array([[0.5, 0.5]]), np.array([[0.2, 0.3], [0.7, 0.9]])]
SET_LATER: dict[str, Any] = {
    "points_per_side": 3,
    "points_per_batch": 5,
    "pred_iou_thresh": 0.5,
    "stability_score_thresh": 0.9,
    "stability_score_offset": 0.2,
    "box_nms_thresh": 0.3,
    "crop_n_layers": 1,
    "crop_nms_thresh": 0.2,
    "crop_overlap_ratio": 0.6,
    "crop_n_points_downscale_factor": 2,
    "min_mask_region_area": 30,
    "max_mask_area": 0.4,
    "nms_overlap": "mask",
    "output_mode": "coco_rle",
    "reference": True,
}


@pytest.fixture(scope="module")
def sam() -> Sam:
    return small_sam()


@pytest.mark.parametrize("name", SET_LATER)
def test_an_option_set_later_is_as_one_given(sam: Sam, name: str) -> None:
    later = SamAutomaticMaskGenerator(sam, 2, **LOOSE)
    setattr(later, name, SET_LATER[name])
    assert getattr(later, name) == SET_LATER[name]
    given = {"points_per_side": 2, **LOOSE, name: SET_LATER[name]}
    np.testing.assert_equal(later.generate(IMAGE), SamAutomaticMaskGenerator(sam, **given).generate(IMAGE))


@pytest.mark.parametrize(
    "name", ["pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "max_mask_area"]
)
def test_a_threshold_set_later_takes_masks_away(sam: Sam, name: str) -> None:
    generator = SamAutomaticMaskGenerator(sam, 2, **LOOSE)
    every = len(generator.generate(IMAGE))
    setattr(generator, name, {"pred_iou_thresh": 1000, "stability_score_thresh": 1}.get(name, 1e-6))
    assert len(generator.generate(IMAGE)) < every


def test_grids_set_later_take_the_place_of_the_side_and_back(sam: Sam) -> None:
    generator = SamAutomaticMaskGenerator(sam, 2, **LOOSE)
    generator.point_grids = GRIDS
    assert generator.points_per_side is None
    assert {tuple(record["point_coords"][0]) for record in generator.generate(IMAGE)} == {(31.5, 22.5)}
    generator.points_per_side = 4
    assert generator.points_per_side == 4
    assert [len(grid) for grid in generator.point_grids] == [16]


def test_the_grids_follow_the_options_that_they_are_made_of(sam: Sam) -> None:
    """The original keeps its first grids, and fails at a layer that is requested later."""
    generator = SamAutomaticMaskGenerator(sam, 6)
    generator.crop_n_layers = 2
    assert [len(grid) for grid in generator.point_grids] == [36, 36, 36]
    generator.crop_n_points_downscale_factor = 2
    assert [len(grid) for grid in generator.point_grids] == [36, 9, 1]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("pred_iou_thresh", -1, "pred_iou_thresh is -1: it should be greater than or equal to 0"),
        ("stability_score_thresh", 95, "less than or equal to 1"),
        ("box_nms_thresh", None, "box_nms_thresh is None"),
        ("points_per_side", None, "points_per_side is None"),
        ("crop_n_layers", 2, "needs 3 point_grids"),
        ("point_grids", None, "set points_per_side instead"),
        ("point_grids", [np.zeros((3, 3))], r"an array \[N, 2\]"),
        ("point_grids", [np.array([[300.0, 20.0]])], "outside 0..1"),
        ("point_grids", [], "needs 2 point_grids"),
        ("point_grids", 5, r"a list of arrays \[N, 2\], got 5"),
        ("point_grids", ["a"], r"point_grids\[0\] must be an array \[N, 2\] of x and y, got 'a'"),
        ("point_grids", [GRIDS[0], [[0.1, 0.2], [0.3]]], r"point_grids\[1\] must be an array \[N, 2\]"),
        ("point_grids", [np.zeros((0, 2))], r"an array \[N, 2\] of x and y, got \[0, 2\]"),
        ("output_mode", "polygons", "output_mode must be one of binary_mask"),
        ("tile_size", 64, "tile_size and crop_n_layers exclude each other"),
        ("options", {"pred_iou_thresh": 1}, "options must be a MaskOptions, got dict"),
        ("model", torch.nn.Identity(), "sam_model_registry"),
        ("predictor", "vit_b", "predictor must be a sam_core.SamPredictor, got str"),
    ],
)
def test_what_the_constructor_refuses_is_refused_later(
    sam: Sam, name: str, value: Any, sentence: str
) -> None:
    generator = SamAutomaticMaskGenerator(sam, None, point_grids=GRIDS, crop_n_layers=1)
    before = (generator.options, generator.point_grids, generator.output_mode, generator.predictor)
    with pytest.raises(ValueError, match=sentence) as refused:
        setattr(generator, name, value)
    assert "\n" not in str(refused.value)
    assert before == (generator.options, generator.point_grids, generator.output_mode, generator.predictor)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("pred_iou_threshold", "did you mean pred_iou_thresh?"),
        ("iou", "docs/drop-in.md"),
        ("_process_batch", "cannot be set"),
        ("generate", "cannot be set"),
    ],
)
def test_an_unknown_attribute_is_an_error(sam: Sam, name: str, sentence: str) -> None:
    with pytest.raises(AttributeError, match=sentence):
        setattr(SamAutomaticMaskGenerator(sam), name, 0.9)


def test_an_unknown_argument_is_one_sentence(sam: Sam) -> None:
    with pytest.raises(
        ValueError, match=r"^pred_iou_threshold is not an option of mask generation; did you mean"
    ):
        SamAutomaticMaskGenerator(sam, pred_iou_threshold=0.9)
    with pytest.raises(AttributeError, match=r"did you mean pred_iou_thresh\?"):
        _ = SamAutomaticMaskGenerator(sam).pred_iou_threshold


def test_the_predictor_is_one_on_the_generators_model(sam: Sam) -> None:
    generator, other = SamAutomaticMaskGenerator(sam, 2, **LOOSE), small_sam()
    assert isinstance(generator.predictor, SamPredictor)
    assert generator.predictor.model is generator.model is sam
    other.mask_threshold = 1e6
    generator.predictor = SamPredictor(other)
    assert generator.model is other
    assert not any(record["area"] for record in generator.generate(IMAGE))
    generator.model = sam
    assert generator.predictor.model is sam

    class Other(SamPredictor):
        """A predictor with another way to encode, which would be ignored."""

    with pytest.raises(ValueError, match="would have no effect"):
        generator.predictor = Other(sam)


@pytest.mark.parametrize(
    "name", ["_generate_masks", "_process_crop", "_process_batch", "postprocess_small_regions"]
)
def test_a_subclass_whose_step_would_be_ignored_is_told(sam: Sam, name: str) -> None:
    subclass = type("Mine", (SamAutomaticMaskGenerator,), {name: lambda *_: None})
    with pytest.raises(TypeError, match=f"Mine defines {name}, which mask generation does not call"):
        subclass(sam)


def test_other_subclasses_work_and_have_attributes_of_their_own(sam: Sam) -> None:
    class Mine(SamAutomaticMaskGenerator):
        def __init__(self, model: Sam) -> None:
            super().__init__(model, 2, **LOOSE)
            self.seen = 0

        def generate_batch(self, images: Any) -> Any:
            self.seen += len(images)
            return super().generate_batch(images)

    generator = Mine(sam)
    generator.generate(IMAGE)
    assert generator.seen == 1


def test_a_copy_is_a_generator_of_its_own(sam: Sam) -> None:
    generator = SamAutomaticMaskGenerator(sam, 2, **LOOSE)
    for twin in (copy.copy(generator), copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):  # noqa: S301
        twin.pred_iou_thresh = 1000
        assert twin.options == MaskOptions(points_per_side=2, **LOOSE | {"pred_iou_thresh": 1000})
        assert generator.pred_iou_thresh == 0
        assert twin.generate(IMAGE) == []


def test_a_compiled_model_is_told_what_to_compile() -> None:
    with pytest.raises(ValueError, match=r"compile only its encoder: sam.image_encoder = torch.compile\("):
        SamAutomaticMaskGenerator(torch.compile(small_sam()), 1)  # type: ignore[arg-type]
