"""The top of the page: exact counts, and plots of the rows that were read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.histogram import Bin, Histogram
from pipeline.output.dataset import Dataset
from pipeline.report.sample import Sample
from pipeline.store.uri import redacted

# The plots' own frame, in units of the SVG.
WIDTH, HEIGHT = 320, 110
MOST_BARS = 40  # in a plot a hand wide
_MEANINGS = {
    "Predicted IoU": "quality, by the model's own estimate",
    "Stability": "how little a mask changes with its threshold",
    "Area of a mask": "share of the image, logarithmic",
    "Masks per image": "of the labelled images",
}


@dataclass(frozen=True)
class Column:
    """A bar as it is drawn, with its values as a person reads them."""

    x: float
    y: float
    width: float
    height: float
    values: str
    count: int


@dataclass(frozen=True)
class Plot:
    """A histogram; `ticks` are places from 0 to 1 with their labels."""

    title: str
    of: str  # what is counted
    columns: list[Column]
    ticks: list[tuple[float, str, str]]

    @property
    def meaning(self) -> str:
        """An explanation, for readers who see such numbers for the first time."""
        return _MEANINGS[self.title]

    @property
    def described(self) -> str:
        """The plot in words, for readers who cannot see it."""
        if not self.columns:
            return f"{self.title}: nothing to count"
        most = max(self.columns, key=lambda column: column.count)
        total = sum(column.count for column in self.columns)
        return (
            f"{self.title}: histogram of {total:,} {self.of}, "
            f"from {self.ticks[0][1]} to {self.ticks[-1][1]}; "
            f"most lie at {most.values}, {most.count:,}"
        )


@dataclass(frozen=True)
class Figures:
    """The counts of one dataset, and what made it."""

    name: str
    url: str
    model: str
    fingerprint: str
    changed_options: list[str]
    images: int
    labelled: int
    failed: dict[str, int]
    left: int
    masks: int
    started: str

    @property
    def masks_an_image(self) -> float:
        return self.masks / self.labelled if self.labelled else 0.0


@dataclass(frozen=True)
class Summary:
    """The top of the page: about the dataset, and about the other one if two are compared."""

    figures: Figures
    other: Figures | None
    differences: list[str]  # between the two datasets' settings
    plots: list[Plot]
    shown: int  # images
    rows_read: int
    shards_read: int
    shards: int
    seed: int


def summary(
    dataset: Dataset, other: Dataset | None, names: Sequence[str], sample: Sample, seed: int
) -> Summary:
    """What the page says at its top; `names` are those of `other`, if there is one, and of `dataset`."""
    spread = sample.distributions
    return Summary(
        figures=_figures(dataset, names[-1]),
        other=_figures(other, names[0]) if other is not None else None,
        differences=other.identity.differences(dataset.identity) if other is not None else [],
        plots=[
            _plot("Predicted IoU", "masks", spread.predicted_iou, _score),
            _plot("Stability", "masks", spread.stability, _score),
            _plot("Area of a mask", "masks", spread.area_share, percent),
            _plot("Masks per image", "images", spread.masks, _whole),
        ],
        shown=len(sample.groups_of),
        rows_read=sample.rows,
        shards_read=sample.shards,
        shards=len(dataset.commits),
        seed=seed,
    )


def percent(share: float) -> str:
    """`12 %`, `0.03 %`."""
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def _figures(dataset: Dataset, name: str) -> Figures:
    options = dataset.identity.mask_options
    changed = options.model_dump(exclude_defaults=True)
    return Figures(
        name=name,
        url=redacted(dataset.store.url),
        model=dataset.identity.model_type,
        fingerprint=dataset.identity.fingerprint,
        changed_options=[f"{name} {value}" for name, value in changed.items()],
        images=dataset.images,
        labelled=dataset.labelled,
        failed=dataset.failed_by_reason,
        left=dataset.left,
        masks=dataset.masks,
        started=dataset.record.started_at[:10],
    )


def _plot(title: str, of: str, histogram: Histogram, text: Callable[[float], str]) -> Plot:
    bars = histogram.bins(MOST_BARS, on_round_edges=False)
    most = max((bar.number for bar in bars), default=1)
    step = WIDTH / max(len(bars), 1)
    gap = min(1.5, step / 5)
    columns = [
        Column(
            x=round(place * step + gap / 2, 2),
            y=round(HEIGHT * (1 - bar.number / most), 2),
            width=round(min(step - gap, 60), 2),
            height=round(HEIGHT * bar.number / most, 2),
            values=_values(bar, text),
            count=bar.number,
        )
        for place, bar in enumerate(bars)
    ]
    return Plot(title, of, columns, _ticks(bars, text))


def _values(bar: Bin, text: Callable[[float], str]) -> str:
    if text is _whole:
        last = bar.high - 1
        return text(bar.low) if bar.low == last else f"{text(bar.low)} to {text(last)}"
    return f"{text(bar.low)} to {text(bar.high)}"


def _ticks(bars: list[Bin], text: Callable[[float], str]) -> list[tuple[float, str, str]]:
    """Where labels stand, what they say, and how they are anchored."""
    if not bars:
        return []
    last = bars[-1].high - 1 if text is _whole else bars[-1].high
    ticks = [(0.0, text(bars[0].low), "start"), (1.0, text(last), "end")]
    if len(bars) > 4:
        middle = bars[len(bars) // 2].low
        ticks.insert(1, (len(bars) // 2 / len(bars), text(middle), "middle"))
    return [tick for place, tick in enumerate(ticks) if place == 0 or tick[1] != ticks[place - 1][1]]


def _score(value: float) -> str:
    return f"{value:.3f}".rstrip("0").ljust(4, "0")


def _whole(value: float) -> str:
    return f"{value:,.0f}"
