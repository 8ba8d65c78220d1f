"""Nearest masks and images, against all pairs computed at once; and the errors for wrong questions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.cli import main
from pipeline.errors import UsageError
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.output.format.schema import VECTORS, rows_of_batch
from pipeline.reading.dataset import Dataset as Records
from pipeline.similarity.similar import Similar, similar
from pipeline.similarity.vectors import BLOCK, cosines, shard_vectors
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

NAMES = [f"{number:02d} é%.jpg" for number in range(30)]


@pytest.fixture
def output(tmp_path: Path, rehearsal) -> str:
    photos = rehearsal(NAMES)
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(mask_embeddings=True))
    photos.run(Store.at(str(tmp_path / "out")))
    return str(tmp_path / "out")


def rows_of(output: str) -> list[dict[str, Any]]:
    tables = Dataset.at(output).tables()
    return [row for table in tables for batch in table.to_batches() for row in rows_of_batch(batch)]


def expected(output: str, image_id: str, mask: int | None) -> list[tuple[str, int | None, float]]:
    """All others by falling cosine, ties in the dataset's order, computed in the slow and simple way."""
    every = []
    for row in rows_of(output):
        if mask is None and row["image_embedding"] is not None:
            every.append((row["image_id"], None, row["image_embedding"]))
        for index, vector in enumerate(
            row["mask_embedding"] if mask is not None and row["num_masks"] else ()
        ):
            every.append((row["image_id"], index, vector))
    query = next(vector.astype(float) for *place, vector in every if place == [image_id, mask])
    found = []
    for one, index, vector in every:
        vector = vector.astype(float)
        length = np.linalg.norm(vector) * np.linalg.norm(query)
        if (one, index) != (image_id, mask) and length:
            found.append((one, index, vector @ query / length))
    return sorted(found, key=lambda place: -place[2])


def test_the_nearest_masks_and_images_are_found(output: str) -> None:
    row = next(row for row in rows_of(output) if row["num_masks"])
    for mask in (0, row["num_masks"] - 1, None):
        found = similar(output, row["image_id"], mask, top=7)
        wanted = expected(output, row["image_id"], mask)
        assert (found.uri, found.mask, found.compared) == (row["uri"], mask, len(wanted))
        assert [(one.image_id, one.mask) for one in found.nearest] == [place[:2] for place in wanted[:7]]
        np.testing.assert_allclose(
            [one.similarity for one in found.nearest], [place[2] for place in wanted[:7]]
        )
    everything = similar(output, row["uri"], 0, top=10_000)
    assert len(everything.nearest) == everything.compared > 20


def test_ties_keep_the_order_of_the_dataset(tmp_path: Path, rehearsal, monkeypatch) -> None:
    photos = rehearsal(NAMES)
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(mask_embeddings=True))
    labelled = photos.row

    def alike(image: Any) -> dict[str, Any]:
        row = labelled(image)
        if row["status"] == "ok":
            row["mask_embedding"] = [[1.5] * 255 + [0.25]] * row["num_masks"]
        return row

    monkeypatch.setattr(photos, "row", alike)
    photos.run(Store.at(str(tmp_path)))
    row = next(row for row in rows_of(str(tmp_path)) if row["num_masks"])
    found = similar(str(tmp_path), row["image_id"], 0, top=5)
    places = [
        (one["image_id"], index) for one in rows_of(str(tmp_path)) for index in range(one["num_masks"] or 0)
    ]
    places.remove((row["image_id"], 0))
    assert [(one.image_id, one.mask) for one in found.nearest] == places[:5]
    assert {one.similarity for one in found.nearest} == {1.0}


def test_equal_vectors_have_equal_cosines_wherever_they_stand() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=256).astype(np.float16)
    vectors = rng.normal(size=(BLOCK + 9, 256)).astype(np.float16)
    places = [0, 7, 100, BLOCK - 1, BLOCK, BLOCK + 8]
    vectors[places] = one
    vectors[5] = 0
    found = cosines(vectors, one * np.float16(0.5))
    assert len(set(found[places])) == 1
    assert np.isnan(found[5])
    assert np.isnan(found).sum() == 1


