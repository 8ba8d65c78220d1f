"""The state of a dataset, from its commits alone, so that asking costs little while a run goes on."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset
from pipeline.output.lock import Holder, current_holder
from pipeline.store.storage import Store

RATE_OVER = timedelta(minutes=10)  # most runs write some shards in this time
LATE_AFTER = 3  # times the usual time from one shard to the next


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
    images_per_s: float | None  # over the last RATE_OVER up to the newest shard
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
        """Seconds until nothing is left, at that rate."""
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
        bytes=dataset.bytes,
        shards=len(dataset.commits),
        run=record.run,
        started_at=record.started_at,
        ended=record.ended["how"] if record.ended else None,
        images_per_s=rate(dataset),
        holder=holder,
        duplicates=record.duplicate_images,
        is_merged=record.is_merged,
        is_holder_dead=holder is not None and holder.process.is_dead_here,
    )


def rate(dataset: Dataset) -> float | None:
    """Images/s between two shards, or since the run's start, by recorded times, not this machine's clock.

    None if shards should have followed since: the run stands still, and its rate promises nothing.
    """
    own = sorted(dataset.own_commits, key=_written)
    if not own:
        return None
    last = _written(own[-1])
    earlier = [commit for commit in own if _written(commit) <= last - RATE_OVER]
    since = _written(earlier[-1]) if earlier else datetime.fromisoformat(dataset.record.started_at)
    recent, elapsed = own[len(earlier) :], last - since
    usual_wait = max(RATE_OVER, LATE_AFTER * elapsed / len(recent))
    if elapsed <= timedelta() or datetime.now(UTC) - last > usual_wait:
        return None
    return sum(commit.rows for commit in recent) / elapsed.total_seconds()


def _written(commit: Commit) -> datetime:
    return datetime.fromisoformat(commit.written_at)
