"""Photos for benchmarks of a run, in a folder or in a bucket of a local server."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import stand_in_generator
from object_stores import login_at, new_bucket, seaweedfs_server
from PIL import Image

from pipeline.store.storage import Store

PHOTO = Path(__file__).parents[2] / "jobs/demo/photos/coffee.jpg"


def write_photos(folder: Path, images: int, size: tuple[int, int] | None) -> None:
    """One JPEG of that width and height under many names; without a size, different small PNGs of noise.

    The folder is made.
    """
    if size is None:
        stand_in_generator.write_photos(folder, images)
        return
    folder.mkdir()
    first = folder / "000000.jpg"
    Image.open(PHOTO).resize(size, Image.Resampling.BICUBIC).save(first, quality=90)
    for number in range(1, images):
        (folder / f"{number:06d}.jpg").hardlink_to(first)


@contextmanager
def source_of(folder: Path, is_s3: bool) -> Iterator[str]:
    """Where a run reads the photos: the folder, or a bucket whose server uses the same cores."""
    if not is_s3:
        yield str(folder)
        return
    with tempfile.TemporaryDirectory() as objects, seaweedfs_server(Path(objects)) as endpoint:
        os.environ |= login_at(endpoint)
        bucket = new_bucket()
        for file in folder.iterdir():
            Store.at(bucket).publish(file.name, file.read_bytes())
        yield bucket
