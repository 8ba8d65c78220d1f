"""Training's way through a dataset: shared by ranks and workers, shuffled, stopped and gone on with."""

import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from demo_dataset import PHOTOS, write_demo
from torch.utils.data import DataLoader

from pipeline.errors import ImageError, UsageError
from pipeline.reading.dataset import Dataset
from pipeline.reading.sampling import MaskSampling
from pipeline.store.storage import Store

NAMES = [f"{number:02d}.jpg" for number in range(50)]
Make = Callable[..., Any]


def uri(record: Any) -> str:
    return str(record.uri)


@pytest.fixture
def labelled(small: Dataset) -> list[str]:
    """The images that were labelled."""
    return [record.uri for record in small if record.is_ok]


def in_torch(dataset: Dataset, indexed: bool, **options: Any) -> Any:
    return dataset.to_torch(
        indexed=indexed, transform=uri, **{"shuffle": True, "seed": 5, "window_rows": 7, **options}
    )


@pytest.mark.parametrize(("indexed", "workers", "ranks"), [(False, 0, 3), (False, 2, 3), (True, 2, 2)])
def test_ranks_and_workers_share_an_epoch_without_overlap_or_loss(
    small: Dataset, labelled: list[str], indexed: bool, workers: int, ranks: int
) -> None:
    epochs = []
    for epoch in range(2):
        given: list[str] = []
        for rank in range(ranks):
            images = in_torch(small, indexed, rank=rank, ranks=ranks)
            images.set_epoch(epoch)
            sampler = {"sampler": images.sampler()} if indexed else {}
            for batch in DataLoader(images, batch_size=4, num_workers=workers, collate_fn=list, **sampler):
                given += batch
        assert sorted(given) == sorted(labelled)
        epochs.append(given)
    assert epochs[0] != epochs[1]


def at_both_ends_and_half_way(batches: int) -> tuple[int, ...]:
    return (1, batches // 2, batches)


def half_way(batches: int) -> tuple[int, ...]:
    return (batches // 2,)


@pytest.mark.parametrize(
    ("indexed", "workers", "drop_last", "stops"),
    [
        (False, 0, False, at_both_ends_and_half_way),
        (True, 0, False, at_both_ends_and_half_way),
        (False, 2, False, at_both_ends_and_half_way),
        (True, 2, True, half_way),
        (False, 3, True, half_way),
    ],
)
def test_stopped_after_any_batch_it_goes_on_with_the_next_one(
    small: Dataset, indexed: bool, workers: int, drop_last: bool, stops: Callable[[int], tuple[int, ...]]
) -> None:
    def loader() -> Any:
        return in_torch(small, indexed).loader(batch_size=3, num_workers=workers, drop_last=drop_last)

    whole = loader()
    batches, expected, states = len(whole), [], [whole.state_dict()]
    for batch in whole:
        expected.append(batch)
        states.append(json.loads(json.dumps(whole.state_dict())))
    assert len(expected) == batches
    second_epoch = list(whole)
    assert second_epoch != expected
    for stop in stops(len(expected)):
        other = loader()
        other.load_state_dict(states[stop])
        assert len(other) == len(expected) - stop
        assert list(other) == expected[stop:]
    assert list(other) == second_epoch


def test_stopped_it_goes_on_with_other_ranks_workers_and_batches(small: Dataset, labelled: list[str]) -> None:
    given, states = [], []
    for rank in range(2):
        loader = in_torch(small, False, rank=rank, ranks=2).loader(batch_size=3, num_workers=2)
        for count, batch in enumerate(loader, 1):
            given += batch
            if count == 3:
                break
        states.append(loader.state_dict())
    assert states[0] == states[1]
    for rank in range(3):
        loader = in_torch(small, False, rank=rank, ranks=3).loader(batch_size=2)
        loader.load_state_dict(states[0])
        for batch in loader:
            given += batch
    assert sorted(given) == sorted(labelled)


def test_with_equal_ranks_all_have_as_many_batches(small: Dataset, labelled: list[str]) -> None:
    counts, given = set(), []
    for rank in range(3):
        loader = in_torch(small, False, rank=rank, ranks=3, equal_ranks=True).loader(
            batch_size=2, num_workers=2
        )
        batches = list(loader)
        counts.add(len(batches))
        given += [one for batch in batches for one in batch]
    assert len(counts) == 1
    assert len(set(given)) == len(given)
    assert len(labelled) - 5 <= len(given) <= len(labelled)


def test_a_state_of_other_rows_is_refused(tmp_path: Path, small: Dataset, rehearsal: Any) -> None:
    loader = in_torch(small, False).loader()
    state = loader.state_dict()
    for other in (
        in_torch(small, False, seed=6),
        in_torch(small.select(where=[("num_masks", ">", 1)]), False),
        in_torch(small, False, window_rows=8),
    ):
        with pytest.raises(UsageError, match="the state belongs to other rows or another order"):
            other.loader().load_state_dict(state)
    for nonsense in ({}, {**state, "version": 9}, {**state, "lanes": []}, {**state, "lanes": "x"}):
        with pytest.raises(UsageError, match="the state is none of this loader's"):
            loader.load_state_dict(nonsense)
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path / "growing"))
    photos.run(store, shards=5)
    before = Dataset.open(str(tmp_path / "growing"))
    state, pin = in_torch(before, True).loader().state_dict(), before.pin()
    photos.run(store)
    with pytest.raises(UsageError, match=r"open the dataset as it was with pinned"):
        in_torch(before.again(), True).loader().load_state_dict(state)
    in_torch(Dataset.open(before.url, pinned=pin), True).loader().load_state_dict(state)


