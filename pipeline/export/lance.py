"""A Lance dataset: one row for each image, with the image file in a column if images are copied.

Each part's data files are written separately; one commit at the end makes them a dataset. It needs the
package `pylance`, of the extra `lance`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from pipeline.containers.lance_table import imported_lance
from pipeline.export.destination import Destination
from pipeline.export.form import ExportedImage, Form, Part
from pipeline.export_config import ImagesAs
from pipeline.output.format.schema import VECTOR, mask_columns

_NEEDED_BY = "--format lance"


def lance_schema(dataset: pa.Schema) -> pa.Schema:
    """The columns: the image's, the masks' as in the dataset, and its vectors if it has them."""
    masks = [name for name in dataset.names if name == "num_masks" or name.startswith("mask_")]
    # of a fixed size, as Lance's vector search needs them
    vectors = [pa.field(name, VECTOR) for name in dataset.names if name == "image_embedding"]
    return pa.schema(
        [
            pa.field("image_id", pa.string()),
            pa.field("uri", pa.string()),
            pa.field("name", pa.string()),
            pa.field("split", pa.string()),  # null if there is no split
            pa.field("width", pa.int32()),
            pa.field("height", pa.int32()),
            pa.field("image", pa.large_binary()),  # the image file, upright; null if it is only referred to
            *map(dataset.field, masks),
            *vectors,
        ]
    )


@dataclass(frozen=True)
class Lance(Form):
    """One Lance dataset, with the split as a column."""

    destination: Destination
    schema: pa.Schema

    images_as: ClassVar[tuple[ImagesAs, ...]] = ("reference", "copy")
    takes_image_in: ClassVar[bool] = True

    def __post_init__(self) -> None:
        imported_lance(_NEEDED_BY)

    def write(self, part: Part, images: Iterable[list[ExportedImage]]) -> None:
        reader = pa.RecordBatchReader.from_batches(self.schema, _batches(images, self.schema))
        written = imported_lance(_NEEDED_BY).fragment.write_fragments(reader, self._uri, schema=self.schema)
        part.kept["fragments"] = [json.dumps(fragment.to_json()) for fragment in written]
        part.counts.files += len(written)

    def end(self, last: Part, kept: Mapping[int, Mapping[str, Any]]) -> None:
        lance = imported_lance(_NEEDED_BY)
        texts = [text for _, part in sorted(kept.items()) for text in part["fragments"]]
        fragments = [lance.FragmentMetadata.from_json(text) for text in texts]
        lance.LanceDataset.commit(self._uri, lance.LanceOperation.Overwrite(self.schema, fragments))

    @property
    def _uri(self) -> str:
        location = self.destination.store.location
        return location.path if location.scheme == "file" else str(location)


def _batches(images: Iterable[list[ExportedImage]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in images:
        rows = [
            {
                "image_id": image.record.image_id,
                "uri": image.record.uri,
                "name": image.record.name,
                "split": image.record.split or None,
                "width": image.record.masks.width,
                "height": image.record.masks.height,
                "image": image.data,
                **mask_columns(image.record.masks),
                "image_embedding": image.record.masks.image_embedding,
            }
            for image in batch
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=schema)
