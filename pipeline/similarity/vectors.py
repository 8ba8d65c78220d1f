"""The vectors of a shard, and the cosine of the angle between each of them and another."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.output.format.schema import VECTOR_SIZE

Vectors = NDArray[np.float16]  # [N, 256]
BLOCK = 8192  # vectors at a time: 16 MB as float64


@dataclass(frozen=True)
class ShardVectors:
    """All vectors of one column of a shard, and where each stands."""

    vectors_NC: Vectors
    row_N: NDArray[np.int64]
    mask_N: NDArray[np.int64]  # position among the image's masks; 0 for the images' own vectors


def shard_vectors(column: pa.ChunkedArray) -> ShardVectors:
    """The vectors of mask_embedding or image_embedding; rows without any are skipped."""
    whole = column.combine_chunks()
    if not pa.types.is_nested(whole.type.value_type):
        rows = np.flatnonzero(whole.is_valid().to_numpy(zero_copy_only=False))
        return ShardVectors(_array(whole), rows, np.zeros_like(rows))
    counts = pc.list_value_length(whole).fill_null(0).to_numpy().astype(np.int64)
    first_mask = np.cumsum(counts) - counts
    rows = np.repeat(np.arange(len(counts)), counts)
    return ShardVectors(_array(whole.flatten()), rows, np.arange(len(rows)) - first_mask[rows])


def cosines(vectors_NC: Vectors, query_C: NDArray[np.float16]) -> NDArray[np.float64]:
    """The cosine of the angle between each vector and the query, -1 to 1; NaN for a vector of zeros.

    Each row is summed by itself in float64, so that equal vectors have equal cosines, and ties are ties. In a
    matrix product the rounding depends on a row's place.
    """
    query = query_C.astype(np.float64)
    cosine_N = np.empty(len(vectors_NC))
    for start in range(0, len(vectors_NC), BLOCK):
        block = vectors_NC[start : start + BLOCK].astype(np.float64)
        length_N = np.sqrt(np.square(block).sum(axis=1) * np.square(query).sum())
        with np.errstate(invalid="ignore"):
            cosine_N[start : start + BLOCK] = (block * query).sum(axis=1) / length_N
    return np.clip(cosine_N, -1, 1)


def _array(lists: pa.ListArray | pa.FixedSizeListArray) -> Vectors:
    flat: Vectors = lists.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, VECTOR_SIZE)
