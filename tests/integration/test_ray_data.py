"""The same epoch through Ray Data: order, a rank's share, the rest. Ray Train: chaos/ray_train.py.

The snippet of docs/reading.md that starts a Ray runs first; all other tests use this Ray.
"""

import subprocess
import sys
from pathlib import Path

from demo_dataset import write_demo
from doc_snippets import __file__ as snippets_program

from pipeline.output.format.identity import Identity
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

READING = Path(__file__).parents[2] / "docs" / "reading.md"

SESSION = """
import sys
from pathlib import Path

stand_in, page, url, vectors_url = sys.argv[1:]
sys.path.append(stand_in)
from doc_snippets import RAY, run_snippets

assert run_snippets(Path(page), holding=RAY) == 1

import ray
import ray.data
import sam_label
"""

DATA = """
dataset = sam_label.Dataset.open(url)
options = dict(shuffle=True, seed=3, window_rows=1, sampling=sam_label.MaskSampling(max_masks=2))
expected = {
    rank: [sample["uri"] for sample in dataset.to_torch(rank=rank, ranks=2, **options)] for rank in (0, 1)
}
rows = {rank: dataset.to_ray(rank=rank, ranks=2, **options).take_all() for rank in (0, 1)}
for rank in (0, 1):
    assert [row["uri"] for row in rows[rank]] == expected[rank], (rows[rank], expected[rank])
assert sorted(expected[0] + expected[1]) == [record.uri for record in dataset]
assert {len(row["mask_counts"]) for row in rows[0]} == {2}
left = dataset.to_ray(rank=0, ranks=2, done_rows=1, **options).take_all()
assert [row["uri"] for row in left] == expected[0][1:]
assert dataset.to_ray(rank=0, ranks=2, done_rows=3, **options).take_all() == []
second = dataset.to_ray(epoch=1, **options).take_all()
assert sorted(row["uri"] for row in second) == [record.uri for record in dataset]
(row,) = dataset.select(where=[("uri", "=", expected[0][0])]).to_ray(images=True).take_all()
assert row["image"].shape == (row["height"], row["width"], 3)
whole = ray.data.read_parquet(dataset.files(), columns=["uri", "num_masks"]).take_all()
assert sorted(row["uri"] for row in whole) == [record.uri for record in dataset]
"""

VECTORS = """
vectors = sam_label.Dataset.open(vectors_url)
described = {record.uri: record for record in vectors if record.is_ok}
rows = vectors.to_ray().take_all()
assert sorted(row["uri"] for row in rows) == sorted(described)
for row in rows:
    assert row["mask_embedding"].dtype == row["image_embedding"].dtype == "float16"
    assert (row["mask_embedding"] == described[row["uri"]].mask_embedding).all()
    assert (row["image_embedding"] == described[row["uri"]].image_embedding).all()
plain = ray.data.read_parquet(vectors.files(), columns=["uri", "mask_embedding"]).take_all()
for row in plain:
    if row["uri"] in described:
        assert [list(one) for one in row["mask_embedding"]] == described[row["uri"]].mask_embedding.tolist()
"""


def test_an_epoch_through_ray(tmp_path: Path, rehearsal) -> None:
    write_demo(str(tmp_path / "demo-output"))
    photos = rehearsal([f"{number:02d}" for number in range(9)])
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(mask_embeddings=True))
    photos.run(Store.at(str(tmp_path / "vectors")))
    places = (str(tmp_path / name) for name in ("demo-output", "vectors"))
    stand_in = str(Path(snippets_program).parent)
    command = [sys.executable, "-c", SESSION + DATA + VECTORS, stand_in, str(READING), *places]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
