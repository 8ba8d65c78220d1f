"""The fetching step of the chain: adds to manifest rows the encoded bytes, or why there are none.

Bytes stay encoded until a labeler decodes them: a photo's file is a twentieth of the size of its pixels, and
Ray's object store holds only blocks in transit. Threads wait on the network.
"""

from contextlib import nullcontext
from typing import Any

import pyarrow as pa
import ray

from pipeline.cluster.attempts import LedgerHandle, add_work
from pipeline.cluster.worker_log import Logged
from pipeline.errors import ImageError
from pipeline.images.fetch import FetchSettings, fetched_together, is_read_by_window
from pipeline.metrics.work import Stage, WorkClock
from pipeline.output.format.manifest import MANIFEST_SCHEMA
from pipeline.store.objects import Got

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
    images: pa.Table, settings: FetchSettings, ledger: LedgerHandle, logged: Logged = nullcontext
) -> pa.Table:
    """The manifest rows with each image's bytes or error, as FETCHED_SCHEMA; none once the run stops."""
    rows = [] if ray.get(ledger.is_stopping.remote()) else images.to_pylist()
    clock = WorkClock()
    with clock.timed(Stage.FETCH, len(rows)), logged():
        results = _results(rows, settings)
    add_work(ledger, clock.read())
    return pa.Table.from_pylist(list(map(_fetched_row, rows, results)), schema=FETCHED_SCHEMA)


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
