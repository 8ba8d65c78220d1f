"""What a labeler reports of its GPU's memory."""

import sys

import ray

from pipeline.metrics.published import Published, show_gpu


def show_gpu_memory(published: Published) -> None:
    """Publishes the used and the total memory of this process's GPU; nothing if it has none."""
    torch = sys.modules.get("torch")  # not imported here: a labeler on a GPU has imported it already
    if torch is None or not torch.cuda.is_initialized():
        return
    try:
        free_bytes, total_bytes = torch.cuda.mem_get_info()
    except RuntimeError:  # a broken GPU: the next image will fail and report it
        return
    gpus = ray.get_gpu_ids()
    show_gpu(published, str(gpus[0] if gpus else 0), total_bytes - free_bytes, total_bytes)