def test_a_broken_off_pass_is_begun_anew_without_a_state(small: Dataset) -> None:
    loader = in_torch(small, False).loader(batch_size=4)
    first = next(iter(loader))
    assert next(iter(loader)) == first
    assert loader.epoch == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"persistent_workers": True, "num_workers": 1}, "persistent_workers would go on with the shares"),
        ({"shuffle": True}, "shuffle and batch_sampler are not the loader's"),
    ],
)
def test_what_a_loader_cannot_keep_is_refused(small: Dataset, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        small.to_torch().loader(**options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rank": 2, "ranks": 2}, "rank 2 of 2 ranks is none; ranks count from 0"),
        ({"rank": 1}, "rank and ranks go together"),
        ({"seed": -1}, "none of them may be negative"),
        ({"window_rows": 0}, "window_rows not 0"),
    ],
)
def test_options_that_cannot_be_are_refused(small: Dataset, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        small.to_torch(**options)


@pytest.mark.parametrize("indexed", [False, True])
def test_samples_are_tensors_of_masks_and_the_image(demo: str, indexed: bool) -> None:
    images = Dataset.open(demo).to_torch(
        indexed=indexed, images=True, sampling=MaskSampling(max_masks=3), shuffle=True
    )
    records = {record.uri: record for record in Dataset.open(demo)}
    samples = [sample for batch in images.loader(batch_size=2, num_workers=1) for sample in batch]
    assert {sample["uri"] for sample in samples} == records.keys()
    for sample in samples:
        record = records[sample["uri"]]
        assert sample["masks"].shape == (3, record.height, record.width)
        assert sample["masks"].dtype == torch.bool
        assert torch.equal(sample["image"].permute(1, 2, 0), torch.tensor(record.image))
        every = {mask.tobytes() for mask in record.masks()}
        assert all(mask.numpy().tobytes() in every for mask in sample["masks"])


def test_images_are_let_go_of_once_their_samples_are_made(demo: str) -> None:
    images = Dataset.open(demo).to_torch(images=True, transform=weakref.ref, prefetch=1)
    records = list(images)
    assert len(records) == 6
    # a thread may still hold the last one
    assert [record() for record in records[:4]] == [None] * 4


def test_an_image_that_is_gone_ends_the_epoch_with_its_name(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "chelsea.jpg").write_bytes((PHOTOS / "chelsea.jpg").read_bytes())
    write_demo(str(tmp_path / "out"), photos)
    (photos / "chelsea.jpg").unlink()
    with pytest.raises(ImageError, match=r"chelsea.jpg cannot be had"):
        list(Dataset.open(str(tmp_path / "out")).to_torch(images=True))
