"""Images that look alike, by the vectors that `--mask-embeddings` writes, among a sample."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.output.dataset import Dataset
from pipeline.output.shards import shard_columns
from pipeline.statistics.sample import sample_of

COLUMN = "image_embedding"
# Cosine. Measured with vit_t on the six sample photos: copies recompressed, cropped by 5 % or mirrored are at
# 0.994 or above, copies of half the size at 0.979 or above, two different photos at 0.969 at the most.
SIMILAR = 0.99
MOST_IMAGES = 10_000  # 10 MB of vectors; every pair is compared
_AT_ONCE = 1024


@dataclass(frozen=True)
class NearDuplicates:
    """How many of the sampled images have another one in the sample at a cosine of SIMILAR or more."""

    images: int
    sampled: int
    similarity: float = SIMILAR


def near_duplicates(dataset: Dataset, seed: int) -> NearDuplicates | None:
    """The near-duplicates among at most MOST_IMAGES images; None if the dataset has no vectors of images."""
    parts = []
    drawn = sample_of(dataset, MOST_IMAGES, seed).places
    for commit in dataset.commits:
        if commit.name in drawn and COLUMN in shard_columns(dataset.store, commit):
            column = dataset.rows_of(commit, [COLUMN])[COLUMN].take(pa.array(drawn[commit.name])).drop_null()
            numbers = pc.list_flatten(column).to_numpy().astype(np.float32)
            parts += [numbers.reshape(len(column), -1)] if len(column) else []
    if not parts:
        return None
    vectors_NC = np.concatenate(parts)
    return NearDuplicates(count_near(vectors_NC), len(vectors_NC))


def count_near(vectors_NC: NDArray[np.float32]) -> int:
    """How many of the vectors have another at a cosine of SIMILAR or more; a zero vector has none."""
    lengths_N1 = np.linalg.norm(vectors_NC, axis=1, keepdims=True)
    units_NC = vectors_NC / np.where(lengths_N1 > 0, lengths_N1, 1)
    near = 0
    for start in range(0, len(units_NC), _AT_ONCE):
        cosines = units_NC[start : start + _AT_ONCE] @ units_NC.T
        here = np.arange(len(cosines))
        cosines[here, start + here] = -1
        near += int((cosines >= SIMILAR - 1e-6).any(axis=1).sum())
    return near
