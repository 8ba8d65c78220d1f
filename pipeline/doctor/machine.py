"""What this machine has for a run: Python, packages, the kernel, GPUs, memory, disks, limits and weights.

What needs Ray or torch is imported by the checks that use it, so that the others work without.
"""

import os
import platform
import resource
import shutil
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from pipeline.cluster.labeler_pool import THREADS_A_LABELER, cores
from pipeline.cluster.thread_limit import threads_left, threads_needed
from pipeline.doctor.finding import Finding, fault, ok, warning
from pipeline.errors import last_line
from pipeline.weights.models import cache_folder, known_models

LEAST_PYTHON = (3, 11)
# Those that sam-label requires; one that others import comes before them.
PACKAGES = (
    *("numpy", "pyarrow.parquet", "torch", "ray.data", "PIL.Image", "scipy", "safetensors.torch"),
    *("fsspec", "s3fs", "aiohttp", "botocore.session", "stamina", "pydantic", "typer", "rich", "jinja2"),
    *("markupsafe", "packaging", "yaml", "pycocotools.mask"),
)
LEAST_FREE_BYTES = 5 << 30  # on the disk of Ray's folder, for its logs and spilled objects
FULLEST_DISK = 0.95  # Ray refuses to spill to a disk that is fuller
LEAST_OPEN_FILES = 4096  # a local run opens some hundreds, the head of a cluster thousands
RAY_BYTES = 2 << 30  # memory of Ray and its object store, measured by tests/bench/bench_memory.py
LEAST_ADDRESS_SPACE = 6_000_000_000  # 4 GB are too little to load torch's libraries
LABELER_BYTES = 1 << 30  # memory of a labeler with the bundled model
# A socket of Ray below its temporary folder, and the longest path that the system allows for one.
SOCKET = "/ray/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store"
LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107
CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")


def python() -> Finding:
    says = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < LEAST_PYTHON:
        return fault("Python", says, "install Python 3.11 or newer, and sam-label in it")
    return ok("Python", says)


def packages() -> Finding:
    broken: dict[str, Exception] = {}
    for name in PACKAGES:
        try:
            import_module(name)
        except Exception as error:  # noqa: BLE001  # packages that do not fit each other raise any
            broken[name] = error
    if broken:
        first = next(iter(broken.values()))
        says = f"cannot be imported: {', '.join(broken)} ({type(first).__name__}: {last_line(str(first))})"
        return fault("packages", says, "install sam-label again, preferably into a new virtual environment")
    return ok("packages", "all can be imported")


def torch() -> Finding:
    import torch

    from pipeline.cluster.ray_internals import gpus_here

    build = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for CPUs"
    says = f"{torch.__version__}, built {build}"
    if torch.version.cuda is None and (gpus := gpus_here()):
        return warning(
            "torch",
            f"{says}, while this machine has {gpus} GPUs",
            "install torch's build for CUDA, which a plain `pip install torch` installs on Linux",
        )
    return ok("torch", says)


def gpus() -> Finding:
    import torch

    from pipeline.cluster.ray_internals import gpus_here

    if not torch.cuda.is_available():
        if count := gpus_here():
            return fault(
                "GPUs",
                f"torch cannot use the {count} GPUs of this machine",
                "install a driver that is as new as torch's CUDA, or label with --device cpu",
            )
        return ok("GPUs", "none; labelers run on the CPU")
    cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    named = ", ".join(f"{card.name} ({card.total_memory / 1e9:.0f} GB)" for card in cards)
    return ok("GPUs", f"{named}; one labeler each")


def kernel() -> Finding:
    from sam_core.decoding.native.built import opened
    from sam_core.decoding.native.library import names

    for name in names():
        if opened(name) is not None:
            return ok("C kernel", name)
    if names():
        return warning(
            "C kernel",
            "none could be loaded; masks take several times as long",
            "install sam-label again from its wheel, or with `pip install .` from its sources",
        )
    return warning(
        "C kernel", f"there is none for {platform.machine()} without AVX2", "label on a newer CPU or a GPU"
    )


