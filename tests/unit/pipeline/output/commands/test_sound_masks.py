"""The check of many rows at once finds no fault exactly where the check of row after row finds none."""

from collections.abc import Callable, Iterable
from math import inf, nan
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.output.commands import sound_masks
from pipeline.output.commands.row_check import row_faults
from pipeline.output.commands.sound_masks import FEW_ROWS, has_sound_masks, without_masks, without_sound_masks
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import manifest_row
from pipeline.output.format.schema import MASK_COLUMNS, VECTORS, rows_of_batch, table_of
from sam_core.options import MaskOptions

Row = dict[str, Any]
PLAIN, NESTED = MASK_COLUMNS[:2] + MASK_COLUMNS[3:5], ("mask_bbox", "mask_point_coords", "mask_crop_box")


@pytest.fixture(params=["plain", "vectors"])
def photos(request: pytest.FixtureRequest, rehearsal) -> Any:
    photos = rehearsal([f"{number:02d}" for number in range(40)])
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(mask_embeddings=request.param == "vectors"))
    return photos


def batch_of(photos, rows: Iterable[Row]) -> pa.RecordBatch:
    (batch,) = table_of(list(rows), photos.identity.schema).combine_chunks().to_batches()
    return batch


def fault_lists(batch: pa.RecordBatch) -> list[list[str]]:
    return [list(row_faults(row)) for row in rows_of_batch(batch)]


def put(column: str, value: Any) -> Callable[[Row], None]:
    return lambda row: row.__setitem__(column, value)


def put_inside(column: str, place: int, value: Any) -> Callable[[Row], None]:
    """Changes the last mask's entry, or one number of it."""

    def change(row: Row) -> None:
        last = row[column][-1]
        row[column][-1] = [*last[:place], value, *last[place + 1 :]] if isinstance(last, list) else value

    return change


DAMAGES = [
    *(put(column, None) for column in (*MASK_COLUMNS, *VECTORS, "num_masks", "width", "height")),
    *(put(column, []) for column in MASK_COLUMNS),
    *(put_inside(column, 0, None) for column in (*PLAIN, *NESTED)),
    *(put_inside(column, 1, value) for column in NESTED for value in (-1.0, 3.5, 9.0, inf, -inf, nan)),
    *(
        put_inside(column, 3, value)
        for column in ("mask_bbox", "mask_crop_box")
        for value in (-1.0, 9.0, nan)
    ),
    *(put_inside(column, 0, value) for column in PLAIN[2:] for value in (nan, inf, -inf, 7.0)),
    *(put_inside("mask_area", 0, value) for value in (0, 1, -1, 1 << 62)),
    *(put_inside("mask_counts", 0, value) for value in ("", "0", "P2", "é", "o" * 12, "oooo", "\x00", "~~")),
    *(put(side, value) for side in ("width", "height") for value in (0, -8, 1, 9, 16, (1 << 31) - 1)),
    *(put("num_masks", number) for number in (-1, 0, 1, 7)),
    *(put("status", status) for status in ("failed", "done")),
]


def test_sound_rows_are_found_sound(photos) -> None:
    batch = batch_of(photos, photos.rows())
    assert {row["status"] for row in batch.to_pylist()} == {"ok", "failed"}
    assert fault_lists(batch) == [[]] * 40
    assert has_sound_masks(batch)
    assert fault_lists(without_masks(batch)) == [[]] * 40
    assert all(has_sound_masks(batch.slice(start, 3)) for start in range(40))
    assert has_sound_masks(batch.slice(0, 0))


@pytest.mark.parametrize("place", range(len(DAMAGES)))
def test_each_damage_is_seen_if_row_check_has_a_word_for_it(place: int, photos) -> None:
    rows = photos.rows()
    damaged = next(number for number, row in enumerate(rows) if (row["num_masks"] or 0) > 1)
    DAMAGES[place](rows[damaged])
    batch = batch_of(photos, [{name: row[name] for name in photos.identity.schema.names} for row in rows])
    expected = fault_lists(batch)
    seen = fault_lists(without_masks(batch) if has_sound_masks(batch) else batch)
    assert seen == expected


@pytest.mark.parametrize("places", [[], [0], [255], [100, 101], [7, 133, 200]])
def test_only_a_few_rows_around_an_unsound_one_keep_their_masks(photos, places: list[int]) -> None:
    rows = (photos.rows() * 7)[:256]
    for place in places:
        rows[place] = rows[place] | {"mask_area": [-1]}
    batches = list(without_sound_masks(batch_of(photos, rows)))
    assert [id_ for batch in batches for id_ in batch["image_id"].to_pylist()] == [
        row["image_id"] for row in rows
    ]
    kept = [batch for batch in batches if "mask_counts" in batch.schema.names]
    assert len(kept) <= len(places)
    assert all(len(batch) <= FEW_ROWS for batch in kept)
    assert sum(batch["mask_area"].to_pylist().count([-1]) for batch in kept) == len(places)


def test_a_failed_row_with_masks_is_seen(photos) -> None:
    rows = photos.rows()
    failed = next(row for row in rows if row["status"] == "failed")
    for column in MASK_COLUMNS:
        before, failed[column] = failed[column], []
        assert not has_sound_masks(batch_of(photos, rows))
        failed[column] = before


def test_a_vector_that_is_no_number_is_seen(rehearsal) -> None:
    photos = rehearsal([])
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(mask_embeddings=True))
    images = (photos.row(manifest_row(f"file:///{number}", 1, "1")) for number in range(100))
    row = next(row for row in images if row.get("num_masks"))
    assert has_sound_masks(batch_of(photos, [row]))
    for name in VECTORS:
        spoiled = np.array(row[name], np.float16)
        spoiled.flat[-1] = np.nan
        assert not has_sound_masks(batch_of(photos, [row | {name: spoiled.tolist()}]))


def test_without_the_library_row_check_is_asked(photos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sam_core.masks.measures.library", lambda: None)
    assert not sound_masks.has_sound_masks(batch_of(photos, photos.rows()))
