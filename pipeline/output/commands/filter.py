"""Applies tighter thresholds to a whole dataset, without images and without the model.

The result is a new dataset with an identity of its own: the one that a run with these options gives. It is
written a shard at a time, and the same command, run again, does what is left. It refuses to go on if a
refresh or a retry has taken rows out of the input meanwhile, since the result would mix two inputs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from pipeline.config import FilterConfig
from pipeline.errors import UsageError
from pipeline.output.dataset import Dataset
from pipeline.output.format.duplicates import duplicates_of
from pipeline.output.format.manifest import rows_of
from pipeline.output.format.names import labelled
from pipeline.output.format.schema import file_metadata, mask_columns, rows_of_batch, table_of
from pipeline.output.row_masks import masks_of_row, refuse_damaged_masks
from pipeline.output.row_search import rows_left
from pipeline.output.shards import write_shards
from pipeline.output.writer import Listing, open_output
from pipeline.progress import Progress, silent, told
from pipeline.store.settings import access_options
from pipeline.store.storage import Store
from pipeline.store.uri import refuse_overlap
from sam_core.masks.refilter import check_refilter, refiltered_masks
from sam_core.options import MaskOptions

ROWS_AT_ONCE = 64  # the masks of a whole shard take much memory as Python values


@dataclass(frozen=True)
class Filtered:
    """The counts of the new dataset, and the number of masks in the old one."""

    images: int
    masks_before: int
    masks: int
    output: str


def filtered_dataset(config: FilterConfig, progress: Progress = silent) -> Filtered:
    """Writes the new dataset and returns its counts. Raises: UsageError, OutputLocked.

    UsageError: the options cannot be applied to masks that were made with the old ones.
    """
    before = Dataset.at(config.input)
    made_with = before.identity.mask_options
    options = made_with.model_copy(update=config.mask.model_dump(exclude_unset=True))
    try:
        check_refilter(made_with, options)
    except ValueError as reason:
        raise UsageError(f"{config.input} cannot be filtered like this: {reason}") from None
    store = Store.at(config.output)
    refuse_overlap(before.store.location, store.location)
    identity = replace(before.identity, mask_options=options)
    # Identifies the input's rows; it stays the same until a row is taken out.
    origin = f"{before.store.url} since {before.record.grown_since or 'its first run'}"
    listing = Listing(
        before.record.input,
        lambda: told(rows_of(before.manifest()), progress),
        lambda: duplicates_of(before.duplicates()),
        filtered_from=origin,
    )
    settings = access_options(before.record.settings)
    with open_output(store, identity, listing, overwrite=config.overwrite, settings=settings) as output:
        metadata = file_metadata(identity.described(), output.run)
        for number, table in rows_left(output.dataset, [before], progress):
            output.check()
            rows = list(_filtered_rows(before.store.url, table, made_with, options))
            write_shards(store, labelled(output.run, number), table_of(rows, identity.schema), metadata)
    after = output.dataset.again()
    return Filtered(after.rows, before.masks, after.masks, store.url)


def _filtered_rows(
    url: str, table: pa.Table, made_with: MaskOptions, options: MaskOptions
) -> Iterator[dict[str, Any]]:
    """The rows of a table of the dataset at `url`. Raises: DamagedFile."""
    for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
        for row in rows_of_batch(batch):
            if row["status"] == "ok":
                masks = masks_of_row(row)
                named = f"the row of {row['uri']} in {url}"
                refuse_damaged_masks(named, masks.counts, masks.height, masks.width)
                row |= mask_columns(refiltered_masks(masks, made_with, options))
            yield row
