"""Training over a dataset: shared among ranks and workers, shuffled, stopped and resumed."""

import json
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rank_of_a_group
import torch
from demo_dataset import PHOTOS, write_demo
from forked import ends_well_when_forked
from torch import distributed
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
    """The uris of the images without an error."""
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


def test_ranks_of_a_group_share_an_epoch_also_if_their_workers_are_not_forked(
    tmp_path: Path, small: Dataset, labelled: list[str]
) -> None:
    program = [sys.executable, rank_of_a_group.__file__]
    ranks = [
        subprocess.Popen([*program, str(rank), "2", str(tmp_path / "met"), small.url], stdout=subprocess.PIPE)
        for rank in range(2)
    ]
    try:
        given = [json.loads(rank.communicate(timeout=240)[0]) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for first, second in zip(*given, strict=True):
        assert sorted(first + second) == sorted(labelled)
        assert abs(len(first) - len(second)) <= 1


@pytest.mark.parametrize("indexed", [False, True])
def test_a_dataset_sent_from_a_rank_keeps_it_where_there_is_no_group(
    tmp_path: Path, small: Dataset, labelled: list[str], indexed: bool
) -> None:
    def sent(images: Any) -> Any:
        return pickle.loads(pickle.dumps(images))  # noqa: S301  # our own

    images = in_torch(small, indexed)
    assert sent(images).feed.rank_and_ranks() == (0, 1)
    named = in_torch(small, indexed, rank=1, ranks=2)
    of_another = in_torch(small, indexed)
    object.__setattr__(of_another.feed, "of_sender", (1, 2))
    assert sorted(sent(of_another).loader(batch_size=None)) == sorted(sent(named).loader(batch_size=None))
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/met", rank=0, world_size=1)
    try:
        assert sent(named).feed.rank_and_ranks() == (1, 2)
        assert sorted(sent(of_another).loader(batch_size=None)) == sorted(labelled)
        assert vars(sent(images).feed)["of_sender"] == (0, 1)
    finally:
        distributed.destroy_process_group()


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
    changes: list[dict[str, Any]] = [
        {"version": 9},
        *(
            {"lanes": lanes}
            for lanes in ([], "x", [[[[0, 99]]]], [[[[-1, 3]]]], [[[[3, 1]]]], [[[[0.5, 3]]]])
        ),
        *({"lanes": lanes} for lanes in ([[[[0, 3], [2, 5]]]], [[[[0, 3]]], [[], []]])),
        *({"epoch": epoch} for epoch in (-1, 1.5, "1", None)),
    ]
    for nonsense in ({}, None, *({**state, **change} for change in changes)):
        with pytest.raises(UsageError, match="this is not the state of a loader"):
            loader.load_state_dict(nonsense)
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path / "growing"))
    photos.run(store, shards=5)
    before = Dataset.open(str(tmp_path / "growing"))
    state, pin = in_torch(before, True).loader().state_dict(), before.pin()
    photos.run(store)
    with pytest.raises(UsageError, match=r"open the dataset as it was with pinned"):
        in_torch(before.again(), True).loader().load_state_dict(state)
    in_torch(Dataset.open(before.url, pinned=pin), True).loader().load_state_dict(state)


@pytest.mark.parametrize("indexed", [False, True])
def test_after_a_pass_that_was_left_comes_the_next_epoch(small: Dataset, indexed: bool) -> None:
    def loader() -> Any:
        return in_torch(small, indexed).loader(batch_size=4)

    whole = loader()
    epochs = [list(whole) for _ in range(3)]
    left = loader()
    for epoch in range(3):
        assert next(iter(left)) == epochs[epoch][0]
        assert left.epoch == epoch
    state = left.state_dict()  # of the abandoned pass
    left.set_epoch(1)
    assert next(iter(left)) == epochs[1][0]
    left.load_state_dict(state)
    assert next(iter(left)) == epochs[2][1]
    other = loader()
    other.load_state_dict(state)
    assert list(other) == epochs[2][1:]


def test_a_pass_that_gave_nothing_is_begun_again(small: Dataset) -> None:
    loader = in_torch(small, False).loader(batch_size=4)
    first = next(iter(loader))
    loader.set_epoch(0)
    iter(loader)
    assert next(iter(loader)) == first


