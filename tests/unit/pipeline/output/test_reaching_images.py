"""A dataset remembers how its images were reached, whatever is done to its rows afterwards."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import FilterConfig, RunConfig
from pipeline.errors import ImageError, StoreError
from pipeline.export.export import exported
from pipeline.export_config import ExportConfig
from pipeline.output.commands.compact import compact
from pipeline.output.commands.filter import filtered_dataset
from pipeline.output.commands.gc import collect
from pipeline.output.commands.merge import merge
from pipeline.output.commands.retry import retry
from pipeline.reading.dataset import Dataset
from pipeline.store.settings import access_options
from pipeline.store.storage import Store

OPTIONS = {"anonymous": True, "storage": {"https": {"allow_http": True}}}
# Readers follow http:// as the run did, but connect to no host of their own network.
REACHED = "127.0.0.1 has the address 127.0.0.1, which is not public"


def _leave_an_orphan(output: str) -> None:
    shard = min(Path(output, "data").iterdir())
    shard.with_name("r00001-000077.parquet").write_bytes(shard.read_bytes())
    assert collect(output).files == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda output, new: None,
        lambda output, new: compact(output),
        lambda output, new: retry(output),
        lambda output, new: _leave_an_orphan(output),
        lambda output, new: filtered_dataset(FilterConfig(input=output, output=new)),
        lambda output, new: merge([output, f"{output}-other"], new),
    ],
    ids=["run", "compact", "retry", "gc", "filter", "merge"],
)
def test_a_reader_and_an_export_reach_them_so(
    tmp_path: Path, rehearsal: Callable, change: Callable[[str, str], object]
) -> None:
    config = RunConfig.model_validate({"input": "photos", "output": "out", **OPTIONS})
    for name in ("out", "out-other"):
        photos = rehearsal([])
        photos.etags = {f"http://127.0.0.1/{name}/{number}.jpg": "1" for number in range(9)}
        photos.run(Store.at(str(tmp_path / name)), settings=config.recorded())
    output, new = str(tmp_path / "out"), str(tmp_path / "new")
    change(output, new)
    output = new if Path(new).exists() else output
    dataset = Dataset.open(output, where=[("status", "=", "ok")])
    assert dataset[0].block.images.access.anonymous
    with pytest.raises(ImageError, match=REACHED):
        _ = dataset[0].image
    with pytest.raises(StoreError, match=REACHED):
        exported(ExportConfig(output=output, dest=str(tmp_path / "coco"), images="copy"))


def test_of_several_runs_none_needs_credentials_and_one_http() -> None:
    assert access_options(OPTIONS, OPTIONS) == OPTIONS
    assert access_options(OPTIONS, {"anonymous": False}) == {"storage": {"https": {"allow_http": True}}}
    assert access_options({"anonymous": False, "errors": ["EMPTY"]}) == access_options() == {}
