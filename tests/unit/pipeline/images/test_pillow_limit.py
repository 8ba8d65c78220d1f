"""Pillow's limit belongs to the process, and a forked process decodes nothing yet."""

from forked import ends_well_when_forked
from PIL import Image

from pipeline.images import pillow_limit


def test_a_forked_process_has_the_usual_limit_while_its_parent_decodes() -> None:
    usual = Image.MAX_IMAGE_PIXELS

    def is_usual() -> bool:
        if usual != Image.MAX_IMAGE_PIXELS:
            return False
        with pillow_limit.pillow_limit(7):
            is_set = Image.MAX_IMAGE_PIXELS == 7
        return is_set and usual == Image.MAX_IMAGE_PIXELS

    with pillow_limit.pillow_limit(1 << 40):
        assert ends_well_when_forked(is_usual)
        assert Image.MAX_IMAGE_PIXELS == 1 << 40
    assert usual == Image.MAX_IMAGE_PIXELS
