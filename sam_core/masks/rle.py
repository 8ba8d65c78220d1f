"""COCO's run-length encoding of masks: column-major, the first run counts zeros.

In this code run lengths are uint32 arrays; in records and datasets they are compressed counts (bytes). Both
directions are implemented here, because pycocotools writes beyond its memory if most runs are longer than
2^24 pixels, and reads beyond it if counts are cut off.
"""

import numpy as np
import numpy.typing as npt

_MOST_BITS = 50  # of a run length in compressed counts: ten groups of five
_GROUPS = np.arange(7)  # groups of five bits: the difference of two run lengths needs at most seven


def runs_of_mask(mask_HW: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """Column-major run lengths of a mask; uint32, summing to H x W."""
    flat = np.asfortranarray(mask_HW).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    start = [0, 0] if flat.size and flat[0] else [0]
    return np.diff(np.concatenate([start, changes, [flat.size]])).astype(np.uint32)


def mask_of_runs(runs: npt.NDArray[np.uint32], height: int, width: int) -> npt.NDArray[np.bool_]:
    """The mask of column-major run lengths; bool [height, width].

    Raises: ValueError if the runs do not sum to height x width.
    """
    total = int(runs.sum(dtype=np.int64))
    if total != height * width:
        raise ValueError(
            f"run lengths cover {total} pixels, but the image has {height * width} ({height} x {width})"
        )
    is_inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(is_inside, runs).reshape(width, height).T


def placed_runs(
    runs: npt.NDArray[np.uint32], crop_xyxy: tuple[int, int, int, int], height: int, width: int
) -> npt.NDArray[np.uint32]:
    """Converts a mask's run lengths from the frame of a crop to the frame of the height x width image.

    Works on runs alone, so that a small crop of a large image needs no image-sized memory.
    """
    x0, y0, x1, y1 = crop_xyxy
    if (x0, y0, x1, y1) == (0, 0, width, height):
        return runs
    crop_height = y1 - y0
    edges = np.cumsum(runs, dtype=np.int64)
    starts, stops = edges[0:-1:2], edges[1::2]  # of each run of ones, on the crop's column-major line
    starts, stops = starts[stops > starts], stops[stops > starts]
    if not len(starts):
        return np.array([height * width], dtype=np.uint32)
    # a run is cut where it continues in the crop's next column: the image has other pixels in between
    first_column, last_column = starts // crop_height, (stops - 1) // crop_height
    pieces = last_column - first_column + 1
    run = np.repeat(np.arange(len(starts)), pieces)
    column = first_column[run] + np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    piece_start = np.maximum(starts[run], column * crop_height)
    piece_stop = np.minimum(stops[run], (column + 1) * crop_height)
    shift = (x0 + column) * height + y0 - column * crop_height
    return _runs_of_pieces(piece_start + shift, piece_stop + shift, height * width)


def _runs_of_pieces(
    starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64], total: int
) -> npt.NDArray[np.uint32]:
    is_joined = starts[1:] == stops[:-1]
    starts, stops = starts[np.r_[True, ~is_joined]], stops[np.r_[~is_joined, True]]
    edges = np.stack([starts, stops], axis=1).ravel()
    runs = np.diff(np.concatenate([[0], edges, [total]]))
    return (runs if runs[-1] else runs[:-1]).astype(np.uint32)


def compressed_counts(runs: npt.NDArray[np.uint32]) -> bytes:
    """COCO's compressed counts of run lengths: groups of six bits; from the fourth run on, of a difference.

    Source: cocoapi, rleToString in common/maskApi.c, commit 8c9bcc3.
    """
    values = runs.astype(np.int64)
    values[3:] -= values[1:-2].copy()
    # the highest bit of the last group is the sign
    sizes = 1 + np.searchsorted(1 << (5 * _GROUPS + 4), np.where(values < 0, ~values, values), side="right")
    groups = values[:, None] >> 5 * _GROUPS & 0x1F
    groups |= np.where(sizes[:, None] - 1 > _GROUPS, 0x20, 0)
    return (groups[sizes[:, None] > _GROUPS] + 48).astype(np.uint8).tobytes()


def compressed_counts_runs(counts: bytes) -> npt.NDArray[np.uint32]:
    """The run lengths of COCO's compressed counts: groups of six bits; from the fourth run on, differences.

    Raises: ValueError if the counts are cut off or hold another character, or a run is negative or too long.
    Source: cocoapi, rleFrString in common/maskApi.c, commit 8c9bcc3.
    """
    groups = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    if len(groups) and (groups.min() < 0 or groups.max() > 63 or groups[-1] & 0x20):
        raise ValueError("compressed RLE counts are cut off or contain a character that COCO does not use")
    if not len(groups):
        return np.zeros(0, np.uint32)
    ends = np.flatnonzero(groups & 0x20 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    bits = 5 * (ends - starts + 1)  # of each value
    if bits.max() > _MOST_BITS:
        raise ValueError("a run length has more digits than any image has pixels")
    shifts = 5 * (np.arange(len(groups)) - np.repeat(starts, bits // 5))
    values = np.add.reduceat((groups & 0x1F) << shifts, starts)
    values -= np.where(groups[ends] & 0x10, np.int64(1) << bits, 0)
    # from the fourth on each value is the difference to the one two before it
    values[1::2], values[2::2] = np.cumsum(values[1::2]), np.cumsum(values[2::2])
    if values.min() < 0 or values.max() > np.iinfo(np.uint32).max:
        raise ValueError("a run length is negative or exceeds 32 bits")
    return values.astype(np.uint32)


def area_of_runs(runs: npt.NDArray[np.uint32]) -> int:
    """The number of pixels inside."""
    return int(runs[1::2].sum(dtype=np.int64))


def box_of_runs(runs: npt.NDArray[np.uint32], height: int) -> tuple[int, int, int, int]:
    """First and last column and row with a pixel inside, x0, y0, x1, y1; zeros for an empty mask."""
    edges = np.cumsum(runs, dtype=np.int64)
    starts, stops = edges[:-1:2], edges[1::2]
    starts, stops = starts[stops > starts], stops[stops > starts] - 1
    if not len(starts):
        return 0, 0, 0, 0
    x0, x1 = int(starts[0]) // height, int(stops[-1]) // height
    # a run that continues in the next column touches the last row and the first
    if (starts // height != stops // height).any():
        return x0, 0, x1, height - 1
    return x0, int((starts % height).min()), x1, int((stops % height).max())
