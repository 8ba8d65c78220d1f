"""Which rows a report shows: chosen by seed, some of each kind, without reading the masks of other rows."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import pipeline.report.sample as sample_module
from pipeline.output.dataset import Dataset
from pipeline.report.lookup import places_of, records_at
from pipeline.report.sample import sampled
from pipeline.store.storage import Store

NAMES = [f"{number:03d}.jpg" for number in range(180)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dataset")


@pytest.fixture
def dataset(folder: Path, rehearsal) -> Dataset:
    """180 rows in 60 shards, a fifth of them failed, a quarter of the others without a mask; written once."""
    if not (folder / "dataset.json").exists():
        rehearsal(NAMES).run(Store.at(str(folder)))
    return Dataset.at(str(folder))


def test_a_seed_gives_one_sample_and_another_seed_another(dataset: Dataset) -> None:
    first, again, other = (sampled(dataset, 20, seed).groups_of for seed in (0, 0, 1))
    assert list(first.items()) == list(again.items())
    assert len(first) == len(other) == 20
    assert set(first) != set(other)


def test_each_group_holds_what_it_says(dataset: Dataset) -> None:
    sample = sampled(dataset, 20, 0)
    held = Counter(group for groups in sample.groups_of.values() for group in groups)
    assert held["best"] == held["worst"] == 4
    assert held["none"] >= 3
    assert held["failed"] == 3
    assert held["random"] > 5
    for place, record in records_at(dataset, sample.groups_of):
        groups = sample.groups_of[place]
        assert ("failed" in groups) == (not record.is_ok)
        if "none" in groups:
            assert record.is_ok
            assert len(record) == 0
        if {"best", "worst"} & set(groups):
            assert len(record) > 0


def test_best_and_worst_are_by_mean_predicted_iou(labelled) -> None:
    _, masks = labelled()
    dataset = Dataset.at(str(masks))
    sample = sampled(dataset, 8, 0)
    means = {"best": [], "worst": []}
    every = []
    for place, record in records_at(dataset, sample.groups_of):
        if len(record):
            every.append(float(record.predicted_iou.mean()))
            for group in set(sample.groups_of[place]) & set(means):
                means[group].append(every[-1])
    assert means["best"] == [max(every)]
    assert means["worst"] == [min(every)]


def test_all_rows_of_a_small_dataset_are_shown(labelled) -> None:
    _, masks = labelled()
    sample = sampled(Dataset.at(str(masks)), 60, 0)
    assert (len(sample.groups_of), sample.rows, sample.shards) == (8, 8, 3)


@pytest.mark.parametrize("images", [1, 2, 3])
def test_no_more_images_than_asked_for(dataset: Dataset, images: int) -> None:
    assert len(sampled(dataset, images, 0).groups_of) == images


def test_a_large_dataset_is_not_read_whole(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_module, "ENOUGH_ROWS", 30)
    read: list[tuple[str, tuple[str, ...]]] = []
    rows_of = Dataset.rows_of

    def watched(self: Dataset, commit, columns=None, groups=None):
        read.append((commit.name, tuple(columns)))
        return rows_of(self, commit, columns, groups)

    monkeypatch.setattr(Dataset, "rows_of", watched)
    sample = sampled(dataset, 15, 0)
    assert sample.shards == 10
    assert sample.rows == 30
    assert len(read) <= 10 + sample_module.MOST_FAILED_SHARDS
    assert all("mask_counts" not in columns for _, columns in read)
    assert any("failed" in groups for groups in sample.groups_of.values())


def test_of_another_dataset_only_the_shards_that_may_hold_an_image_are_read(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    rows_of = Dataset.rows_of

    def watched(self: Dataset, commit, columns=None, groups=None):
        read.append(commit.name)
        return rows_of(self, commit, columns, groups)

    monkeypatch.setattr(Dataset, "rows_of", watched)
    wanted = ["file:///photos/007.jpg", "file:///photos/100.jpg", "file:///photos/none of it.jpg"]
    places = places_of(dataset, wanted)
    assert set(places) == set(wanted[:2])
    assert len(read) == 2
    assert [record.uri for _, record in records_at(dataset, places.values())] == wanted[:2]


def test_distributions_count_every_mask_that_was_read(dataset: Dataset) -> None:
    spread = sampled(dataset, 20, 0).distributions
    assert spread.predicted_iou.counts.sum() == dataset.masks
    assert spread.area_share.counts.sum() == dataset.masks
    assert spread.masks.counts.sum() == dataset.labelled
    numbers = np.concatenate([table["num_masks"].drop_null().to_numpy() for table in dataset.tables()])
    assert spread.masks.counts[:4].tolist() == np.bincount(numbers, minlength=4).tolist()
    assert {bar.low: bar.number for bar in spread.masks.bins(40)}[0] == int((numbers == 0).sum())
    assert [bar.low for bar in spread.predicted_iou.bins(40)] == [pytest.approx(0.9)]
