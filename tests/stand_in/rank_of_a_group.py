"""What a rank of a real process group reads: `python rank_of_a_group.py RANK RANKS RENDEZVOUS DATASET`.

Prints, as JSON, the URIs that a loader and a plain DataLoader yield. Their workers come from a fork server,
which belongs to no group.
"""

import json
import multiprocessing
import sys
from operator import attrgetter
from typing import Any

from torch import distributed
from torch.utils.data import DataLoader

from pipeline.reading.dataset import Dataset

NOT_FORKED: dict[str, Any] = {"multiprocessing_context": "forkserver", "batch_size": 3}


def main(rank: str, ranks: str, rendezvous: str, url: str) -> None:
    multiprocessing.set_forkserver_preload(["pipeline.reading.torch_data"])  # torch is imported once
    distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=int(ranks)
    )
    images = Dataset.open(url).to_torch(transform=attrgetter("uri"), shuffle=True, seed=5)
    loaders = (
        images.loader(num_workers=2, **NOT_FORKED),
        DataLoader(images, num_workers=2, collate_fn=list, **NOT_FORKED),
    )
    print(json.dumps([[uri for batch in loader for uri in batch] for loader in loaders]))
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
