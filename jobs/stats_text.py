"""What `sam-label stats` prints: counts, and histograms as bars of text, without colours."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.wording import counted, duration, size, tallied

if TYPE_CHECKING:
    from pipeline.histogram import Histogram
    from pipeline.statistics.repeats import Repeats
    from pipeline.statistics.statistics import Statistics

MOST_BARS = 12
LEAST_WIDTH = 4  # of a bar; a narrower terminal gets no bars
MOST_WIDTH = 50
_EIGHTHS = " ▏▎▍▌▋▊▉"

Format = Callable[[float], str]


@dataclass(frozen=True)
class Page:
    """What the text is written on."""

    width: int  # columns
    has_blocks: bool = True  # False if its encoding has no block characters


def stats_text(figures: "Statistics", page: Page) -> str:
    """The whole report."""
    columns, pixels = figures.columns, figures.pixels
    parts = [
        "\n".join(_counts(figures)),
        *_histograms(page, columns.masks_an_image, "masks per image", _whole),
    ]
    for title, histogram, shown in (
        ("area, share of the image", columns.area_share, _percent),
        ("predicted IoU", columns.predicted_iou, _score),
        ("stability score", columns.stability_score, _score),
    ):
        parts += _histograms(page, histogram, title, shown)
    if pixels.images:
        parts.append("\n".join(_sample(figures)))
        parts += _histograms(page, pixels.coverage, "coverage: share of pixels under any mask", _percent)
        parts += _histograms(page, pixels.overlap, "overlap: share of pixels under two or more", _percent)
    return "\n\n".join(parts)


def stats_next(figures: "Statistics", output: str) -> str:
    """The next command for a dataset that is whole."""
    if figures.columns.failed:
        return f"sam-label status {output}"
    return f"sam-label preview {output}"


def _counts(figures: "Statistics") -> Iterator[str]:
    columns, failed = figures.columns, figures.columns.failed
    images = counted(figures.images, "image")
    yield f"{images}: {figures.labelled:,} labelled, {failed.total():,} failed, {figures.left:,} left"
    if failed:
        yield f"failed: {tallied(failed)}"
    stored = f"{counted(figures.masks, 'mask')} in {counted(figures.shards, 'shard')}, {size(figures.bytes)}"
    yield stored + (f": {figures.bytes_a_mask:.0f} bytes a mask" if figures.masks else "")
    yield f"{counted(columns.zero_masks, 'image')} without a mask"
    yield f"duplicates: {_repeats(columns.same_masks, 'by equal masks')}"
    if columns.same_etag.things:
        yield f"duplicates: {_repeats(columns.same_etag, 'by equal content (ETag)')}"
    if figures.near:
        near = figures.near
        sample = f"of {near.sampled:,} looked at"
        yield f"near-duplicates: {near.images:,} {sample} (cosine of {near.similarity} or more)"
    if figures.time.runs:
        yield f"time: {_time(figures)}"
    if figures.time.stages:
        yield f"time of workers: {_time_of_workers(figures)}"


def _repeats(repeats: "Repeats", how: str) -> str:
    about = "about " if repeats.one_in > 1 else ""
    return f"{about}{repeats.number:,} of {counted(repeats.things, 'image')} {how}"


def _time(figures: "Statistics") -> str:
    time = figures.time
    stages = (
        ("until the first shard", time.first_shard_s),
        ("for the other shards", time.further_shards_s),
        ("after the last", time.closing_s),
        ("of unknown stages", time.unknown_s),
    )
    by_stage = ", ".join(f"{duration(seconds)} {stage}" for stage, seconds in stages if seconds >= 0.5)
    return f"{duration(time.total_s)} in {counted(time.runs, 'run')}" + (f": {by_stage}" if by_stage else "")


def _time_of_workers(figures: "Statistics") -> str:
    """The time by stage, added up over parallel workers; the longest first."""
    time = figures.time
    stages = sorted(time.stages.items(), key=lambda item: -item[1])
    by_stage = ", ".join(f"{duration(seconds)} {stage}" for stage, seconds in stages)
    return by_stage if time.reports == time.runs else f"{by_stage} (of {time.reports} of {time.runs} runs)"


def _sample(figures: "Statistics") -> Iterator[str]:
    pixels, rows = figures.pixels, figures.columns.rows
    if figures.sampled < rows:
        yield f"of a sample of {figures.sampled:,} of {counted(rows, 'image')}, seed {figures.seed}:"
    share = pixels.nested / pixels.masks if pixels.masks else 0.0
    yield f"{pixels.nested:,} of {counted(pixels.masks, 'mask')} nested in a larger one ({share:.1%})"


def _histograms(page: Page, histogram: "Histogram", title: str, shown: Format) -> list[str]:
    """The histogram under its title; nothing if it has no values."""
    if not histogram.number:
        return []
    reach = f"{shown(histogram.least)} to {shown(histogram.most)}"
    middle = f"mean {shown(histogram.mean)}, median about {shown(histogram.median)}"
    return ["\n".join([title, f"  {middle}, {reach}", *_bars(page, histogram, shown)])]


def _bars(page: Page, histogram: "Histogram", shown: Format) -> Iterator[str]:
    bins = histogram.bins(MOST_BARS)
    edges = [(_edge(shown, low), _edge(shown, high)) for low, high, _ in bins]
    lows, highs = (max(map(len, column)) for column in zip(*edges, strict=True))
    numbers = [f"{count:,}" for _, _, count in bins]
    most, digits = max(count for _, _, count in bins), max(map(len, numbers))
    width = min(page.width - lows - highs - digits - 7, MOST_WIDTH)
    for (low, high), (_, _, count), number in zip(edges, bins, numbers, strict=True):
        bar = _bar(count / most, width, page.has_blocks) if width >= LEAST_WIDTH else ""
        line = f"  {low:>{lows}} - {high:>{highs}} {number:>{digits}} {bar}"
        yield line.rstrip()


def _bar(share: float, width: int, has_blocks: bool) -> str:
    if not has_blocks:
        return "#" * max(round(share * width), int(share > 0))
    eighths = max(round(share * width * 8), int(share > 0))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _edge(shown: Format, value: float) -> str:
    """The edge of a bin, without the decimals that it does not need."""
    return (
        f"{value * 100:.4g}%" if shown is _percent else f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"
    )


def _whole(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"


def _score(value: float) -> str:
    return f"{value:.3f}"
