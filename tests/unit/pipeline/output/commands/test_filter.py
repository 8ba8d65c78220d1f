"""Filtering again after the input or the output has changed: one set of rows, or an error."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.cli import main
from pipeline.config import FilterConfig
from pipeline.errors import DamagedFile, UsageError
from pipeline.output.commands.filter import filtered_dataset
from pipeline.output.commands.gc import collect
from pipeline.output.commands.retry import retry
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

NAMES = [f"{number:02d}" for number in range(20)]
LOOSE = MaskOptions(pred_iou_thresh=0.5, box_nms_thresh=1, crop_nms_thresh=1)


class Loose:
    """A dataset with loose thresholds, and the dataset that is filtered from it."""

    def __init__(self, folder: Path, photos) -> None:
        self.photos, self.path, self.filtered = photos, str(folder / "loose"), str(folder / "tight")
        photos.identity = Identity("vit_t", "0" * 64, LOOSE)

    def run(self, **how: object) -> None:
        self.photos.run(Store.at(self.path), **how)

    def filter(self, overwrite: bool = False) -> None:
        filtered_dataset(self.config(overwrite))

    def config(self, overwrite: bool) -> FilterConfig:
        mask = MaskOptions(pred_iou_thresh=0.7)
        return FilterConfig(input=self.path, output=self.filtered, overwrite=overwrite, mask=mask)

    def assert_filtered(self) -> None:
        """Each input row has one row with all its masks, since each mask passes the thresholds."""
        columns = ["uri", "etag", "error", "mask_counts"]
        rows, expected = (
            Dataset.at(path).table(columns).sort_by("uri").to_pylist() for path in (self.filtered, self.path)
        )
        assert rows == expected
        assert validate(self.filtered).problems == []


@pytest.fixture
def loose(tmp_path: Path, rehearsal) -> Loose:
    return Loose(tmp_path, rehearsal(NAMES))


def test_masks_that_are_none_are_damage_and_not_waited_for(loose: Loose) -> None:
    """pycocotools never ends when it compares masks with different numbers of pixels."""
    loose.run(shards=1)
    (shard,) = Path(loose.path, "data").iterdir()
    table = pq.read_table(shard)
    counts = [list(one) if one else one for one in table["mask_counts"].to_pylist()]
    damaged = next(number for number, one in enumerate(counts) if one and len(one) > 1)
    counts[damaged][0] = "54"
    place = table.schema.names.index("mask_counts")
    field = table.schema.field(place)
    pq.write_table(table.set_column(place, field, pa.array(counts, field.type)), shard)
    commit = Path(loose.path, "_commits", f"{shard.stem}.json")
    commit.write_text(json.dumps({**json.loads(commit.read_text()), "bytes": shard.stat().st_size}))
    for mask in (MaskOptions(nms_overlap="mask", box_nms_thresh=0.7), MaskOptions(pred_iou_thresh=0.7)):
        config = FilterConfig(input=loose.path, output=loose.filtered, overwrite=True, mask=mask)
        with pytest.raises(DamagedFile, match=r"the row of file:///\S+ in \S+ is damaged \(the counts b'54'"):
            filtered_dataset(config)


def test_more_rows_of_the_input_are_filtered_too(loose: Loose) -> None:
    loose.run(shards=2)
    loose.filter()
    assert Dataset.at(loose.filtered).rows == 6
    loose.run()
    stray = Path(loose.path, "data", "r00001-000099.parquet")
    stray.write_bytes(b"x")
    assert collect(loose.path).files == collect(loose.filtered).files + 1
    loose.filter()
    loose.assert_filtered()
    loose.filter()
    loose.assert_filtered()


def refresh(loose: Loose) -> None:
    loose.photos.etags |= {"file:///photos/00": "2", "file:///photos/new": "1"}
    loose.run(refresh=True)


def label_failed_ones_again(loose: Loose) -> None:
    assert retry(loose.path) > 0
    loose.run()


def overwrite(loose: Loose) -> None:
    del loose.photos.etags["file:///photos/07"]
    loose.run(overwrite=True)


@pytest.mark.parametrize("change", [refresh, label_failed_ones_again, overwrite])
@pytest.mark.parametrize("shards", [2, None])
def test_once_the_input_has_lost_rows_it_is_filtered_anew_or_not_at_all(
    loose: Loose, change, shards: int | None
) -> None:
    loose.run(shards=shards)
    loose.filter()
    before = Dataset.at(loose.filtered)
    loose.run()
    change(loose)
    with pytest.raises(
        UsageError, match=r"since r00001 at .*, not rows filtered from .*loose since r0000.* --overwrite"
    ):
        loose.filter()
    assert Dataset.at(loose.filtered).record == before.record
    loose.filter(overwrite=True)
    loose.assert_filtered()


def test_rows_that_a_run_has_labelled_are_not_mixed_with_filtered_ones(loose: Loose, rehearsal) -> None:
    loose.run(shards=2)
    loose.filter()
    other = rehearsal(NAMES)
    other.identity = Dataset.at(loose.filtered).identity
    other.run(Store.at(loose.filtered), shards=1)
    loose.run()
    with pytest.raises(UsageError, match="holds rows of a run, not rows filtered from"):
        loose.filter()


def test_the_overwrite_that_the_refusal_advises_is_an_option(
    loose: Loose, capsys: pytest.CaptureFixture[str]
) -> None:
    loose.run()
    command = ["filter", loose.path, loose.filtered, "--pred-iou-thresh", "0.7"]
    for arguments, code in (
        (command, 0),
        ([*command[:-1], "0.8"], 2),
        ([*command[:-1], "0.8", "--overwrite"], 0),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
        said = capsys.readouterr()
        assert ("next: " in said.out, "next: " in said.err) == (False, code == 0)
    assert Dataset.at(loose.filtered).identity.mask_options.pred_iou_thresh == 0.8
