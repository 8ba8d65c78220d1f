"""The masks of a dataset that are most like one of them, or the images most like one.

Every vector is compared, a shard at a time, so that the answer is exact and memory holds two shards. Of
equally near ones those come first that stand first in the dataset.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset
from pipeline.output.format.manifest import image_id
from pipeline.output.format.schema import vectors_of
from pipeline.reading.ahead import ahead
from pipeline.reading.opened import opened_snapshot
from pipeline.similarity.vectors import cosines, shard_vectors
from pipeline.store.uri import as_text, location

Progress = Callable[[int, int], None]  # images that were looked at, and all
READ_AHEAD = 8  # shards' ids, 32 bytes a row: a store answers in some 20 ms
_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Neighbour:
    """A mask, or an image, and how near it is."""

    image_id: str
    uri: str
    mask: int | None  # its position among the image's masks, from 0; None if images are compared
    similarity: float  # cosine of the angle between the two vectors, -1 to 1


@dataclass(frozen=True)
class Similar:
    """What is most like a mask or an image; nearest first."""

    image_id: str
    uri: str
    mask: int | None  # None if images are compared
    compared: int  # how many others there are
    nearest: list[Neighbour]


@dataclass(frozen=True)
class _Query:
    """What the others are compared with."""

    image_id: str
    uri: str
    mask: int | None
    vector_C: NDArray[np.float16]

    @property
    def column(self) -> str:
        return _column(self.mask)


def similar(
    output: str,
    image: str,
    mask: int | None = None,
    top: int = 10,
    progress: Progress = lambda done, all_: None,
) -> Similar:
    """The `top` masks in the dataset at a path or URL that are most like one, others of its image included.

    image: an image_id, a uri as the dataset has it, or a path. mask: its position among the image's masks,
    from 0; without it images are compared. Vectors of zeros, of masks without a pixel, are left out.
    Raises: UsageError if the dataset has no vectors (the run option --mask-embeddings writes them), or no
        such image or mask.
    """
    dataset = opened_snapshot(output)
    if not dataset.identity.mask_options.mask_embeddings:
        raise UsageError(
            f"{dataset.store.url} has no vectors; sam-label run INPUT OUTPUT --mask-embeddings writes them, "
            "into a new output"
        )
    if top < 1:
        raise UsageError(f"the {top} nearest are asked for; it takes 1 or more")
    query = _query(dataset, image, mask)
    nearest: list[Neighbour] = []
    compared = done = 0
    tables = ahead(
        lambda commit: dataset.rows_of(commit, ["image_id", "uri", query.column]), dataset.commits, 1
    )
    for table in tables:
        count, of_shard = _nearest(table, query, top)
        # sorted() keeps the order of equals: what stands first in the dataset stays first
        nearest = sorted([*nearest, *of_shard], key=lambda neighbour: -neighbour.similarity)[:top]
        compared, done = compared + count, done + table.num_rows
        progress(done, dataset.rows)
    return Similar(query.image_id, query.uri, mask, compared, nearest)


def _nearest(table: pa.Table, query: _Query, top: int) -> tuple[int, list[Neighbour]]:
    """How many vectors a shard has to compare, and the nearest of them."""
    vectors = shard_vectors(table[query.column])
    cosine_N = cosines(vectors.vectors_NC, query.vector_C)
    is_other_N = ~np.isnan(cosine_N)
    own_row = pc.index(table["image_id"], query.image_id).as_py()
    is_other_N &= (vectors.row_N != own_row) | (vectors.mask_N != (query.mask or 0))
    others = np.flatnonzero(is_other_N)
    chosen = others[np.argsort(-cosine_N[others], kind="stable")[:top]]
    return len(others), [
        Neighbour(
            table["image_id"][row].as_py(),
            table["uri"][row].as_py(),
            None if query.mask is None else place,
            similarity,
        )
        for row, place, similarity in zip(
            vectors.row_N[chosen].tolist(),
            vectors.mask_N[chosen].tolist(),
            cosine_N[chosen].tolist(),
            strict=True,
        )
    ]


def _query(dataset: Dataset, image: str, mask: int | None) -> _Query:
    wanted = (
        image
        if _ID.fullmatch(image)
        else image_id(as_text(image) if "://" in image else str(location(image)))
    )
    every = ahead(lambda commit: dataset.rows_of(commit, ["image_id"]), dataset.commits, READ_AHEAD)
    for commit, table in zip(dataset.commits, every, strict=True):
        place = pc.index(table["image_id"], wanted).as_py()
        if place >= 0:
            return _query_of(dataset, commit, place, mask)
    raise UsageError(
        f"{dataset.store.url} has no row of an image {image}; name its image_id, or its uri there"
    )


def _query_of(dataset: Dataset, commit: Commit, place: int, mask: int | None) -> _Query:
    columns = ["image_id", "uri", "error", "num_masks", _column(mask)]
    row = dataset.rows_of(commit, columns).slice(place, 1)
    said = row.select(columns[:-1]).to_pylist()[0]
    vectors = vectors_of(row[_column(mask)][0])
    if vectors is None:
        raise UsageError(f"{said['uri']} has no vectors: labelling it failed ({said['error']})")
    if mask is not None and not 0 <= mask < len(vectors):
        there_are = f"they count from 0, the last is {len(vectors) - 1}" if len(vectors) else "it has none"
        raise UsageError(f"{said['uri']} has no mask {mask}; {there_are}")
    vector_C = vectors if mask is None else vectors[mask]
    if not vector_C.any():
        raise UsageError(f"mask {mask} of {said['uri']} has no pixel, and so nothing is like it")
    return _Query(said["image_id"], said["uri"], mask, vector_C)


def _column(mask: int | None) -> str:
    return "image_embedding" if mask is None else "mask_embedding"
