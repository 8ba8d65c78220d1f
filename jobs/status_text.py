"""What `sam-label status` prints."""

from typing import TYPE_CHECKING

from jobs.wording import counted, duration, size, tallied
from pipeline.errors import Reason

if TYPE_CHECKING:
    from pipeline.output.commands.status import Status

# The cause is not the file, so another try may succeed. SOURCE_CHANGED is not among them: a retry asks for
# the listed version again, and only --refresh lists the new one.
WORTH_A_RETRY = {
    Reason.SOURCE_MISSING,
    Reason.SOURCE_UNAVAILABLE,
    Reason.FORBIDDEN,
    Reason.DECODE_TIMEOUT,
    Reason.WORKER_CRASH,
    Reason.GPU_OOM,
    Reason.LABELER_ERROR,
}


def status_text(dataset: "Status", output: str) -> str:
    """Counts, the current run, and the next command."""
    images = counted(dataset.images, "image")
    lines = [
        f"{images}: {dataset.labelled:,} labelled, {dataset.failed:,} failed, {dataset.left:,} left",
        f"{counted(dataset.masks, 'mask')} in {counted(dataset.shards, 'shard')}, {size(dataset.bytes)}",
    ]
    if dataset.duplicates:
        lines.append(f"{counted(dataset.duplicates, 'duplicate')} not labelled: others have the same bytes")
    if dataset.failed:
        lines.append(f"failed: {tallied(dataset.failed_by_reason)}")
    if dataset.holder is not None:
        writer = f"process {dataset.holder.process.pid} on {dataset.holder.process.host}"
        if dataset.is_holder_dead:
            lines.append(f"{writer} died while writing; its committed rows are kept")
        else:
            lines.append(f"written by {writer}, for {duration(dataset.holder.age_s)}")
            if dataset.images_per_s is not None and dataset.time_left_s is not None:
                lines.append(
                    f"{dataset.images_per_s:.2f} images/s, about {duration(dataset.time_left_s)} left"
                )
    lines.append(f"next: {status_next(dataset, output)}")
    return "\n".join(lines)


def status_next(dataset: "Status", output: str) -> str:
    """The next command, or what to wait for."""
    if dataset.is_written:
        return "wait for that run; if it was killed, the same command takes over after 30 s"
    if dataset.left:
        if dataset.is_holder_dead:
            return "the same command goes on"
        return f"the same sam-label {'merge' if dataset.is_merged else 'run'} goes on"
    if dataset.is_holder_dead:
        return f"sam-label gc {output}"
    if not dataset.is_merged and not WORTH_A_RETRY.isdisjoint(dataset.failed_by_reason):
        return f"sam-label retry {output}"
    if Reason.SOURCE_CHANGED in dataset.failed_by_reason:
        return "the same sam-label run with --refresh"
    return f"sam-label validate {output}"
