"""A dataset and its images in a store: read at random, in order, by workers of a DataLoader."""

from pathlib import Path

import numpy as np
from demo_dataset import PHOTOS, write_demo

from pipeline.reading.dataset import Dataset
from pipeline.store.storage import Store


def test_a_dataset_in_a_store_is_read_as_from_a_disk(object_store: str, tmp_path: Path) -> None:
    photos = Store.at(f"{object_store}/photos")
    for photo in sorted(PHOTOS.glob("*.jpg")):
        photos.publish(photo.name, photo.read_bytes())
    write_demo(f"{object_store}/masks", f"{object_store}/photos")
    write_demo(str(tmp_path))
    stored, local = Dataset.open(f"{object_store}/masks"), Dataset.open(str(tmp_path))
    assert len(stored) == len(local) == 6
    for record in stored:
        same = next(other for other in local if Path(other.uri).name == Path(record.uri).name)
        assert record.counts == same.counts
        assert np.array_equal(record.image, same.image)
        assert np.array_equal(stored[record.image_id].masks((20, 20)), same.masks((20, 20)))
    # the parent has used the store already: its client must not be the workers'
    loader = stored.to_torch(images=True, shuffle=True).loader(batch_size=2, num_workers=2, timeout=60)
    uris = [sample["uri"] for batch in loader for sample in batch]
    assert sorted(uris) == [record.uri for record in stored]
