"""The names that the page gives to a dataset, or to two that it compares."""

from collections.abc import Sequence

from pipeline.output.dataset import Dataset
from pipeline.store.uri import redacted


def names_of(datasets: Sequence[Dataset]) -> list[str]:
    """The last part of each URL, with as many folders above it as are needed to tell two apart."""
    paths = [dataset.store.url.removeprefix("file://").split("/") for dataset in datasets]
    for parts in range(1, max(map(len, paths)) + 1):
        names = ["/".join(path[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            break
    else:  # the same dataset twice
        names = [path[-1] for path in paths]
    return [redacted(name) or "/" for name in names]
