"""Each command that reads or writes a whole dataset tells how far it is, up to the end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import FilterConfig, RunConfig
from pipeline.output.commands.compact import compact
from pipeline.output.commands.filter import filtered_dataset
from pipeline.output.commands.gc import collect
from pipeline.output.commands.merge import merge
from pipeline.output.commands.retry import retry
from pipeline.output.commands.validate import validate
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
    told: list[tuple[int, int]] = []
    config = RunConfig(input=f"{tmp_path}/*.jpg", output=str(tmp_path / "new"))
    assert plan(config, lambda done, whole: told.append((done, whole))).images == 5
    assert told == [(2, 0), (4, 0)]
