"""The first step of the chain: parts of the manifest in, the rows of images still to be labelled out."""

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial

import pyarrow as pa

from pipeline.cluster.driver_node import DriverNode
from pipeline.cluster.worker_log import Logged
from pipeline.output.pending import PendingPart
from pipeline.store.storage import Store


def pending_images(
    parts: pa.Table, store: Store, driver_node: DriverNode, logged: Logged = nullcontext
) -> Iterator[pa.Table]:
    """The rows of manifest parts that are still to be labelled; each row of `parts` is a PendingPart."""
    with logged():
        for part in parts.to_pylist():
            yield from driver_node.done_here_or_there(partial(_tables, PendingPart(**part), store))


def _tables(part: PendingPart, store: Store) -> list[pa.Table]:
    return list(part.tables(store))
