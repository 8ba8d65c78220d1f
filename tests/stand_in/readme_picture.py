"""Makes the picture at the top of the README: `python tests/stand_in/readme_picture.py docs/masks.jpg`.

Three sample photos with their recorded masks, side by side, each as `sam-label draw` draws it.
"""

import sys
import tempfile
from pathlib import Path

from demo_dataset import write_demo
from PIL import Image

from pipeline.reading.dataset import Dataset
from pipeline.reading.named import record_named
from pipeline.report.overlay import draw

PHOTOS = ("astronaut.jpg", "coins.jpg", "coffee.jpg")
HEIGHT, GAP = 300, 6  # pixels; about the size of the photos


def readme_picture() -> Image.Image:
    """The strip, RGB."""
    with tempfile.TemporaryDirectory() as output:
        write_demo(output)
        dataset = Dataset.open(output)
        drawn = [Image.fromarray(draw(record_named(dataset, name))) for name in PHOTOS]
    sized = [
        picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT), Image.Resampling.LANCZOS)
        for picture in drawn
    ]
    strip = Image.new(
        "RGB", (sum(one.width for one in sized) + GAP * (len(sized) - 1), HEIGHT), (255, 255, 255)
    )
    place = 0
    for picture in sized:
        strip.paste(picture, (place, 0))
        place += picture.width + GAP
    return strip


if __name__ == "__main__":
    readme_picture().save(Path(sys.argv[1]), quality=90, subsampling=0)  # outlines keep their colours
