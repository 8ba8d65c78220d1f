"""Some rows of a dataset in memory: Arrow columns, and the numbers of a row as numpy without a copy."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.output.format.schema import VECTORS, vectors_of
from pipeline.pixel_reading import PixelReading
from pipeline.store.settings import Access
from sam_core.cached import cached_property

_NUMBERS: dict[str, type] = {
    "mask_area": np.int64,
    "mask_bbox": np.float32,
    "mask_predicted_iou": np.float32,
    "mask_stability_score": np.float32,
    "mask_point_coords": np.float32,
    "mask_crop_box": np.float32,
    "mask_embedding": np.float16,
}


@dataclass(frozen=True)
class ImageSettings:
    """How the run read its images: RunConfig.reading and RunConfig.access."""

    reading: PixelReading
    access: Access


class Block:
    """A table with the masks' columns as arrays; made once for many rows."""

    def __init__(self, table: pa.Table, images: ImageSettings) -> None:
        self.table, self.images = table.combine_chunks(), images
        self._arrays = {name: self.table[name].chunk(0) for name in table.column_names if table.num_rows}
        self._lists: dict[str, tuple[NDArray[np.int64], NDArray[Any]]] = {}

    def value(self, column: str, row: int) -> Any:
        """The Python value of one cell. Raises: UsageError for a column that was not read, TypeError."""
        return self._array(column)[row].as_py()

    def numbers(self, column: str, row: int) -> NDArray[Any]:
        """A mask column of one row, as numpy: [N], or [N, 2] and more for points, boxes and vectors."""
        if column not in self._lists:
            lists = self._array(column)
            values = lists.values
            per_mask = values.type.list_size if pa.types.is_fixed_size_list(values.type) else None
            flat = values.flatten() if per_mask else values
            array = flat.to_numpy(zero_copy_only=False).astype(_NUMBERS[column], copy=False)
            self._lists[column] = _offsets(lists), array.reshape(-1, per_mask) if per_mask else array
        offsets, array = self._lists[column]
        return array[offsets[row] : offsets[row + 1]]

    def has(self, column: str) -> bool:
        """Whether the column was read."""
        return column in self.table.column_names

    def image_vector(self, row: int) -> NDArray[np.float16]:
        """The image_embedding of one row. Raises: UsageError if it was not read."""
        return cast("NDArray[np.float16]", vectors_of(self._array("image_embedding")[row]))

    def counts(self, row: int) -> list[bytes]:
        """The compressed run lengths of one row's masks."""
        lists, starts, text = self._counts
        first, last = lists[row], lists[row + 1]
        edges = starts[first : last + 1].tolist()
        return [text[start:stop] for start, stop in pairwise(edges)]

    @cached_property
    def _counts(self) -> tuple[NDArray[np.int64], NDArray[np.int32], bytes]:
        """Where the lists begin, where their strings begin, and all strings in one piece."""
        lists = self._array("mask_counts")
        strings = lists.values
        _, starts, text = strings.buffers()
        if starts is None or text is None:
            return _offsets(lists), np.zeros(1, np.int32), b""
        every = np.frombuffer(starts, np.int32)[strings.offset : strings.offset + len(strings) + 1]
        return _offsets(lists), every, text.to_pybytes()

    def _array(self, column: str) -> pa.Array:
        try:
            return self._arrays[column]
        except (KeyError, TypeError):  # TypeError: a list has no hash
            if not isinstance(column, str):
                raise TypeError(f"a record returns one column by its name, not {column!r:.100}") from None
            if column in VECTORS:
                raise UsageError(
                    f"the column {column} was not read: name it among the columns; if the dataset has none, "
                    "label the images into a new output with --mask-embeddings"
                ) from None
            read = ", ".join(self.table.column_names)
            raise UsageError(
                f"the column {column} was not read, only {read}; name it among the columns"
            ) from None


def _offsets(lists: pa.ListArray) -> NDArray[np.int64]:
    return np.asarray(lists.offsets).astype(np.int64)
