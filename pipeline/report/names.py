"""What the page calls a dataset, or two beside each other."""

from collections.abc import Sequence

from pipeline.output.dataset import Dataset
from pipeline.store.uri import redacted


def names_of(datasets: Sequence[Dataset]) -> list[str]:
    """The last part of each place; with the folders above it, as far as it takes to tell two apart."""
    paths = [dataset.store.url.removeprefix("file://").split("/") for dataset in datasets]
    for parts in range(1, max(map(len, paths)) + 1):
        names = ["/".join(path[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            break
    else:  # the same dataset twice
        names = [path[-1] for path in paths]
    return [redacted(name) or "/" for name in names]
