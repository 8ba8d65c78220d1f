"""Tighter thresholds over a whole dataset, without images and without the model.

A shard at a time, into a dataset of its own with its own identity: what a run with those options gives. Run
again, it does what is left, unless rows that it has read no longer stand in the input: a refresh or a retry
has taken some out, and the two would be a mixture.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from pipeline.config import FilterConfig
from pipeline.errors import UsageError
from pipeline.output.dataset import Dataset, Ids, is_among, packed_ids
from pipeline.output.format.manifest import rows_of
from pipeline.output.format.names import labelled
from pipeline.output.format.schema import file_metadata, mask_columns, table_of
from pipeline.output.row_masks import masks_of_row
from pipeline.output.shards import write_shards
from pipeline.output.writer import open_output
from pipeline.store.storage import Store
from pipeline.store.uri import refuse_overlap
from sam_core.masks.refilter import check_refilter, refiltered_masks
from sam_core.options import MaskOptions

ROWS_AT_ONCE = 64  # as Python values the masks of a whole shard take much room


@dataclass(frozen=True)
class Filtered:
    """What stands in the new dataset, and how many masks the old one has."""

    images: int
    masks_before: int
    masks: int
    output: str


def filtered_dataset(config: FilterConfig) -> Filtered:
    """The new dataset, written. Raises: UsageError where the masks cannot tell, OutputLocked."""
    before = Dataset.at(config.input)
    made_with = before.identity.mask_options
    options = made_with.model_copy(update=config.mask.model_dump(exclude_unset=True))
    try:
        check_refilter(made_with, options)
    except ValueError as reason:
        raise UsageError(f"{config.input} cannot be filtered so: {reason}") from None
    store = Store.at(config.output)
    refuse_overlap(before.store.location, store.location)
    identity = replace(before.identity, mask_options=options)
    # names the input's rows: the same as long as none has been taken out
    origin = f"{before.store.url} since {before.record.grown_since or 'its first run'}"
    with open_output(
        store,
        identity,
        before.record.input,
        lambda: rows_of(before.manifest()),
        overwrite=config.overwrite,
        filtered_from=origin,
    ) as output:
        left = output.dataset.pending_ids()
        metadata = file_metadata(identity.described(), output.run)
        for number, table in enumerate(before.tables()):
            output.check()
            rows = list(_filtered_rows(_among(table, left), made_with, options))
            write_shards(store, labelled(output.run, number), table_of(rows), metadata)
    after = output.dataset.again()
    return Filtered(after.rows, before.masks, after.masks, store.url)


def _among(table: pa.Table, ids: Ids) -> pa.Table:
    return table.filter(pa.array(is_among(packed_ids(table["image_id"]), ids)))


def _filtered_rows(table: pa.Table, made_with: MaskOptions, options: MaskOptions) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
        for row in batch.to_pylist():
            if row["status"] == "ok":
                row |= mask_columns(refiltered_masks(masks_of_row(row), made_with, options))
            yield row