def test_vectors_of_a_column_in_pieces_keep_their_places() -> None:
    vector = pa.list_(pa.float16(), 256)
    lists = [[[1.0] * 256, [2.0] * 256], None, [], [[3.0] * 256]]
    pieces = pa.chunked_array(
        [pa.array(lists[:3], pa.list_(vector))[1:], pa.array(lists[3:], pa.list_(vector))]
    )
    found = shard_vectors(pieces)
    assert (found.row_N.tolist(), found.mask_N.tolist()) == ([2], [0])
    assert found.vectors_NC.tolist() == [[3.0] * 256]
    images = pa.chunked_array([pa.array([None, [4.0] * 256, None, [5.0] * 256], vector)[1:]])
    assert shard_vectors(images).row_N.tolist() == [0, 2]
    assert shard_vectors(images).vectors_NC[:, 0].tolist() == [4, 5]


def test_what_cannot_be_asked_is_a_sentence(output: str, tmp_path: Path, rehearsal) -> None:
    rows = rows_of(output)
    failed = next(row for row in rows if row["status"] == "failed")["uri"]
    few = next(row for row in rows if row["num_masks"] == 1)["uri"]
    none = next(row for row in rows if row["num_masks"] == 0)["uri"]
    for image, mask, sentence in (
        (failed, None, "has no masks: labelling it failed"),
        (failed, 0, "has no masks: labelling it failed"),
        (few, 1, "has no mask 1; masks count from 0, and the last is 0"),
        (few, -1, "mask is -1; give a whole number, 0 or more"),
        (few, "0", "mask is '0'; give a whole number"),
        (few, 1.5, "mask is 1.5; give a whole number"),
        (None, None, "an image is named by its image_id, .* not by None"),
        (5, None, "not by 5"),
        ("\ud800.jpg", None, "an image is named by"),
        ("\udcff.jpg", None, "has no image"),
        (none, 0, "has no mask 0; it has none"),
        ("file:///photos/other.jpg", None, "has no image 'file:///photos/other.jpg'"),
        ("0" * 32, None, "has no image"),
        ("other.jpg", None, "has no image 'other.jpg'"),
    ):
        with pytest.raises(UsageError, match=sentence):
            similar(output, image, mask)
    for top in (0, "a", 2.5, None):
        with pytest.raises(UsageError, match=r"top is .*; give a whole number, 1 or more"):
            similar(output, few, top=top)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="progress is 5; give a function"):
        similar(output, few, progress=5)  # type: ignore[arg-type]
    rehearsal(NAMES).run(Store.at(str(tmp_path / "plain")))
    with pytest.raises(
        UsageError, match="plain has no vectors; sam-label run INPUT OUTPUT --mask-embeddings"
    ):
        similar(str(tmp_path / "plain"), few)
    with pytest.raises(UsageError, match="holds no dataset"):
        similar(str(tmp_path / "nothing"), few)


def test_a_path_or_a_name_means_its_image(output: str) -> None:
    uri = next(row for row in rows_of(output) if row["num_masks"])["uri"]
    assert similar(output, uri.removeprefix("file://")).uri == uri
    assert similar(output, uri.rpartition("/")[2]).uri == uri
    assert similar(output, Path(uri.removeprefix("file://")), np.int64(0)).uri == uri  # type: ignore[arg-type]
    record = next(record for record in Records.open(output) if record.uri == uri)
    assert similar(output, record, progress=None).uri == uri


def test_the_command_prints_the_nearest(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    uri = next(row for row in rows_of(output) if row["num_masks"])["uri"]
    found: Similar = similar(output, uri, 0, 3)
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as ended:
            main(["similar", output, "--image", uri, "--mask", "0", "--top", "3", *more])
        assert ended.value.code == 0
        said = capsys.readouterr()
        if more:
            nearest = json.loads(said.out)["nearest"]
            assert nearest == [vars(one) for one in found.nearest]
        else:
            *lines, last = said.out.splitlines()
            assert lines == [f"{one.similarity:.4f}  mask {one.mask:<4} {one.uri}" for one in found.nearest]
            assert last == f"of {found.compared:,} other masks"
            assert f"next: sam-label draw {output} {found.nearest[0].image_id}" in said.err


def test_every_vector_column_is_named() -> None:
    schema = Identity("vit_t", "0" * 64, MaskOptions(mask_embeddings=True)).schema
    assert [name for name in schema.names if name.endswith("embedding")] == list(VECTORS)
