"""A record's masks and image, against slow and simple ways to compute them."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_dataset import PHOTOS, recorded_masks, write_demo
from PIL import Image
from pycocotools import mask as coco

from pipeline.errors import ImageError, Reason, UsageError
from pipeline.images.decode import decoded_image
from pipeline.output.row_masks import masks_of_row
from pipeline.pixel_reading import PixelReading
from pipeline.reading.dataset import Dataset
from pipeline.reading.record import Record
from sam_core.label_map import label_map


@pytest.fixture
def chelsea(demo: str) -> Record:
    return next(record for record in Dataset.open(demo) if "chelsea" in record.uri)


def test_masks_are_what_was_labelled_whole_windowed_and_in_an_array(chelsea: Record) -> None:
    masks = recorded_masks("chelsea")
    size = {"size": [chelsea.height, chelsea.width]}
    expected_NHW = np.stack([coco.decode({**size, "counts": counts}) for counts in masks.counts]) > 0
    assert len(chelsea) == len(masks) > 1
    assert np.array_equal(chelsea.masks(), expected_NHW)
    assert np.array_equal(chelsea.mask(1), expected_NHW[1])
    assert np.array_equal(chelsea.mask(1, (5, 7, 200, 90)), expected_NHW[1, 7:90, 5:200])
    batch = np.ones((3, *expected_NHW.shape), np.bool_)
    chelsea.masks(out=batch[1])
    assert np.array_equal(batch[1], expected_NHW)
    assert batch[[0, 2]].all()
    small = chelsea.masks((30, 45))
    assert small.shape == (len(masks), 30, 45)
    assert abs(small.mean() - expected_NHW.mean()) < 0.01


def test_a_label_map_is_that_of_sam_core_and_a_smaller_one_looks_like_it(chelsea: Record) -> None:
    labels_HW = chelsea.label_map()
    assert np.array_equal(labels_HW, label_map(recorded_masks("chelsea")))
    small = chelsea.label_map((60, 82))
    sampled = labels_HW[np.arange(60) * 300 // 60 + 2][:, np.arange(82) * 451 // 82 + 2]
    assert (small == sampled).mean() > 0.95


def test_images_smaller_than_the_size_are_brought_to_it_too(small: Dataset) -> None:
    record = next(record for record in small if record.is_ok and len(record))  # 8 x 8
    assert np.array_equal(record.masks((64, 64)), record.masks().repeat(8, 1).repeat(8, 2))
    assert np.array_equal(record.label_map((8, 24)), record.label_map().repeat(3, 1))


def test_numbers_are_those_of_the_row_without_a_copy(demo: str) -> None:
    dataset = Dataset.open(demo)
    for record, table in zip(
        dataset, [t.slice(i, 1) for t in dataset.tables() for i in range(t.num_rows)], strict=True
    ):
        expected = masks_of_row(table.to_pylist()[0])
        masks = record.image_masks
        assert masks.counts == expected.counts
        for name in (
            "area",
            "bbox_xywh",
            "predicted_iou",
            "stability_score",
            "point_coords",
            "crop_box_xywh",
        ):
            assert np.array_equal(getattr(masks, name), getattr(expected, name)), name
        assert record.area.base is not None


def test_some_masks_can_be_chosen_and_chosen_from_again(chelsea: Record) -> None:
    some = chelsea.select(np.array([3, 1, 0]))
    assert len(some) == 3
    assert np.array_equal(some.masks(), chelsea.masks()[[3, 1, 0]])
    assert np.array_equal(
        some.select(some.area > some.area.min()).area, [a for a in some.area if a > some.area.min()]
    )
    assert some.image_masks.counts == [chelsea.counts[index] for index in (3, 1, 0)]
    assert len(chelsea.select(np.zeros(0, np.int64)).masks()) == 0


@pytest.mark.parametrize(
    ("index", "expected"),
    [((), []), ([], []), (np.array([]), []), ((0, 1), [0, 1]), (range(2), [0, 1]), (slice(None, 1), [0])],
)
def test_masks_are_chosen_by_any_list_of_positions(chelsea: Record, index: Any, expected: list[int]) -> None:
    some = chelsea.select([4, 2, 3])
    assert len(chelsea.select(index)) == len(expected)
    assert some.select(index).counts == [some.counts[position] for position in expected]


def test_what_chooses_no_masks_is_told(chelsea: Record) -> None:
    for wrong in (False, 0, np.int64(0), "a", 1.5, {0}, {0: 1}, None):
        with pytest.raises(TypeError, match="masks are chosen by a list of positions"):
            chelsea.select(wrong)  # type: ignore[arg-type]
    with pytest.raises(IndexError, match=r"2 bools are given for \d+ masks"):
        chelsea.select([True, False])
    with pytest.raises(IndexError, match="there is no mask 3 among 3"):
        chelsea.select([4, 2, 3]).select([3])


def test_what_names_no_mask_no_size_and_no_column_is_told(chelsea: Record) -> None:
    for wrong in (None, "a", 1.5, [0], np.array([0, 1])):
        with pytest.raises(TypeError, match=r"the position of a mask is .*; give one whole number"):
            chelsea.mask(wrong)  # type: ignore[arg-type]
    for size in (64, (5,), (5.5, 5), "ab"):
        with pytest.raises(ValueError, match=r"the size is .*; give 2 whole numbers"):
            chelsea.label_map(size)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the size is 10000000000000 x 5; each side must have 1 to"):
        chelsea.label_map((10**13, 5))
    for column in (["uri"], 0, None):
        with pytest.raises(TypeError, match="a record returns one column by its name, not "):
            chelsea[column]  # type: ignore[index]


def test_a_record_travels_to_another_process_alone(demo: str) -> None:
    every = list(Dataset.open(demo))
    sent = pickle.dumps(every[1].select(np.array([1, 0])))
    assert len(sent) < 2 * every[1].block.table.slice(every[1].row, 1).nbytes + 5000
    back = pickle.loads(sent)  # noqa: S301
    assert back.uri == every[1].uri
    assert np.array_equal(back.masks(), every[1].masks()[[1, 0]])


def test_a_failed_image_has_no_masks_and_says_so(tmp_path: Path, small: Dataset) -> None:
    failed = next(record for record in small if not record.is_ok)
    assert (len(failed), bool(failed)) == (0, True)
    for asked in (
        lambda: failed.masks(),
        lambda: failed.area,
        lambda: failed.image,
        failed.label_map,
        lambda: failed.height,
        lambda: failed.width,
        lambda: failed.image_masks,
    ):
        with pytest.raises(
            UsageError, match=r"has no masks: labelling it failed \((CORRUPT|EMPTY)\); check is_ok"
        ):
            asked()
    empty = next(record for record in small if record.is_ok and not record["num_masks"])
    assert empty.masks().shape == (0, 8, 8)
    assert not empty.label_map().any()
    assert empty.image_masks.bbox_xywh.shape == (0, 4)


def test_the_image_is_upright_as_it_was_labelled(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    upright = Image.open(PHOTOS / "chelsea.jpg").convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(photos / "chelsea.png", exif=exif)
    write_demo(str(tmp_path / "out"), photos)
    (record,) = Dataset.open(str(tmp_path / "out"))
    assert np.array_equal(record.image, np.asarray(upright))
    assert record.image.shape[:2] == record.masks().shape[1:]


def test_an_image_of_deep_samples_has_the_scale_that_it_was_labelled_with(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    values_HW = np.arange(300 * 451, dtype=np.uint16).reshape(300, 451) // 40
    Image.fromarray(values_HW).save(photos / "chelsea.png")
    data = (photos / "chelsea.png").read_bytes()
    for scale in ("full", "auto", "100:900"):
        write_demo(str(tmp_path / scale), photos, scale=scale)
        (record,) = Dataset.open(str(tmp_path / scale))
        assert np.array_equal(record.image, decoded_image(data, 1 << 20, PixelReading(scale)).image_HW3), (
            scale
        )


def test_an_image_that_is_gone_or_another_one_is_told(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("chelsea.jpg", "coins.jpg"):
        shutil.copy(PHOTOS / name, photos)
    write_demo(str(tmp_path / "out"), photos)
    (photos / "chelsea.jpg").unlink()
    shutil.copy(PHOTOS / "rocket.jpg", photos / "coins.jpg")
    for record, reason in zip(
        Dataset.open(str(tmp_path / "out")), (Reason.SOURCE_MISSING, Reason.SOURCE_CHANGED), strict=True
    ):
        with pytest.raises(ImageError, match=f"the image {record.uri} cannot be loaded: ") as told:
            _ = record.image
        assert told.value.reason is reason
