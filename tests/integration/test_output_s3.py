"""The output protocol on real S3 servers: the same promises as on a disk."""

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice

import pytest
from labelled_photos import labelled_photos, photo
from strangers import live_names, lost, own_names, plant

from pipeline.config import FilterConfig
from pipeline.errors import OutputLocked, UsageError
from pipeline.inputs.source import Source
from pipeline.output.commands.filter import filtered_dataset
from pipeline.output.commands.gc import collect
from pipeline.output.commands.retry import retry
from pipeline.output.commands.status import status
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.output.lock import current_holder, held_lock
from pipeline.statistics.statistics import statistics
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

NAMES = [f"{number:02d} é%#.jpg" for number in range(8)]


def test_a_dataset_is_resumed_retried_and_refreshed(any_store: str, rehearsal) -> None:
    output = f"{any_store}/masks of mine"
    photos, store = rehearsal(NAMES), Store.at(output)
    photos.run(store, shards=1)
    assert status(output).left == 5
    photos.run(store)
    failed = status(output).failed
    assert retry(output) == failed > 0
    photos.etags |= {"file:///photos/00 é%#.jpg": "2", "file:///photos/new": "1"}
    photos.run(store, refresh=True)
    assert sorted(Dataset.at(output).table().to_pylist(), key=lambda row: row["uri"]) == photos.rows()
    assert validate(output).problems == []
    assert collect(output).files == 0
    listed = [entry.name for page in store.list("data") for entry in page]
    assert [store.uri(name) for name in listed] == Dataset.at(output).files()


def test_no_command_touches_a_stranger(one_store: str, rehearsal) -> None:
    photos, store = rehearsal(NAMES), Store.at(f"{one_store}/masks")
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(box_nms_thresh=1, crop_nms_thresh=1))
    photos.run(store, shards=1)
    plant(store)
    photos.run(store)
    assert retry(store.url) > 0
    photos.etags["file:///photos/new"] = "1"
    photos.run(store, refresh=True)
    filtered = f"{one_store}/filtered"
    options = MaskOptions(pred_iou_thresh=0.89)
    filtered_dataset(FilterConfig(input=store.url, output=filtered, mask=options))
    assert validate(filtered).problems == []
    photos.run(store, overwrite=True)
    store.create("data/r00001-000099.parquet", b"left by a killed run")
    assert collect(store.url).files == 1
    assert validate(store.url).problems == []
    assert lost(store) == []
    assert own_names(store) >= live_names(Dataset.in_store(store))


def test_status_tells_of_a_run_that_goes_on(one_store: str, rehearsal) -> None:
    photos, store = rehearsal(NAMES), Store.at(one_store)
    photos.run(store, shards=1)
    with held_lock(store):
        holder = status(one_store).holder
        assert holder is not None
        assert holder == current_holder(store)
        with pytest.raises(OutputLocked):
            collect(one_store)
    assert status(one_store).holder is None


def test_of_many_that_want_an_output_one_gets_it(any_store: str) -> None:
    store = Store.at(any_store)
    over = threading.Event()

    def racer() -> bool:
        try:
            with held_lock(store, beat_s=0.2):
                over.wait()
                return True
        except OutputLocked:
            return False

    with ThreadPoolExecutor(6) as racers:
        runs = [racers.submit(racer) for _ in range(6)]
        losers = list(islice(as_completed(runs), 5))
        over.set()
        assert [run.result() for run in losers] == [False] * 5
    assert [run.result() for run in runs].count(True) == 1


def test_a_bucket_that_is_not_there_is_told_before_any_work(object_store: str, rehearsal) -> None:
    with pytest.raises(UsageError, match=r"cannot .* s3://no-such-bucket-anywhere.* name a place"):
        rehearsal(NAMES).run(Store.at("s3://no-such-bucket-anywhere/out"))
    with pytest.raises(UsageError, match=r"cannot list s3://no-such-bucket-anywhere.* name one that exists"):
        Source.at("s3://no-such-bucket-anywhere/photos").require_images()


def test_statistics_know_the_same_content_twice_and_leave_a_card(one_store: str) -> None:
    photos, masks = f"{one_store}/photos", f"{one_store}/masks"
    Store.at(photos).publish("copy of a.jpg", photo(0, "a.jpg"))
    labelled_photos(photos, masks)
    found = statistics(masks, 1000, 0).as_json()
    assert found["duplicates"]["etag"] == {"images": 1, "of": 8, "counted_one_in": 1}
    assert (found["labelled"], found["pixels"]["images"]) == (8, 8)
    assert "| images | 9 |" in Store.at(masks).read("README.md").decode()
