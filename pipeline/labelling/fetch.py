"""The fetching step of the chain: manifest rows in, rows with encoded bytes or the reason for none out.

Bytes stay encoded until a labeler decodes them: a photo has a twentieth of the bytes of its pixels, and Ray's
object store holds only what is on its way. Threads do the waiting.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

import pyarrow as pa
import ray

from pipeline.cluster.attempts import LedgerHandle, add_work
from pipeline.cluster.worker_log import Logged
from pipeline.errors import ImageError
from pipeline.images.fetch import FetchSettings, fetched, is_read_by_window
from pipeline.metrics.work import Stage, WorkClock
from pipeline.output.format.manifest import MANIFEST_SCHEMA
from pipeline.program_log import about_image

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
    with clock.timed(Stage.FETCH, len(rows)), logged(), ThreadPoolExecutor(THREADS) as threads:
        images_and_faults = list(threads.map(partial(_fetched_row, settings=settings), rows))
    add_work(ledger, clock.read())
    return pa.Table.from_pylist(images_and_faults, schema=FETCHED_SCHEMA)


def _fetched_row(row: dict[str, Any], settings: FetchSettings) -> dict[str, Any]:
    try:
        if is_read_by_window(row, settings):
            return row
        with about_image(row["image_id"], row["uri"]):
            got = fetched(row, settings)
    except ImageError as fault:
        return {**row, "error": fault.reason.value, "error_message": str(fault)}
    return {**row, "etag": got.etag, "data": got.data}
