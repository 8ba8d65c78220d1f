"""The sliders can only tighten, and the text of a disabled one is short enough for a phone."""

import pytest

from pipeline.report.sliders import sliders
from sam_core.options import MaskOptions


@pytest.mark.parametrize("largest", [1.0, 0.5, 1e-4, 5e-5, 1e-9])
def test_no_slider_loosens(largest: float) -> None:
    iou, stability, area = sliders(MaskOptions(max_mask_area=largest))
    assert iou.start <= iou.end
    assert stability.start <= stability.end
    assert area.start == largest
    assert area.end == min(1e-4, largest)


def test_a_refusal_says_only_why() -> None:
    iou, stability, _ = sliders(MaskOptions())
    assert iou.refused is None
    assert stability.refused is not None
    assert stability.refused.endswith("only pred_iou_thresh can be raised, without crops and tiles")
