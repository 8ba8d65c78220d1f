"""Readers, exports that copy images, and plans find a labelled HEIC again."""

from pathlib import Path

import numpy as np
from heic import lossless_heic
from labelled_photos import labelled_photos
from PIL import Image

from pipeline.export.export import exported
from pipeline.export_config import ExportConfig
from pipeline.images.decode import decoded_image
from pipeline.images.stored import EXIF_ORIENTATION
from pipeline.inputs.inventory import inventory
from pipeline.inputs.source import Source
from pipeline.reading.dataset import Dataset


def test_it_is_read_copied_and_counted(tmp_path: Path) -> None:
    pixels_HW3 = np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "phone.HEIC").write_bytes(lossless_heic(pixels_HW3, exif.tobytes()))
    labelled_photos(str(tmp_path / "photos"), str(tmp_path / "masks"))
    (record,) = (each for each in Dataset.open(str(tmp_path / "masks")) if "HEIC" in each.uri)
    np.testing.assert_array_equal(record.image, np.rot90(pixels_HW3, -1))
    assert (record.width, record.height) == (32, 48)
    exported(ExportConfig(output=str(tmp_path / "masks"), dest=str(tmp_path / "coco"), images="copy"))
    copied = (tmp_path / "coco" / "images" / "phone.HEIC").read_bytes()
    np.testing.assert_array_equal(decoded_image(copied, 10_000).image_HW3, record.image)
    found = inventory(Source.at(str(tmp_path / "photos")), inspect=True)
    assert found.inspected is not None
    assert (found.inspected.types["HEIC"], found.inspected.unreadable) == (1, 1), "one is broken"