@pytest.mark.parametrize("indexed", [False, True])
def test_without_a_batch_size_a_loader_gives_samples(demo: str, indexed: bool) -> None:
    loader = Dataset.open(demo).to_torch(indexed=indexed).loader(batch_size=None)
    samples = list(loader)
    assert [sample["uri"] for sample in samples] == [record.uri for record in Dataset.open(demo)]
    next(iter(loader))
    other = Dataset.open(demo).to_torch(indexed=indexed).loader(batch_size=None)
    other.load_state_dict(loader.state_dict())
    assert [sample["uri"] for sample in other] == [sample["uri"] for sample in samples[1:]]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"persistent_workers": True, "num_workers": 1}, "persistent_workers would keep the shares"),
        ({"shuffle": True}, "shuffle cannot be given to the loader; the dataset decides the order"),
        ({"sampler": [0]}, "sampler cannot be given to the loader"),
        ({"batch_sampler": [[0]]}, "batch_sampler cannot be given to the loader"),
        ({"dataset": 1}, "dataset cannot be given to the loader"),
        ({"num_workers": "2"}, "num_workers is '2'; give a whole number, 0 or more"),
        ({"num_workers": -1}, "num_workers is -1"),
        ({"batch_size": 0}, "batch_size is 0; give a whole number, 1 or more"),
    ],
)
def test_what_a_loader_cannot_keep_is_refused(small: Dataset, options: dict[str, Any], sentence: str) -> None:
    for indexed in (False, True):
        with pytest.raises(UsageError, match=sentence):
            in_torch(small, indexed).loader(**options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rank": 2, "ranks": 2}, "there is no rank 2 among 2 ranks; ranks count from 0"),
        ({"rank": 1}, "rank and ranks go together"),
        ({"rank": "a", "ranks": 2}, "rank is 'a'; give a whole number, 0 or more"),
        ({"rank": 0, "ranks": 0}, "ranks is 0; give a whole number, 1 or more"),
        ({"seed": -1}, "seed is -1; give a whole number, 0 or more"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": None}, "seed is None"),
        ({"window_rows": 0}, "window_rows is 0; give a whole number, 1 or more"),
        ({"prefetch": "a"}, "prefetch is 'a'"),
        ({"sampling": {"max_masks": 1}}, "sampling is {'max_masks': 1}; give a MaskSampling"),
        ({"transform": 5}, "transform is 5; give a function"),
        ({"shuffle": 1}, "shuffle is 1; give True or False"),
        ({"images": "no"}, "images is 'no'; give True or False"),
        ({"equal_ranks": None}, "equal_ranks is None; give True or False"),
        ({"shufle": True}, r"to_torch has no option shufle; did you mean shuffle\?"),
        ({"zzz": True}, "to_torch has no option zzz; its options are indexed, transform, "),
        ({"batch_size": 4}, "to_torch has no option batch_size; give it to its loader"),
    ],
)
def test_options_that_cannot_be_are_refused(small: Dataset, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        small.to_torch(**options)


def test_options_may_be_numpys_and_none_where_all_is_meant(small: Dataset) -> None:
    state = small.to_torch(seed=3, shuffle=True).loader().state_dict()
    same = small.to_torch(
        seed=np.int64(3),  # type: ignore[arg-type]
        shuffle=np.True_,  # type: ignore[arg-type]
        window_rows=np.int32(4096),  # type: ignore[arg-type]
        sampling=None,
        transform=None,
    )
    loader = same.loader()
    loader.load_state_dict(state)
    loader.set_epoch(np.int64(2))  # type: ignore[arg-type]
    assert json.loads(json.dumps(loader.state_dict()))["epoch"] == 2
    assert "masks" in next(iter(same))


@pytest.mark.parametrize("epoch", [-1, "a", 1.5, None])
def test_an_epoch_is_a_whole_number(small: Dataset, epoch: Any) -> None:
    for taker in (in_torch(small, False), in_torch(small, True), in_torch(small, False).loader()):
        with pytest.raises(UsageError, match=r"epoch is .*; give a whole number, 0 or more"):
            taker.set_epoch(epoch)


def test_a_position_is_a_whole_number_of_an_image(small: Dataset) -> None:
    images = in_torch(small, True)
    assert images[np.int64(1)] == images.__getitems__([1])[0] == images[1]
    for wrong in ("a", 1.5, None, slice(2)):
        for asked in (lambda one: images[one], lambda one: images.__getitems__([one])):
            with pytest.raises(TypeError, match="the position of an image is "):
                asked(wrong)
    for outside in (99, -1):
        for asked in (lambda one: images[one], lambda one: images.__getitems__([one])):
            with pytest.raises(IndexError, match=rf"position {outside} is not among the \d+ images"):
                asked(outside)


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


def test_workers_begin_while_the_images_of_another_pass_are_being_fetched(demo: str) -> None:
    images = Dataset.open(demo).to_torch(images=True, transform=uri)
    first = next(iter(images))
    assert first in list(images.loader(batch_size=None, num_workers=2, timeout=60))


def test_a_forked_process_reads_by_position_while_a_thread_of_its_parent_does(small: Dataset) -> None:
    with small._rows._kept._lock:  # as a thread has it that reads
        assert ends_well_when_forked(lambda: small[0].uri == "file:///photos/00 é%.jpg")


def test_an_image_that_is_gone_ends_the_epoch_with_its_name(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "chelsea.jpg").write_bytes((PHOTOS / "chelsea.jpg").read_bytes())
    write_demo(str(tmp_path / "out"), photos)
    (photos / "chelsea.jpg").unlink()
    with pytest.raises(ImageError, match=r"chelsea.jpg cannot be loaded"):
        list(Dataset.open(str(tmp_path / "out")).to_torch(images=True))
