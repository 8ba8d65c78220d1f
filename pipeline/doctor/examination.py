"""All findings about this machine and the places that are named, in the order in which a run meets them."""

from collections.abc import Callable, Collection, Iterator
from functools import partial

from pipeline.config import RunConfig
from pipeline.doctor import machine
from pipeline.doctor.finding import Finding, looked_at, not_checked

MACHINE: dict[str, Callable[[], Finding]] = {
    "Python": machine.python,
    "packages": machine.packages,
    "torch": machine.torch,
    "C kernel": machine.kernel,
    "GPUs": machine.gpus,
    "Ray": machine.ray,
    "memory": machine.memory,
    "disk": machine.disk,
    "shared memory": machine.shared_memory,
    "open files": machine.open_files,
    "threads": machine.threads,
    "weights": machine.weights,
}


def findings(config: RunConfig, named: Collection[str]) -> Iterator[Finding]:
    """One finding for each check: always of the machine, and of INPUT and OUTPUT if they are in `named`."""
    for what, look in MACHINE.items():
        yield looked_at(what, look)
    if named or config.address is not None:
        yield from _of_places(config, named)


def _of_places(config: RunConfig, named: Collection[str]) -> Iterator[Finding]:
    try:
        from pipeline.doctor import places  # here: the machine is examined also where these lack a package
    except ImportError as missing:
        yield not_checked(" and ".join(named) or "cluster", missing)
        return
    urls = {"input": config.input, "output": config.output}
    access = {"input": config.access, "output": config.output_access}
    s3 = {
        access[name].place: name
        for name, url in urls.items()
        if name in named and url.startswith("s3://") and not access[name].anonymous
    }
    for place, name in s3.items():
        what = "S3 credentials" if len(s3) == 1 else f"S3 credentials of {name}"
        yield looked_at(what, partial(places.credentials, what, place))
    for scheme, variables in places.OTHER_CLOUDS.items():
        if any(urls[name].startswith(f"{scheme}://") for name in named):
            yield looked_at(f"{scheme}:// credentials", partial(places.cloud_credentials, scheme, variables))
    if "input" in named:
        yield looked_at("input", lambda: places.readable_input(config))
    if "output" in named:
        yield looked_at("output", lambda: places.writable_output(config))
    # auto is the cluster that this machine belongs to: there is no address to try
    if (address := config.address) not in (None, "auto"):
        yield looked_at("cluster", partial(places.reachable_cluster, address))
