"""What a labeler says of the memory of its GPU."""

import sys

import ray

from pipeline.metrics.published import Published, show_gpu


def show_gpu_memory(published: Published) -> None:
    """Shows used and all memory of this process's GPU; nothing if it has none."""
    torch = sys.modules.get("torch")  # not imported for this: what labels on a GPU has imported it
    if torch is None or not torch.cuda.is_initialized():
        return
    try:
        free_bytes, total_bytes = torch.cuda.mem_get_info()
    except RuntimeError:  # a broken GPU: the next image meets it, and tells
        return
    gpus = ray.get_gpu_ids()
    show_gpu(published, str(gpus[0] if gpus else 0), total_bytes - free_bytes, total_bytes)
