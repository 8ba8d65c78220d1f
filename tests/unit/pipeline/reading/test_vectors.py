"""Vectors in records and samples; and the error if there are none."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import UsageError
from pipeline.output.format.identity import Identity
from pipeline.reading.dataset import Dataset
from pipeline.reading.sampling import MaskSampling
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

NAMES = [f"{number:02d}" for number in range(20)]


@pytest.fixture
def photos(rehearsal) -> Any:
    photos = rehearsal(NAMES)
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(mask_embeddings=True))
    return photos


@pytest.fixture
def output(tmp_path: Path, photos) -> str:
    photos.run(Store.at(str(tmp_path / "out")))
    return str(tmp_path / "out")


def test_a_record_has_the_vectors_of_its_masks(output: str, photos) -> None:
    rows = {row["uri"]: row for row in photos.rows()}
    lengths = set()
    for record in Dataset.open(output):
        if not record.is_ok:
            with pytest.raises(UsageError, match="has no masks"):
                _ = record.image_embedding
            continue
        row = rows[record.uri]
        lengths.add(len(record))
        assert record.mask_embedding.dtype == record.image_embedding.dtype == np.float16
        assert record.mask_embedding.shape == (len(record), 256)
        assert record.mask_embedding.tolist() == row["mask_embedding"]
        assert record.image_embedding.tolist() == row["image_embedding"]
        assert (
            record.select(np.arange(len(record))[::-1]).mask_embedding.tolist() == row["mask_embedding"][::-1]
        )
        assert pickle.loads(pickle.dumps(record)).image_embedding.tolist() == row["image_embedding"]  # noqa: S301
        assert (
            record.image_masks.select(np.arange(len(record)) < 1).embedding.tolist()
            == (row["mask_embedding"][:1])
        )
        assert "embedding" not in str(record.image_masks.records("coco_rle"))
    assert lengths == {0, 1, 2, 3}


def test_columns_that_were_not_read_or_written_are_named(output: str, tmp_path: Path, rehearsal) -> None:
    record = next(record for record in Dataset.open(output, columns=["mask_counts"]) if record.is_ok)
    with pytest.raises(UsageError, match="mask_embedding was not read: name it"):
        _ = record.mask_embedding
    rehearsal(NAMES).run(Store.at(str(tmp_path / "plain")))
    plain = str(tmp_path / "plain")
    with pytest.raises(UsageError, match="with --mask-embeddings"):
        _ = next(record for record in Dataset.open(plain) if record.is_ok).image_embedding
    with pytest.raises(
        UsageError, match="no column 'mask_embedding'; sam-label run --mask-embeddings writes"
    ):
        Dataset.open(plain, columns=["mask_embedding"])
    only = Dataset.open(output, columns=["mask_embedding"], where=[("num_masks", ">", 2)])
    assert {record.mask_embedding.shape for record in only} == {(3, 256)}


@pytest.mark.parametrize("indexed", [False, True])
def test_samples_of_torch_have_them(output: str, indexed: bool) -> None:
    images = Dataset.open(output).to_torch(indexed=indexed, sampling=MaskSampling(max_masks=1))
    for sample in images if not indexed else (images[place] for place in range(len(images))):
        assert sample["mask_embedding"].dtype == torch.float16
        assert sample["mask_embedding"].shape == (len(sample["masks"]), 256)
        assert sample["image_embedding"].shape == (256,)
    plain = Dataset.open(
        output, columns=["mask_counts", "mask_bbox", "mask_predicted_iou", "mask_stability_score"]
    )
    assert not {"mask_embedding", "image_embedding"} & next(iter(plain.to_torch())).keys()
