"""All findings about this machine and the places that are named, in the order in which a run meets them."""

from collections.abc import Callable, Iterator
from functools import partial

from pipeline.doctor import machine, places
from pipeline.doctor.finding import Finding, looked_at
from pipeline.store.settings import Access

MACHINE: dict[str, Callable[[], Finding]] = {
    "Python": machine.python,
    "torch": machine.torch,
    "C kernel": machine.kernel,
    "GPUs": machine.gpus,
    "Ray": machine.ray,
    "memory": machine.memory,
    "disk": machine.disk,
    "shared memory": machine.shared_memory,
    "open files": machine.open_files,
    "weights": machine.weights,
}


def findings(
    input_: str | None, output: str | None, address: str | None, anonymous: bool = False
) -> Iterator[Finding]:
    """One finding for each thing; those of the machine always, of a place if it is named."""
    for what, look in MACHINE.items():
        yield looked_at(what, look)
    if any(url and url.startswith("s3://") for url in (input_, output)):
        yield looked_at("S3 credentials", places.credentials)
    for scheme, variables in places.OTHER_CLOUDS.items():
        if any(url and url.startswith(f"{scheme}://") for url in (input_, output)):
            yield looked_at(f"{scheme}:// credentials", partial(places.cloud_credentials, scheme, variables))
    if input_:
        yield looked_at("input", lambda: places.readable_input(input_, Access(anonymous)))
    if output:
        yield looked_at("output", lambda: places.writable_output(output))
    if address:
        yield looked_at("cluster", lambda: places.reachable_cluster(address))
