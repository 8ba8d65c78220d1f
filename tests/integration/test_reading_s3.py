"""A dataset and its images in a store: read at random, in order, by workers of a DataLoader."""

import io
from pathlib import Path

import numpy as np
import pytest
from demo_dataset import PHOTOS, write_demo
from PIL import Image

from jobs.cli import main
from pipeline.output.format.identity import Identity
from pipeline.reading.dataset import Dataset
from pipeline.report.overlay import draw
from pipeline.similarity.similar import similar
from pipeline.store.storage import Store
from sam_core.options import MaskOptions


def test_a_picture_is_drawn_from_a_store_to_a_store(
    one_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = Store.at(f"{one_store}/photos")
    photos.publish("coins.jpg", (PHOTOS / "coins.jpg").read_bytes())
    write_demo(f"{one_store}/masks", f"{one_store}/photos")
    with pytest.raises(SystemExit) as ended:
        main(["draw", f"{one_store}/masks", "coins.jpg", "-o", f"{one_store}/pictures/"])
    assert (ended.value.code, capsys.readouterr().out) == (
        0,
        f"35 masks drawn\npicture: {one_store}/pictures/coins-masks.png\n",
    )
    picture = Image.open(io.BytesIO(Store.at(f"{one_store}/pictures").read("coins-masks.png")))
    (record,) = Dataset.open(f"{one_store}/masks")
    assert np.array_equal(np.asarray(picture), draw(record))
    with pytest.raises(SystemExit) as ended:
        main(["draw", f"{one_store}/masks", "coins.jpg", "-o", f"{one_store}/photos/"])
    assert ended.value.code == 2


def test_a_dataset_in_a_store_is_read_as_from_a_disk(one_store: str, tmp_path: Path) -> None:
    photos = Store.at(f"{one_store}/photos")
    for photo in sorted(PHOTOS.glob("*.jpg")):
        photos.publish(photo.name, photo.read_bytes())
    write_demo(f"{one_store}/masks", f"{one_store}/photos")
    write_demo(str(tmp_path))
    stored, local = Dataset.open(f"{one_store}/masks"), Dataset.open(str(tmp_path))
    assert len(stored) == len(local) == 6
    for record in stored:
        same = next(other for other in local if Path(other.uri).name == Path(record.uri).name)
        assert record.counts == same.counts
        assert np.array_equal(record.image, same.image)
        assert np.array_equal(stored[record.image_id].masks((20, 20)), same.masks((20, 20)))
    # the parent has used the store already: workers must not use its client
    loader = stored.to_torch(images=True, shuffle=True).loader(batch_size=2, num_workers=2, timeout=60)
    uris = [sample["uri"] for batch in loader for sample in batch]
    assert sorted(uris) == [record.uri for record in stored]


def test_what_is_similar_is_found_in_a_store_as_on_a_disk(one_store: str, tmp_path: Path, rehearsal) -> None:
    photos = rehearsal([f"{number:02d}" for number in range(9)])
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(mask_embeddings=True))
    photos.shard_rows = 5
    stored, local = f"{one_store}/masks", str(tmp_path)
    for output in (stored, local):
        photos.run(Store.at(output))
    image = next(record.image_id for record in Dataset.open(local) if len(record))
    assert similar(stored, image, 0) == similar(local, image, 0)
    assert similar(stored, image).nearest
