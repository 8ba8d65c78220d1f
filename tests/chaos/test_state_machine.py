"""Any order of runs, kills, new and changed images, retries, refreshes and sweeps keeps the promises.

Hypothesis looks for an order that breaks them. The dataset is compared with a rehearsal, which has the rows
of a dataset that never had a fault.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pipeline.output.commands.gc import collect
from pipeline.output.commands.retry import retry
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.store.storage import Store

NAMES = st.sampled_from([f"{number:02d}.jpg" for number in range(7)])  # few, so that one changes repeatedly
LIVES = int(os.environ.get("LIVES", "8"))  # tests/chaos/figures.py asks for more
NEVER_OR_BEFORE = st.none() | st.integers(0, 30)  # the step that kills; a first run takes about 25
SOME_OR_ALL = st.integers(0, 2) | st.none()


class Life(RuleBasedStateMachine):
    """One output, from its first run onward."""

    def __init__(self, folder: Path, input_: Any, frozen: Any, killed_before: Callable[..., Any]) -> None:
        super().__init__()
        shutil.rmtree(folder, ignore_errors=True)
        self.folder, self.store = folder, Store.at(str(folder))
        self.input, self.frozen = input_, frozen  # the folder now; the manifest's listing
        self.killed_before = killed_before

    @rule(changed=st.sets(NAMES), refresh=st.booleans(), shards=SOME_OR_ALL, killed=NEVER_OR_BEFORE)
    def a_run(self, changed: set[str], refresh: bool, shards: int | None, killed: int | None) -> None:
        """A run, perhaps killed, over an input in which some images are new or have changed."""
        for name in changed:
            before = self.input.etags.get(f"file:///photos/{name}", "0")
            self.input.etags[f"file:///photos/{name}"] = str(int(before) + 1)
        self.killed_before(lambda: self.input.run(self.store, shards, refresh=refresh), killed)
        self.note_the_manifest()
        if shards is None and killed is None:
            assert validate(str(self.folder)).problems == []
            assert self.rows() == self.frozen.rows()

    @precondition(lambda self: self.frozen.etags)
    @rule(killed=NEVER_OR_BEFORE)
    def failed_images_are_queued_again(self, killed: int | None) -> None:
        self.killed_before(lambda: retry(str(self.folder)), killed)

    @precondition(lambda self: self.frozen.etags)
    @rule()
    def leftovers_are_swept(self) -> None:
        collect(str(self.folder))
        on_disk = {path.resolve() for path in self.folder.glob("data/*.parquet")}
        assert on_disk == {Path(uri.removeprefix("file://")) for uri in Dataset.in_store(self.store).files()}

    @invariant()
    def every_row_is_right_and_there_once(self) -> None:
        rows = self.rows()
        assert len({row["uri"] for row in rows}) == len(rows)
        right = self.frozen.rows()
        assert all(row in right for row in rows)

    def rows(self) -> list[dict[str, Any]]:
        dataset = Dataset.in_store_or_none(self.store)
        return sorted(dataset.table().to_pylist(), key=lambda row: row["uri"]) if dataset else []

    def note_the_manifest(self) -> None:
        dataset = Dataset.in_store_or_none(self.store)
        for table in dataset.manifest() if dataset else ():
            self.frozen.etags |= dict(zip(table["uri"].to_pylist(), table["etag"].to_pylist(), strict=True))


def test_any_order_of_events_keeps_the_promises(tmp_path: Path, rehearsal, killed_before) -> None:
    run_state_machine_as_test(
        lambda: Life(tmp_path / "out", rehearsal(["00.jpg", "01.jpg"]), rehearsal([]), killed_before),
        settings=settings(
            max_examples=LIVES,
            stateful_step_count=10,
            deadline=None,
            phases=[Phase.generate],  # a failing order is short enough; shrinking it would take minutes
            derandomize=True,  # the same orders every time: a red test stays red
            suppress_health_check=list(HealthCheck),
        ),
    )
