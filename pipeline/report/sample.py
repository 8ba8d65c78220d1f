"""Chooses what a report shows and counts: a sample by seed, of a dataset of any size.

Exact counts come from the commits. Everything else is read from some shards, chosen by the seed: first
columns of numbers, then the masks of the chosen rows only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset
from pipeline.report.distribution import Distributions
from pipeline.store.storage import side_by_side

# Rows after which no further shard is read: their histogram is within a pixel or two of that of all rows.
ENOUGH_ROWS = 3000
# A shard holds neighbours in the listing, so that one alone would show one folder.
LEAST_SHARDS = 4
MOST_SHARDS = 64  # some hundred requests to a store; more only if they have too few rows
MOST_FAILED_SHARDS = 8  # further ones, to find failed rows
_COLUMNS = (
    "status",
    "width",
    "height",
    "num_masks",
    "mask_area",
    "mask_predicted_iou",
    "mask_stability_score",
)

GROUPS = ("best", "worst", "random", "none", "failed")
# Shares of the images that are asked for; the rest are random ones.
_SHARES = {"best": 1 / 5, "worst": 1 / 5, "none": 1 / 8, "failed": 1 / 8}


@dataclass(frozen=True)
class Place:
    """A row of the dataset: the name of its shard's commit, and its number in the shard."""

    commit: str
    row: int


@dataclass(frozen=True)
class Sample:
    """The rows to show, each with its groups, best first; and what the distributions were read from."""

    groups_of: dict[Place, list[str]]
    distributions: Distributions
    rows: int
    shards: int


@dataclass
class _Facts:
    """What is known of the rows of some shards; the mean predicted IoU is NaN if there is no mask."""

    places: list[Place] = field(default_factory=list)
    is_ok: list[bool] = field(default_factory=list)
    mean_iou: list[float] = field(default_factory=list)
    distributions: Distributions = field(default_factory=Distributions)


def sampled(dataset: Dataset, images: int, seed: int) -> Sample:
    """At most `images` rows of the dataset; the same for the same seed and commits. Raises: DamagedFile."""
    random = np.random.default_rng(seed)
    order = [dataset.commits[place] for place in random.permutation(len(dataset.commits)).tolist()]
    shards = _shards_to_read(order, images)
    facts = _joined(side_by_side(lambda commit: _facts_of(dataset, commit), shards))
    wanted = int(np.ceil(images * _SHARES["failed"]))
    others = _shards_with_failed(order, shards, wanted)
    failed = [place for place, is_ok in zip(facts.places, facts.is_ok, strict=True) if not is_ok]
    failed += chain.from_iterable(side_by_side(lambda commit: _failed_rows(dataset, commit), others))
    groups = _groups(facts, failed, images, random)
    return Sample(groups, facts.distributions, len(facts.places), len(shards))


def _shards_to_read(order: Sequence[Commit], images: int) -> list[Commit]:
    chosen: list[Commit] = []
    rows = 0
    for commit in order:
        are_enough = rows >= ENOUGH_ROWS and len(chosen) >= LEAST_SHARDS
        if are_enough or (rows >= 2 * images and len(chosen) >= MOST_SHARDS):
            break
        chosen.append(commit)
        rows += commit.rows
    return chosen


def _shards_with_failed(order: Iterable[Commit], read: Sequence[Commit], wanted: int) -> list[Commit]:
    """Further shards with failed rows, if those that are read anyway have too few."""
    names = {commit.name for commit in read}
    found = sum(sum(commit.failed.values()) for commit in read)
    chosen: list[Commit] = []
    for commit in order:
        if found >= wanted or len(chosen) == MOST_FAILED_SHARDS:
            break
        if commit.failed and commit.name not in names:
            chosen.append(commit)
            found += sum(commit.failed.values())
    return chosen


def _facts_of(dataset: Dataset, commit: Commit) -> _Facts:
    table = dataset.rows_of(commit, _COLUMNS)
    is_ok = pc.equal(table["status"], "ok").to_pylist()
    lists = table["mask_predicted_iou"].combine_chunks()
    of_row = pc.list_parent_indices(lists).to_numpy()
    iou = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    sums, counts = (np.bincount(of_row, weights, len(is_ok)) for weights in (iou, None))
    with np.errstate(invalid="ignore"):
        mean_iou = sums / counts
    distributions = Distributions()
    distributions.add(table, of_row)
    places = [Place(commit.name, row) for row in range(len(is_ok))]
    return _Facts(places, is_ok, mean_iou.tolist(), distributions)


def _failed_rows(dataset: Dataset, commit: Commit) -> list[Place]:
    is_failed = pc.not_equal(dataset.rows_of(commit, ["status"])["status"], "ok").to_numpy()
    return [Place(commit.name, row) for row in np.flatnonzero(is_failed).tolist()]


def _joined(parts: Iterable[_Facts]) -> _Facts:
    whole = _Facts()
    for part in parts:
        whole.places += part.places
        whole.is_ok += part.is_ok
        whole.mean_iou += part.mean_iou
        whole.distributions.merge(part.distributions)
    return whole


def _groups(
    facts: _Facts, failed: list[Place], images: int, random: np.random.Generator
) -> dict[Place, list[str]]:
    """The chosen rows with their groups, in the order of GROUPS."""
    mean_iou_N, is_ok_N = np.array(facts.mean_iou, np.float64), np.array(facts.is_ok, np.bool_)
    scored_N = np.flatnonzero(~np.isnan(mean_iou_N))
    best_first_N = scored_N[np.argsort(-mean_iou_N[scored_N], kind="stable")]
    none_N = random.permutation(np.flatnonzero(is_ok_N & np.isnan(mean_iou_N)))
    few = max(1, min(int(images * _SHARES["best"]), len(scored_N) // 3))
    chosen = {
        "best": _places(facts, best_first_N[:few]),
        "worst": _places(facts, best_first_N[few:][::-1][:few]),
        "none": _places(facts, none_N[: int(np.ceil(images * _SHARES["none"]))]),
        "failed": [
            failed[place]
            for place in random.permutation(len(failed)).tolist()[: int(np.ceil(images * _SHARES["failed"]))]
        ],
    }
    groups: dict[Place, list[str]] = {}
    for name, places in chosen.items():
        for place in places[: images - len(groups)]:
            groups.setdefault(place, []).append(name)
    for place in _places(facts, random.permutation(np.flatnonzero(is_ok_N))):
        if place in groups:
            groups[place].append("random")
        elif len(groups) < images:
            groups[place] = ["random"]
        else:
            break
    for place in failed:
        if len(groups) >= images:  # more failed rows are shown only if others are too few
            break
        groups.setdefault(place, ["failed"])
    return {place: names for group in GROUPS for place, names in groups.items() if _first_of(names) == group}


def _first_of(names: Sequence[str]) -> str:
    return min(names, key=GROUPS.index)


def _places(facts: _Facts, rows_N: NDArray[np.int64]) -> list[Place]:
    return [facts.places[row] for row in rows_N.tolist()]
