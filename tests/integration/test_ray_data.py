"""The same epoch through Ray Data: its order, a rank's share, and what is left of it."""

import subprocess
import sys
from pathlib import Path

from demo_dataset import write_demo

from pipeline.output.format.identity import Identity
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

SESSION = """
import sys
from pathlib import Path

import ray
import ray.data
import sam_label
from ray.train import DataConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False)
url, vectors_url, out = sys.argv[1:]
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

TRAINING = """
options = dict(shuffle=True, seed=3, window_rows=1)
in_order = ray.data.ExecutionOptions(preserve_order=True)
expected = [[s["uri"] for s in dataset.to_torch(rank=rank, ranks=2, **options)] for rank in (0, 1)]


def train(config):
    rank = ray.train.get_context().get_world_rank()
    by_ray = [row["uri"] for row in ray.train.get_dataset_shard(str(rank)).iter_rows()]
    loader = sam_label.Dataset.open(url).to_torch(**options).loader()  # finds its rank by itself
    by_torch = [batch[0]["uri"] for batch in loader]
    assert by_ray == by_torch == expected[rank], (rank, by_ray, by_torch)
    Path(out, f"rank-{rank}").touch()


TorchTrainer(
    train,
    scaling_config=ScalingConfig(num_workers=2),
    datasets={str(rank): dataset.to_ray(rank=rank, ranks=2, **options) for rank in (0, 1)},
    dataset_config=DataConfig(datasets_to_split=[], execution_options=in_order),
    run_config=RunConfig(storage_path=out),
).fit()
print(*sorted(path.name for path in Path(out).glob("rank-*")))
"""


def test_an_epoch_through_ray_and_the_shares_of_ray_train(tmp_path: Path, rehearsal) -> None:
    write_demo(str(tmp_path / "out"))
    (tmp_path / "train").mkdir()
    photos = rehearsal([f"{number:02d}" for number in range(9)])
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(mask_embeddings=True))
    photos.run(Store.at(str(tmp_path / "vectors")))
    program = SESSION + DATA + VECTORS + TRAINING
    places = (str(tmp_path / name) for name in ("out", "vectors", "train"))
    command = [sys.executable, "-c", program, *places]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().splitlines()[-1] == "rank-0 rank-1"
