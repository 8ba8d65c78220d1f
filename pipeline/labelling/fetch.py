"""The fetching step of the chain: adds to manifest rows the encoded bytes, or why there are none.

Bytes stay encoded until a labeler decodes them: a photo's file is a twentieth of the size of its pixels, and
Ray's object store holds only blocks in transit. Threads wait on the network.
"""

from contextlib import nullcontext
from functools import partial
from typing import Any

import pyarrow as pa
import ray

from pipeline.cluster.attempts import add_work
from pipeline.cluster.driver_node import REASONS_OF_A_NODE, DriverNode
from pipeline.cluster.worker_log import Logged
from pipeline.errors import ImageError
from pipeline.images.fetch import FetchSettings, fetched_together, is_read_by_window
from pipeline.metrics.work import Stage, WorkClock
from pipeline.output.format.manifest import MANIFEST_SCHEMA
from pipeline.store.objects import Got
from pipeline.store.uri import WEB, split_uri

FETCHED_SCHEMA = pa.schema(
    [
        *MANIFEST_SCHEMA,
        # null if there is an error, or if the labeler reads it by windows;
        # 32-bit offsets would end at 2 GiB a block
        pa.field("data", pa.large_binary()),
        pa.field("error", pa.string()),
        pa.field("error_message", pa.string()),
    ]
)
THREADS = 8


def fetched_block(
    images: pa.Table, settings: FetchSettings, driver_node: DriverNode, logged: Logged = nullcontext
) -> pa.Table:
    """The manifest rows with each image's bytes or error, as FETCHED_SCHEMA; none once the run stops."""
    ledger = driver_node.ledger
    rows = [] if ray.get(ledger.is_stopping.remote()) else images.to_pylist()
    clock = WorkClock()
    with clock.timed(Stage.FETCH, len(rows)), logged():
        results = _results_here_or_there(rows, settings, driver_node)
    add_work(ledger, clock.read())
    return pa.Table.from_pylist(list(map(_fetched_row, rows, results)), schema=FETCHED_SCHEMA)


def _results_here_or_there(
    rows: list[dict[str, Any]], settings: FetchSettings, driver_node: DriverNode
) -> list[Got | ImageError | None]:
    """As `_results`; if this node may not reach the store, as on the driver's node."""
    here = _results(rows, settings)
    if driver_node.is_this or not _is_nothing_reached(rows, here):
        return here
    there = driver_node.done(partial(_results, rows, settings))
    if not _is_nothing_reached(rows, there):
        driver_node.warn(str(here[0]))
    return there


def _is_nothing_reached(rows: list[dict[str, Any]], results: list[Got | ImageError | None]) -> bool:
    """Whether all images failed as they do on a node that does not reach their store.

    Web hosts are no such store: in a list of URLs many may be dead for all nodes.
    """
    return bool(rows) and all(
        isinstance(each, ImageError)
        and each.reason in REASONS_OF_A_NODE
        and split_uri(row["uri"])[0].scheme not in WEB
        for row, each in zip(rows, results, strict=True)
    )


def _results(rows: list[dict[str, Any]], settings: FetchSettings) -> list[Got | ImageError | None]:
    """Each image's bytes, why there are none, or None if the labeler reads it by windows."""
    results: list[Got | ImageError | None] = [None] * len(rows)
    whole = []
    for place, row in enumerate(rows):
        try:
            if not is_read_by_window(row, settings):
                whole.append(place)
        except ImageError as fault:
            results[place] = fault
    got = fetched_together([rows[place] for place in whole], settings, THREADS)
    for place, each in zip(whole, got, strict=True):
        results[place] = each
    return results


def _fetched_row(row: dict[str, Any], result: Got | ImageError | None) -> dict[str, Any]:
    if result is None:
        return row
    if isinstance(result, ImageError):
        return {**row, "error": result.reason.value, "error_message": str(result)}
    return {**row, "etag": result.etag, "data": result.data}
