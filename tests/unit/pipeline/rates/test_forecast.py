"""The forecast of `run --dry-run`: it grows with a run's work, and agrees with measured times."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cluster.labeler_pool import LabelerPool
from pipeline.config import RunConfig
from pipeline.plan import plan
from pipeline.rates.forecast import MASK_BYTES, MASKS, forecast, image_seconds
from sam_core.options import MaskOptions

DEFAULT = MaskOptions.model_validate({})
CPU, GPU = LabelerPool(1, threads=2, gpus=0), LabelerPool(1, threads=1, gpus=1)


def test_it_meets_what_was_measured() -> None:
    assert image_seconds("vit_t", DEFAULT, CPU, 0.3) == pytest.approx(4.5, rel=0.15)  # RESULTS.md: 4.1 to 4.9
    assert 1 / image_seconds("vit_t", DEFAULT, GPU, 0.26) == pytest.approx(5.1, rel=0.15)
    assert 1 / image_seconds("vit_h", DEFAULT, GPU, 0.26) == pytest.approx(4.3, rel=0.15)
    assert 1 / image_seconds("vit_h", DEFAULT, GPU, 3.4) == pytest.approx(1.46, rel=0.15)


def test_crops_and_points_are_counted() -> None:
    one_layer = MaskOptions(crop_n_layers=1, crop_n_points_downscale_factor=2)
    assert image_seconds("vit_t", one_layer, CPU, 1) == pytest.approx((5 * 1.0 + 2 * 1024 * 0.0083) / 2)
    few = MaskOptions(points_per_side=8)
    assert image_seconds("vit_t", few, CPU, 1) < image_seconds("vit_t", DEFAULT, CPU, 1) / 4


def test_a_dry_run_reads_headers_and_passes_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, side in (("a", 100), ("b", 1000), ("c", 2000)):
        Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "d.jpg").write_text("no image")
    config = RunConfig(input=str(tmp_path / "in"), output=str(tmp_path / "out"), device="cpu")
    planned = plan(config)
    expected = forecast(config, planned)
    assert (planned.images, planned.pending, expected.sample, expected.megapixels) == (4, 4, 3, 1.0)
    assert expected.output_bytes == 4 * MASKS * MASK_BYTES
    limited = plan(config.model_copy(update={"limit": 1}))
    assert (limited.images, limited.pending, len(limited.sample)) == (4, 1, 1)
    assert forecast(config, limited).hours == pytest.approx(expected.hours / 4)
