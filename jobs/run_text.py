"""What `sam-label run` says at its end: counts, time, where the dataset is, and the next command."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.run import RunPlan, RunSummary


def plan_text(plan: "RunPlan", output: str) -> str:
    """What a run would do."""
    left_out = f" ({plan.skipped_files} other files left out)" if plan.skipped_files else ""
    return "\n".join(
        [
            f"{counted(plan.images, 'image')}, {size(plan.size_bytes)}{left_out}",
            f"{plan.pending} to label, {plan.images - plan.pending} done before",
            f"nothing was written to {output}",
            "next: the same command without --dry-run",
        ]
    )


def summary_text(summary: "RunSummary") -> str:
    """What a run has done."""
    ended = summary.labelled + summary.failed
    lines = ["nothing to do"]
    if ended:
        labelled = f"{counted(summary.labelled, 'image')} labelled, {counted(summary.masks, 'mask')}"
        speed = f"{ended / max(summary.elapsed_s, 1e-3):.2f} images/s"
        lines = [f"{labelled}, in {duration(summary.elapsed_s)} ({speed})"]
    if summary.skipped_done:
        lines.append(f"{counted(summary.skipped_done, 'image')} done before")
    if summary.failed:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(summary.failed_by_reason.items()))
        lines.append(f"{counted(summary.failed, 'image')} failed: {reasons}")
    lines.append(f"dataset: {summary.output}")
    lines.append(f"next: sam-label {'status' if summary.failed else 'validate'} {summary.output}")
    return "\n".join(lines)


def counted(number: int, noun: str) -> str:
    """`1 image`, `12,580 images`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(size_bytes: int) -> str:
    """`585 kB`, `1.2 GB`."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes / 1e3:.0f} kB"


def duration(seconds: float) -> str:
    """`0:42`, `1:03:20`."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
