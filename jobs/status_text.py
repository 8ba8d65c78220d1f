"""What `sam-label status` says."""

from typing import TYPE_CHECKING

from jobs.wording import by_reason, counted, duration, size
from pipeline.errors import Reason

if TYPE_CHECKING:
    from pipeline.output.commands.status import Status

# Reasons that lie in the surroundings rather than in the file, so that another try may end otherwise. Not
# SOURCE_CHANGED: a retry asks for the listed version again, and only --refresh lists the new one.
WORTH_A_RETRY = {
    Reason.SOURCE_MISSING,
    Reason.SOURCE_UNAVAILABLE,
    Reason.FORBIDDEN,
    Reason.DECODE_TIMEOUT,
    Reason.WORKER_CRASH,
    Reason.GPU_OOM,
    Reason.LABELER_ERROR,
}


def status_text(found: "Status", output: str) -> str:
    """Counts, the current run, and the next command."""
    images = counted(found.images, "image")
    lines = [
        f"{images}: {found.labelled:,} labelled, {found.failed:,} failed, {found.left:,} left",
        f"{counted(found.masks, 'mask')} in {counted(found.shards, 'shard')}, {size(found.bytes)}",
    ]
    if found.failed:
        lines.append(f"failed: {by_reason(found.failed_by_reason)}")
    if found.holder is not None:
        writer = f"process {found.holder.process.pid} on {found.holder.process.host}"
        if found.is_holder_dead:
            lines.append(f"{writer} has died while it wrote; what it committed counts")
        else:
            lines.append(f"written by {writer}, for {duration(found.holder.age_s)}")
            if found.images_per_s is not None and found.time_left_s is not None:
                lines.append(f"{found.images_per_s:.2f} images/s, about {duration(found.time_left_s)} left")
    lines.append(f"next: {_next(found, output)}")
    return "\n".join(lines)


def _next(found: "Status", output: str) -> str:
    if found.holder is not None and not found.is_holder_dead:
        return "wait for that run; if it was killed, the same command takes over after 30 s"
    if found.left:
        return "the same command goes on" if found.is_holder_dead else "the same sam-label run goes on"
    if found.is_holder_dead:
        return f"sam-label gc {output}"
    if not WORTH_A_RETRY.isdisjoint(found.failed_by_reason):
        return f"sam-label retry {output}"
    if Reason.SOURCE_CHANGED in found.failed_by_reason:
        return "the same sam-label run with --refresh"
    return f"sam-label validate {output}"
