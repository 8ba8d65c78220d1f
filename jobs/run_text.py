"""What `sam-label run` prints at its end: counts, time, where the dataset is, and the next command."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from jobs.wording import counted, duration, size, tallied

if TYPE_CHECKING:
    from pipeline.plan import RunPlan
    from pipeline.rates.forecast import Forecast
    from pipeline.summary import RunSummary

_DEVICES = {"cpu": "the CPU, as a Xeon of 2023 does it", "cuda": "GPUs, as an H100 does it"}


def plan_text(plan: "RunPlan", expected: "Forecast", output: str) -> str:
    """What a run would do, and about how long it would take."""
    if plan.empty_input:
        sentence = _empty_input(plan.empty_input)
        return f"{sentence}\n{_done_before(plan.images)}\ndataset: {output}" if plan.images else sentence
    others = plan.images - plan.pending
    left_out = [
        f"{counted(plan.skipped_files, 'other file')} left out" if plan.skipped_files else "",
        _links_left_out(plan.skipped_links),
        _repeated(plan.repeated),
        _parts_left_out(plan.skipped_parts),
        _damages(plan.damages),
    ]
    if not plan.pending:
        done = ["nothing to do", _done_before(plan.images), *filter(None, left_out)]
        return "\n".join([*done, f"dataset: {output}", f"next: sam-label validate {output}"])
    parts = [
        counted(plan.images, "image"),
        f"{plan.pending:,} to label ({_bytes(plan)})",
        f"{others:,} not in this run" if others else "",
        *left_out,
    ]
    return "\n".join(
        [
            ", ".join(filter(None, parts)),
            *_expected(expected),
            f"nothing was written to {output}",
            "next: the same command without --dry-run",
        ]
    )


def plan_figures(plan: "RunPlan", expected: "Forecast") -> dict[str, Any]:
    """The same for programs."""
    figures = asdict(replace(plan, sample=()))
    return {**figures, "sample": expected.sample, "estimate": asdict(expected)}


def _expected(expected: "Forecast") -> list[str]:
    by = f"{counted(expected.labelers, 'labeler')} on {_DEVICES[expected.device]}"
    pixels = ""
    if expected.megapixels is not None:
        pixels = f" of {expected.megapixels:.1f} megapixels (the median of {expected.sample})"
    took = f"{duration(expected.hours * 3600)} and {size(expected.output_bytes)} of output"
    return [
        f"a guess for images{pixels}: {took} by {by}",
        "the guess is from figures of other machines: sam-label bench measures this one",
    ]


def summary_text(summary: "RunSummary", output: str, overwrites: bool = False) -> str:
    """What a run did, up to its end or until it was stopped."""
    if summary.empty_input and not summary.total:
        return _empty_input(summary.empty_input)
    ended = summary.labelled + summary.failed
    lines = ["no image labelled" if _rest(summary) else "nothing to do"]
    if ended:
        labelled = f"{counted(summary.labelled, 'image')} labelled, {counted(summary.masks, 'mask')}"
        speed = f"{ended / max(summary.elapsed_s, 1e-3):.2f} images/s"
        lines = [f"{labelled}, in {duration(summary.elapsed_s)} ({speed})"]
    if summary.empty_input:
        lines = [_empty_input(summary.empty_input)]
    if summary.skipped_done:
        lines.append(_done_before(summary.skipped_done))
    if summary.failed:
        lines.append(f"{counted(summary.failed, 'image')} failed: {tallied(summary.failed_by_reason)}")
    if summary.narrow * 2 > summary.deep:
        lines.append(
            f"warning: {summary.narrow:,} of {counted(summary.deep, 'image')} of more than 8 bits use a "
            "tenth of their range or less, as 12-bit data in 16 bits do, and were labelled nearly black: "
            "label them into a new output with --scale auto, or with their range as --scale 0:4095"
        )
    if summary.duplicates:
        lines.append(f"{counted(summary.duplicates, 'image')} not labelled: others have the same bytes")
    if summary.skipped_files:
        lines.append(f"{counted(summary.skipped_files, 'other file')} left out: no images by name or content")
    if summary.skipped_links:
        lines.append(_links_left_out(summary.skipped_links))
    if summary.repeated:
        lines.append(_repeated(summary.repeated))
    lines += filter(None, [_parts_left_out(summary.skipped_parts), _damages(summary.damages)])
    lines.append(f"dataset: {output}")
    lines.append(f"next: {_next(summary, output, overwrites)}")
    return "\n".join(lines)


def _empty_input(place: str) -> str:
    return f"nothing to do: no image was found in {place}"


def _done_before(images: int) -> str:
    return f"{counted(images, 'image')} done before"


def _links_left_out(links: int) -> str:
    """Empty for no links."""
    if not links:
        return ""
    lead = "1 link that leads" if links == 1 else f"{links:,} links that lead"
    return f"{lead} out of the input {'was' if links == 1 else 'were'} left out (--follow-links follows them)"


def _repeated(lines: int) -> str:
    """Empty for no lines."""
    if not lines:
        return ""
    return f"{counted(lines, 'line')} of the list left out: an earlier line names the same image"


def _bytes(plan: "RunPlan") -> str:
    """The bytes to fetch, as far as they are known."""
    if not plan.unknown_sizes:
        return size(plan.size_bytes)
    unknown = f"{counted(plan.unknown_sizes, 'image')} of unknown size"
    return f"{size(plan.size_bytes)} and {unknown}" if plan.size_bytes else "of unknown size"


def _parts_left_out(parts: int) -> str:
    """Empty for none."""
    return f"{counted(parts, 'part')} of archives and tables left out: no images" if parts else ""


def _damages(damages: int) -> str:
    """Empty for none."""
    return f"images may be lost in {counted(damages, 'damaged place')} of archives and tables" * bool(damages)


def _next(summary: "RunSummary", output: str, overwrites: bool) -> str:
    if _rest(summary):
        return f"the same command{' without --overwrite' * overwrites} for the rest"
    return f"sam-label {'status' if summary.failed else 'validate'} {output}"


def _rest(summary: "RunSummary") -> int:
    """Images that are still to be labelled."""
    return summary.total - summary.labelled - summary.failed - summary.skipped_done
