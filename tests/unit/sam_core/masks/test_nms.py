"""NMS against the definition, written out."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sam_core.masks.nms import box_iou, kept_by_nms, mask_iou
from sam_core.masks.rle import compressed_counts, runs_of_mask

corner = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 6), st.integers(0, 6))


def slow_iou(one: np.ndarray, other: np.ndarray) -> float:
    width = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    if areas == width * height:
        return 0.0
    return float(np.float32(width * height) / np.float32(areas - width * height))


@given(st.lists(corner, max_size=12), st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.6, 0.7, 1.0]), st.randoms())
def test_boxes_against_the_definition(corners: list, thresh: float, random: object) -> None:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in corners]).reshape(-1, 4)
    order = np.argsort([random.random() for _ in corners])  # type: ignore[attr-defined]
    expected: list[int] = []
    for item in order:
        if all(slow_iou(boxes[item], boxes[kept]) <= thresh for kept in expected):
            expected.append(item)
    assert kept_by_nms(order.astype(np.int64), box_iou(boxes), thresh).tolist() == expected


def test_an_iou_that_is_the_threshold_is_compared_as_torchvision_does_on_a_cpu() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 6]])
    assert float(np.float32(0.6)) > 0.6
    assert kept_by_nms(np.arange(2), box_iou(boxes), 0.6).tolist() == [0]
    assert kept_by_nms(np.arange(2), box_iou(boxes[:, [1, 0, 3, 2]]), 0.61).tolist() == [0, 1]


def test_nothing_gives_nothing() -> None:
    assert len(kept_by_nms(np.empty(0, dtype=np.int64), box_iou(np.empty((0, 4))), 0.5)) == 0


def test_masks_in_one_box_stay_apart() -> None:
    upper = np.triu(np.ones((20, 20), dtype=bool))
    counts = [compressed_counts(runs_of_mask(mask)) for mask in (upper, ~upper, upper)]
    order = np.arange(3)
    assert kept_by_nms(order, mask_iou(counts, 20, 20), 0.5).tolist() == [0, 1]
    assert kept_by_nms(order, box_iou(np.tile([0, 0, 19, 19], (3, 1))), 0.5).tolist() == [0]