def ray() -> Finding:
    from pipeline.cluster.ray_internals import TRIED_WITH, require_internals

    import_module("ray.data")  # or a package that it lacks would pass for one of Ray's names
    require_internals()
    if (installed := version("ray")) not in TRIED_WITH:
        return warning(
            "Ray",
            f"{installed}, which is not tested with sam-label",
            f"install ray[data]=={TRIED_WITH[-1]} if a run fails",
        )
    return ok("Ray", installed)


def memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = CGROUP_MEMORY.read_text().strip() if CGROUP_MEMORY.exists() else "max"
    usable = min(total, int(limit)) if limit.isdecimal() else total
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY and address_space < LEAST_ADDRESS_SPACE:
        return fault(
            "memory",
            f"a process may have {address_space / 1e9:.1f} GB of addresses",
            f"run `ulimit -v unlimited` first; torch and Ray need {LEAST_ADDRESS_SPACE / 1e9:.0f} GB",
        )
    labelers = max(1, cores() // THREADS_A_LABELER)
    needed = RAY_BYTES + labelers * LABELER_BYTES
    says = f"{usable / 1e9:.1f} GB for {cores()} cores"
    if usable < needed:
        fix = f"give it {needed / 1e9:.0f} GB, or run with fewer --workers than {labelers}"
        return warning("memory", f"{says}; {labelers} labelers and Ray need about {needed / 1e9:.0f} GB", fix)
    return ok("memory", says)


def disk() -> Finding:
    from pipeline.cluster.ray_internals import temporary_folder

    folder = temporary_folder()
    usage = shutil.disk_usage(folder)
    says = f"{usage.free / 1e9:.1f} GB free in {folder}"
    fix = "free some space, or name another folder in RAY_TMPDIR"
    if len(f"{folder}{SOCKET}") > LONGEST_SOCKET:
        return fault(
            "disk",
            f"the path {folder} is too long for Ray's sockets",
            "set RAY_TMPDIR to a folder with a shorter path",
        )
    if 1 - usage.free / usage.total > FULLEST_DISK:
        return fault("disk", f"{says}; the disk is too full for Ray to write to it", fix)
    if usage.free < LEAST_FREE_BYTES:
        return warning("disk", says, fix)
    return ok("disk", says)


def shared_memory() -> Finding:
    from pipeline.cluster.ray_internals import gpus_here
    from pipeline.cluster.start import OBJECT_STORE_BYTES, SHARED_MEMORY

    if not SHARED_MEMORY.is_dir():
        if sys.platform == "linux":
            return fault("shared memory", f"there is no {SHARED_MEMORY}", f"mount a tmpfs at {SHARED_MEMORY}")
        return ok("shared memory", f"no {SHARED_MEMORY} on this system")
    total = shutil.disk_usage(SHARED_MEMORY).total
    says = f"{total / 1e9:.1f} GB in {SHARED_MEMORY}"
    gpus = max(1, gpus_here())
    fix = f"start the container with --shm-size={gpus + 1}g, or mount an emptyDir of medium Memory there"
    if total < OBJECT_STORE_BYTES:
        return warning("shared memory", f"{says}; Ray's object store would be on a disk", fix)
    if total < gpus * OBJECT_STORE_BYTES:
        return warning("shared memory", f"{says}; {gpus} GPUs may wait for images", fix)
    return ok("shared memory", says)


def open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < LEAST_OPEN_FILES:
        if hard != unlimited and hard < LEAST_OPEN_FILES:
            fix = (
                f"raise the hard limit of open files to {LEAST_OPEN_FILES} (docker run --ulimit nofile=65536)"
            )
            return warning("open files", f"at most {soft}", fix)
        most = "65536" if hard == unlimited else str(min(hard, 65536))
        return warning("open files", f"at most {soft}", f"run `ulimit -n {most}` first")
    return ok("open files", "no limit" if soft == unlimited else f"at most {soft}")


def threads() -> Finding:
    from pipeline.cluster.start import local_cpus

    left, needed = threads_left(), threads_needed(local_cpus())
    if left is not None and left < needed:
        fix = "raise `ulimit -u` or the container's limit of processes"
        return warning("threads", f"{left} more may be started, and a local Ray needs about {needed}", fix)
    return ok("threads", "no limit" if left is None else f"{left} more may be started")


def weights() -> Finding:
    here = [model.checkpoint.model_type for model in known_models() if model.path is not None]
    return ok("weights", f"{', '.join(here)}; downloads go to {cache_folder()}")
