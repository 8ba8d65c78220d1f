"""Small photos on a disk or in a bucket, and their dataset from the real writer, without Ray or a model."""

import io
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import numpy as np
from drawn_masks import image_masks, with_vectors
from PIL import Image
from scipy import ndimage

from pipeline.errors import ImageError
from pipeline.images.decode import DecodedImage, decoded_image
from pipeline.images.fetch import FetchSettings, fetched
from pipeline.inputs.source import Source
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import ManifestRow, manifest_row, rows_of
from pipeline.output.format.schema import failed_row, ok_row, table_of
from pipeline.output.shards import write_shards
from pipeline.output.writer import Listing, open_output
from pipeline.store.settings import DEFAULT_ACCESS
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

NAMES = ["a.jpg", "b ü%#.png", "none.png", "sub/a.jpg", "sub/a.png", "sub/turned.jpg", "z.webp"]
FAILED = "sub/broken.jpg"
WIDTH, HEIGHT = 48, 32
SHARD_ROWS = 3


def labelled_photos(photos: str, output: str, shards: int | None = None, has_vectors: bool = False) -> Store:
    """Writes the photos and their dataset, and returns the photos' store.

    `none.png` has no mask, and `broken.jpg` failed.
    """
    store = _photos_at(photos)
    identity = Identity("vit_t", "0" * 64, MaskOptions(mask_embeddings=has_vectors))
    with open_output(Store.at(output), identity, Listing(store.url, lambda: _listing(store))) as run:
        rows = [_row(store, image, has_vectors) for image in rows_of(run.dataset.pending())]
        for task, start in enumerate(range(0, len(rows), SHARD_ROWS)[:shards]):
            table = table_of(rows[start : start + SHARD_ROWS], identity.schema)
            write_shards(run.store, f"{run.run}-{task:06d}", table, run.sink().metadata)
    return store


def labelled_listing(source: Source, photos: str, output: str, **how: Any) -> None:
    """Writes a dataset to `output` of the photos that a source lists, each fetched as in a run."""
    _photos_at(photos)
    identity = Identity("vit_t", "0" * 64, MaskOptions())
    place, listed_with = str(source.location), source.options.of_listing()
    listing = Listing(place, source.rows, source.duplicates, listed_with)
    with open_output(Store.at(output), identity, listing, **how) as run:
        rows = [_fetched_row(image) for image in rows_of(run.dataset.pending())]
        write_shards(run.store, f"{run.run}-000000", table_of(rows, identity.schema), run.sink().metadata)


def _photos_at(url: str) -> Store:
    store = Store.at(url)
    for number, name in enumerate([*NAMES, FAILED]):
        if store.info(name) is None:  # rewritten files would count as changed for another dataset of them
            store.publish(name, photo(number, name))
    return store


def photo(number: int, name: str) -> bytes:
    """A small image file of noise; `turned` in the name rotates it, and `broken` makes an invalid file."""
    if "broken" in name:
        return b"no image"
    noise = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    exif = Image.Exif()
    if "turned" in name:
        exif[0x0112] = 6
    body = io.BytesIO()
    suffix = name.rpartition(".")[2].replace("jpg", "jpeg")
    Image.fromarray(noise).save(body, suffix, exif=exif.tobytes() if exif else b"")
    return body.getvalue()


def blobs(seed: int, count: int, height: int, width: int) -> list[np.ndarray]:
    """Masks with holes and several parts, of many sizes; bool [height, width]."""
    random = np.random.default_rng(seed)
    noise = [ndimage.gaussian_filter(random.random((height, width)), 2) for _ in range(count)]
    return [smooth > np.quantile(smooth, random.uniform(0.4, 0.97)) for smooth in noise]


def _listing(store: Store) -> Iterator[ManifestRow]:
    for page in store.list():
        yield from (manifest_row(store.uri(entry.name), entry.size, entry.etag) for entry in page)


def _fetched_row(image: ManifestRow) -> dict[str, Any]:
    settings = FetchSettings(None, DEFAULT_ACCESS, max_pixels=1 << 20)
    try:
        got = fetched(image._asdict(), settings)
    except ImageError as fault:
        return failed_row(image._asdict(), fault.reason, str(fault))
    return _row_of(got.data, image._replace(etag=got.etag), has_vectors=False)


def _row(store: Store, image: ManifestRow, has_vectors: bool) -> dict[str, Any]:
    return _row_of(store.read(image.uri.removeprefix(f"{store.url}/")), image, has_vectors)


def _row_of(data: bytes, image: ManifestRow, has_vectors: bool) -> dict[str, Any]:
    try:
        decoded: DecodedImage = decoded_image(data, 1 << 20)
    except ImageError as fault:
        return failed_row(image._asdict(), fault.reason, str(fault))
    height, width, _ = decoded.image_HW3.shape
    seed = crc32(data)  # not the id, which depends on the photos' place, while masks must not
    count = 0 if "none" in image.uri else 1 + seed % 5
    masks = image_masks(blobs(seed, count, height, width), height, width)
    if has_vectors:
        masks = with_vectors(masks, seed)
    return ok_row(image._asdict(), decoded, masks)
