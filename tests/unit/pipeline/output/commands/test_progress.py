"""Each command that reads or writes a whole dataset tells how far it is, up to the end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import FilterConfig, RunConfig
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.source import Source
from pipeline.output.commands.compact import compact
from pipeline.output.commands.filter import filtered_dataset
from pipeline.output.commands.gc import collect
from pipeline.output.commands.merge import merge
from pipeline.output.commands.retry import retry
from pipeline.output.commands.validate import validate
from pipeline.output.writer import Listing, open_output
from pipeline.plan import plan
from pipeline.progress import Progress
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

TIGHTER = MaskOptions(pred_iou_thresh=0.89)


@pytest.fixture
def folder(tmp_path: Path, rehearsal, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two datasets of nine and three images, in shards of three, and something for `gc`."""
    monkeypatch.setattr("pipeline.progress.EVERY", 2)
    rehearsal([f"{number:02d}" for number in range(9)]).run(Store.at(str(tmp_path / "masks")))
    rehearsal([f"other {number}" for number in range(3)]).run(Store.at(str(tmp_path / "others")))
    for number in range(2):
        (tmp_path / f"masks/data/r00001-00009{number}.parquet").write_bytes(b"x")
    return tmp_path


LISTED, SHARDS = [(2, 0), (4, 0), (6, 0), (8, 0)], [(3, 9), (6, 9), (9, 9)]
COMMANDS: dict[str, tuple[Callable[[str, Progress], object], list[tuple[int, int]]]] = {
    "validate": (validate, SHARDS),
    "retry": (lambda masks, told: retry(masks, progress=told), SHARDS),
    "compact": (compact, [(9, 9)]),
    "gc": (collect, [(1, 2), (2, 2)]),
    "filter": (
        lambda masks, told: filtered_dataset(
            FilterConfig(input=masks, output=f"{masks}-tighter", mask=TIGHTER), told
        ),
        [*LISTED, *SHARDS],
    ),
    "merge": (
        lambda masks, told: merge([masks, f"{masks}/../others"], f"{masks}-merged", progress=told),
        [*LISTED, (10, 0), (12, 0), (3, 12), (6, 12), (9, 12), (12, 12)],
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_tells_how_far_it_is(name: str, folder: Path) -> None:
    command, expected = COMMANDS[name]
    told: list[tuple[int, int]] = []
    command(str(folder / "masks"), lambda done, whole: told.append((done, whole)))
    assert told == expected


def test_a_plan_tells_how_many_images_are_listed(folder: Path, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    told: list[tuple[str, int, int]] = []
    config = RunConfig(input=f"{tmp_path}/*.jpg", output=str(tmp_path / "new"))
    assert plan(config, lambda *step: told.append(step)).images == 5
    assert told == [("images listed", 2, 0), ("images listed", 4, 0)]


def test_a_sample_whose_bytes_are_compared_tells_each_step(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.progress.EVERY", 20)
    lines = []
    for number in range(40):
        (tmp_path / f"{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0%d" % number)
        lines.append(f"{tmp_path}/{number}.jpg\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    for given, first in ((f"{tmp_path}/*.jpg", []), (str(tmp_path / "list.txt"), ["lines of the list read"])):
        told: list[tuple[str, int]] = []
        options = SourceOptions(sample=30, deduplicate=True)
        source = Source.at(given, options)
        source.on_step = lambda what, done, _, told=told: told.append((what, done))
        assert len(list(source.rows())) == 30
        listed = [(what, done) for what in (*first, "images listed") for done in (20, 40)]
        compared = [("images compared", 16), ("images of the sample", 20), ("images compared", 30)]
        assert told == [*listed, *compared]


def test_a_refresh_tells_how_many_rows_it_has_checked(folder: Path, rehearsal) -> None:
    store, photos = Store.at(str(folder / "masks")), rehearsal([f"{number:02d}" for number in range(9)])
    photos.etags["file:///photos/04"] = "2"
    told: list[tuple[str, int, int]] = []
    listing = Listing(photos.source, photos.listing, on_step=lambda *step: told.append(step))
    with open_output(store, photos.identity, listing, refresh=True) as output:
        photos.label(output)
    noted = [("images noted in the output", done, 0) for done in (2, 4, 6, 8)]
    assert told == [*noted, *(("rows checked", *shards) for shards in SHARDS)]
