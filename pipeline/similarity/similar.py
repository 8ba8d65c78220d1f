"""Finds the masks of a dataset that are most like one of them, or the images most like one.

Every vector is compared, so the answer is exact. It goes shard by shard, so memory holds two shards. Equally
near results come in the order of the dataset.
"""

from dataclasses import dataclass
from os import PathLike

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.progress import Progress
from pipeline.reading.arguments import whole
from pipeline.reading.dataset import Dataset
from pipeline.reading.named import record_named
from pipeline.reading.record import Record
from pipeline.similarity.vectors import cosines, shard_vectors


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
        return "image_embedding" if self.mask is None else "mask_embedding"


def similar(
    output: str | PathLike[str],
    image: str | PathLike[str] | Record,
    mask: int | None = None,
    top: int = 10,
    progress: Progress | None = None,
) -> Similar:
    """The `top` masks in the dataset at `output` that are most like one; its image's other masks count too.

    image: an image_id, a uri, a path, a Record, or enough of the uri's end to identify it. mask: its position
    among the image's masks, from 0; without it images are compared. Masks without a pixel, whose vectors are
    zeros, are left out.
    Raises: UsageError if the dataset has no vectors (the run option --mask-embeddings writes them), or no
        such image or mask.
    """
    top = whole("top", top, 1)
    mask = None if mask is None else whole("mask", mask)
    if progress is not None and not callable(progress):
        raise UsageError(f"progress is {progress!r:.100}; give a function of two numbers")
    dataset = Dataset.open(output, columns=[])
    if not dataset.made_with["mask_options"].get("mask_embeddings"):
        raise UsageError(
            f"{dataset.url} has no vectors; sam-label run INPUT OUTPUT --mask-embeddings writes them, "
            "into a new output"
        )
    dataset = dataset.select(columns=["image_embedding" if mask is None else "mask_embedding"])
    query = _query(record_named(dataset, image), mask)
    nearest: list[Neighbour] = []
    compared = done = 0
    for table in dataset.tables():
        count, of_shard = _nearest(table, query, top)
        # sorted() keeps the order of equals: what stands first in the dataset stays first
        nearest = sorted([*nearest, *of_shard], key=lambda neighbour: -neighbour.similarity)[:top]
        compared, done = compared + count, done + table.num_rows
        if progress is not None:
            progress(done, len(dataset))
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


def _query(record: Record, mask: int | None) -> _Query:
    if mask is None:
        return _Query(record.image_id, record.uri, None, record.image_embedding)
    vectors_NC = record.mask_embedding
    if mask >= len(record):
        there_are = f"masks count from 0, and the last is {len(record) - 1}" if len(record) else "it has none"
        raise UsageError(f"{record.uri} has no mask {mask}; {there_are}")
    if not vectors_NC[mask].any():
        raise UsageError(f"mask {mask} of {record.uri} has no pixels, so nothing is similar to it")
    return _Query(record.image_id, record.uri, mask, vectors_NC[mask])
