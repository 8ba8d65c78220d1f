"""The README's picture is `draw`'s picture of the demo's masks, made by tests/stand_in/readme_picture.py."""

from pathlib import Path

import numpy as np
from PIL import Image
from readme_picture import readme_picture

ROOT = Path(__file__).parents[2]
PICTURE = "docs/masks.jpg"


def test_the_picture_is_up_to_date_and_small() -> None:
    assert f"]({PICTURE})" in (ROOT / "README.md").read_text(encoding="utf-8")
    expected = np.asarray(readme_picture(), np.int16)
    kept = np.asarray(Image.open(ROOT / PICTURE), np.int16)
    assert kept.shape == expected.shape
    assert np.abs(kept - expected).mean() < 4, "what JPEG loses, and no more"
    assert (ROOT / PICTURE).stat().st_size < 250_000
