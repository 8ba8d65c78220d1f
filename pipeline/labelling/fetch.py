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
    """As `_results`; if this node may not reach the store, images are asked for on the driver's node too."""
    results = _results(rows, settings)
    missed = _missed(rows, results)
    if not missed or driver_node.is_this:
        return results
    there = driver_node.done(partial(_results, [rows[place] for place in missed], settings))
    why = str(results[missed[0]])
    for place, each in zip(missed, there, strict=True):
        results[place] = each
    if len(_missed([rows[place] for place in missed], there)) < len(missed):
        driver_node.warn(why)
    return results


def _missed(rows: list[dict[str, Any]], results: list[Got | ImageError | None]) -> list[int]:
    """The places of images that failed as on a node without their store; none if any image was reached.

    Web hosts are no such stores: in a list of URLs many may be dead for all nodes.
    """
    of_stores = {
        place: each
        for place, (row, each) in enumerate(zip(rows, results, strict=True))
        if split_uri(row["uri"])[0].scheme not in WEB
    }
    if not all(isinstance(each, ImageError) for each in of_stores.values()):
        return []
    return [
        place
        for place, each in of_stores.items()
        if isinstance(each, ImageError) and each.reason in REASONS_OF_A_NODE
    ]


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
