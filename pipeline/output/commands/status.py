"""The state of a dataset, from its commits alone, so that asking costs little while a run goes on."""

from dataclasses import dataclass
from datetime import datetime

from pipeline.output.dataset import Dataset
from pipeline.output.lock import Holder, current_holder
from pipeline.store.storage import Store


@dataclass(frozen=True)
class Status:
    """What `sam-label status` prints."""

    output: str
    images: int
    labelled: int
    failed_by_reason: dict[str, int]
    left: int
    masks: int
    bytes: int
    shards: int
    run: str
    started_at: str
    ended: str | None  # how the current run ended; None while it goes on, or after it was killed
    images_per_s: float | None  # of the current run, from its start to its last commit
    holder: Holder | None  # who writes now, or died without releasing the lock
    is_holder_dead: bool = False  # also False if it cannot be known, on another machine
    duplicates: int = 0  # images without a row, since others have the same bytes
    is_merged: bool = False  # made from several inputs: only the same merge can go on with it, no run

    @property
    def is_written(self) -> bool:
        """Whether a process writes now."""
        return self.holder is not None and not self.is_holder_dead

    @property
    def failed(self) -> int:
        return sum(self.failed_by_reason.values())

    @property
    def time_left_s(self) -> float | None:
        """Seconds until nothing is left, at the rate so far."""
        return self.left / self.images_per_s if self.images_per_s else None


def status(output: str) -> Status:
    """The dataset's state at this moment. Raises: UsageError if there is none."""
    store = Store.at(output)
    dataset = Dataset.in_store(store)
    record, holder = dataset.record, current_holder(store)
    return Status(
        output=store.url,
        images=dataset.images,
        labelled=dataset.labelled,
        failed_by_reason=dataset.failed_by_reason,
        left=dataset.left,
        masks=dataset.masks,
        bytes=sum(commit.bytes for commit in dataset.commits),
        shards=len(dataset.commits),
        run=record.run,
        started_at=record.started_at,
        ended=record.ended["how"] if record.ended else None,
        images_per_s=_rate(dataset),
        holder=holder,
        duplicates=record.duplicate_images,
        is_merged=record.is_merged,
        is_holder_dead=holder is not None and holder.process.is_dead_here,
    )


def _rate(dataset: Dataset) -> float | None:
    own = dataset.own_commits
    if not own:
        return None
    last = max(datetime.fromisoformat(commit.written_at) for commit in own)
    elapsed_s = (last - datetime.fromisoformat(dataset.record.started_at)).total_seconds()
    return sum(commit.rows for commit in own) / elapsed_s if elapsed_s > 0 else None
