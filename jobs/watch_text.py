"""What `sam-label status --watch` shows: lines that are redrawn on a terminal, else a line a change."""

from typing import TYPE_CHECKING

from jobs.wording import counted, duration, tallied
from pipeline.store.uri import redacted

if TYPE_CHECKING:
    from pipeline.output.commands.watch import Look


def watch_lines(look: "Look") -> str:
    """All of it, for a terminal."""
    images = counted(look.images, "image")
    lines = [
        f"{images}: {look.labelled:,} labelled, {look.failed:,} failed, {look.left:,} left",
        f"{counted(look.masks, 'mask')}{_pace(look)}",
    ]
    if look.failed:
        lines.append(f"failed: {tallied(look.failed_by_reason)}")
    lines.append(_run(look))
    return "\n".join(lines)


def watch_line(look: "Look") -> str:
    """The same in short, for a log."""
    done = f"{look.labelled + look.failed:,} of {counted(look.images, 'image')}, {look.failed:,} failed"
    return f"{done}{_pace(look)}; {_run(look)}"


def _pace(look: "Look") -> str:
    if look.images_per_s is None or look.time_left_s is None or look.is_last:
        return ""
    return f", {look.images_per_s:.2f} images/s, about {duration(look.time_left_s)} left"


def _run(look: "Look") -> str:
    """What the run is doing, and which process it is."""
    if look.state == "ended":
        if look.outcome is None:
            return "no run writes here; the last run did not end cleanly"
        why = f" ({redacted(look.sentence)})" if look.sentence else ""
        return f"run {look.run} {_ENDS.get(look.outcome, 'failed')}{why}"
    who = f"run {look.run}, process {look.pid} on {look.host}"
    if look.state == "dead":
        return f"{who}, has died; run the same command again to continue"
    doing = "lists its input" if look.state == "preparing" else "writes"
    return f"{who}, {doing}; last heartbeat {look.beat_age_s or 0:.0f} s ago"


_ENDS = {"finished": "has finished", "interrupted": "was interrupted"}
