"""Tells for many rows at once whether their masks are sound, in a tenth of the time of row_check.py.

It only says yes or no: row_check.py says what is wrong with which mask.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.output.format.schema import MASK_COLUMNS, VECTOR_SIZE, VECTORS
from sam_core.masks.measures import measured

FEW_ROWS = 16  # halved further, batches with many unsound rows would take longer


def without_sound_masks(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows in order, in batches; only those of FEW_ROWS at most with an unsound one keep their masks."""
    half = len(batch) // 2
    if has_sound_masks(batch):
        yield without_masks(batch)
    elif len(batch) <= FEW_ROWS:
        yield batch
    else:
        yield from without_sound_masks(batch.slice(0, half))
        yield from without_sound_masks(batch.slice(half))


def has_sound_masks(batch: pa.RecordBatch) -> bool:
    """Whether `row_faults` has nothing to say about the masks and the vectors of the rows.

    False also where only row_check.py can tell: without the C library, and for a size that no image has.
    """
    names = _names(batch)
    is_ok = pc.equal(batch["status"], "ok")
    failed = batch.filter(pc.invert(is_ok))
    ok = batch.filter(is_ok) if len(failed) else batch  # filter() copies all masks
    if any(failed[name].null_count < len(failed) for name in names):
        return False
    if not len(ok):
        return True
    flat = {name: ok[name].flatten() for name in names}
    numbers = {name: one.flatten() if _is_nested(one) else one for name, one in flat.items()}
    sides = [ok["height"], ok["width"], ok["num_masks"]]
    if any(
        one.null_count for one in (*sides, *(ok[name] for name in names), *flat.values(), *numbers.values())
    ):
        return False
    height, width, masks = (side.to_numpy() for side in sides)
    lengths = {name: VECTOR_SIZE if name == "image_embedding" else masks for name in names}
    if any((pc.list_value_length(ok[name]).to_numpy() != length).any() for name, length in lengths.items()):
        return False
    sizes_N2 = np.repeat(np.stack([height, width], axis=1).astype(np.int64), masks, axis=0)
    measures_N5 = measured(*_packed(numbers["mask_counts"]), sizes_N2)
    if measures_N5 is None:
        return False
    finite = [name for name in names if name in ("mask_predicted_iou", "mask_stability_score", *VECTORS)]
    return (
        _are_measured(numbers, measures_N5)
        and _lie_inside(numbers, sizes_N2[:, ::-1])
        and all(np.isfinite(numbers[name].to_numpy()).all() for name in finite)
    )


def without_masks(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The other columns of the rows."""
    return batch.drop_columns(_names(batch))


def _names(batch: pa.RecordBatch) -> list[str]:
    """The columns of masks and vectors."""
    return [name for name in (*MASK_COLUMNS, *VECTORS) if name in batch.schema.names]


def _are_measured(numbers: dict[str, pa.Array], measures_N5: NDArray[np.int64]) -> bool:
    """Whether areas and boxes are those of the counts."""
    x0y0, x1y1 = measures_N5[:, 1:3], measures_N5[:, 3:]
    boxes_N4 = _floats(numbers["mask_bbox"], 4)
    is_area = (numbers["mask_area"].to_numpy() == measures_N5[:, 0]).all()
    return bool(is_area and (boxes_N4 == np.concatenate([x0y0, x1y1 - x0y0], axis=1)).all())


def _lie_inside(numbers: dict[str, pa.Array], sides_N2: NDArray[np.int64]) -> bool:
    """Whether points and crop boxes lie inside their images of these widths and heights."""
    points_N2, crops_N4 = _floats(numbers["mask_point_coords"], 2), _floats(numbers["mask_crop_box"], 4)
    is_inside = ((points_N2 >= 0) & (points_N2 <= sides_N2)).all()
    starts_N2, stops_N2 = crops_N4[:, :2], crops_N4[:, :2] + crops_N4[:, 2:]
    return bool(is_inside and not ((starts_N2 < 0) | (stops_N2 > sides_N2)).any())


def _is_nested(values: pa.Array) -> bool:
    return bool(pa.types.is_fixed_size_list(values.type))


def _floats(values: pa.Array, columns: int) -> NDArray[np.float64]:
    """As row_check.py computes with them: in double precision."""
    return np.asarray(values, np.float64).reshape(-1, columns)


def _packed(strings: pa.StringArray) -> tuple[bytes, NDArray[np.int64]]:
    """The bytes of all strings, and where each begins; the last number is where they end."""
    if not len(strings):
        return b"", np.zeros(1, np.int64)
    _, places, data = strings.buffers()
    ends = np.frombuffer(places, np.int32)[strings.offset :][: len(strings) + 1].astype(np.int64)
    return data.slice(ends[0], ends[-1] - ends[0]).to_pybytes() if data else b"", ends - ends[0]
