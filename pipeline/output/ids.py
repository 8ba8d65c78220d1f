"""Image ids in memory: 16 bytes for the 32 hex characters that files hold."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ids = NDArray[np.bytes_]  # 100 million are 1.6 GB


def packed_ids(image_ids: pa.ChunkedArray) -> Ids:
    """16 bytes for each 32 hex characters. Raises: ValueError for other ids."""
    ids = np.frombuffer(bytes.fromhex("".join(image_ids.to_pylist())), dtype="S16")
    if ids.size != len(image_ids):
        raise ValueError(f"{len(image_ids)} of them make {ids.size} ids of 32")
    return ids


def is_among(ids: Ids, sorted_ids: Ids) -> NDArray[np.bool_]:
    """For each id, whether `sorted_ids` has it."""
    if not sorted_ids.size:
        return np.zeros(ids.size, dtype=bool)
    places = np.searchsorted(sorted_ids, ids).clip(max=sorted_ids.size - 1)
    is_member: NDArray[np.bool_] = sorted_ids[places] == ids
    return is_member
