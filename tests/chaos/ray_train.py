"""Two ranks of Ray Train: each gets its share of an epoch, through Ray Data and through a loader of its own.

Usage: ray_train.py [--rounds N]. Prints JSON. A round takes a minute, so it is not part of `make test`.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

import ray
from demo_dataset import write_demo
from ray.train import DataConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

import sam_label

RANKS = 2


def round_of_training(folder: Path, seed: int) -> None:
    """Raises the error of a rank."""
    url, out = str(folder / "out"), folder / "train"
    write_demo(url)
    out.mkdir()
    options: dict[str, Any] = {"shuffle": True, "seed": seed, "window_rows": 1}
    dataset = sam_label.Dataset.open(url)
    shares = [
        [sample["uri"] for sample in dataset.to_torch(rank=rank, ranks=RANKS, **options)]
        for rank in range(RANKS)
    ]

    def train() -> None:
        rank = ray.train.get_context().get_world_rank()
        by_ray = [row["uri"] for row in ray.train.get_dataset_shard(str(rank)).iter_rows()]
        loader = sam_label.Dataset.open(url).to_torch(**options).loader()  # it finds its rank by itself
        by_torch = [batch[0]["uri"] for batch in loader]
        assert by_ray == by_torch == shares[rank], (rank, by_ray, by_torch)
        (out / f"rank-{rank}").touch()

    TorchTrainer(
        train,
        scaling_config=ScalingConfig(num_workers=RANKS),
        datasets={str(rank): dataset.to_ray(rank=rank, ranks=RANKS, **options) for rank in range(RANKS)},
        dataset_config=DataConfig(
            datasets_to_split=[], execution_options=ray.data.ExecutionOptions(preserve_order=True)
        ),
        run_config=RunConfig(storage_path=str(out)),
    ).fit()
    assert len(list(out.glob("rank-*"))) == RANKS


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=1)
    asked, faults, began = options.parse_args(), [], time.monotonic()
    ray.init(
        address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False
    )
    for seed in range(asked.rounds):
        with tempfile.TemporaryDirectory() as folder:
            try:
                round_of_training(Path(folder), seed)
            except Exception as fault:  # noqa: BLE001  # whatever Ray Train wraps a rank's fault in
                faults.append(f"seed {seed}: {fault}")
    ray.shutdown()
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"rounds": asked.rounds, "ranks": RANKS, "faults": faults, "seconds": seconds}))


if __name__ == "__main__":
    main()
