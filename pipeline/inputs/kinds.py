"""What a listed file holds, by its name: an image, or something with many images in it."""

from collections.abc import Iterator

from pipeline.inputs.frames import frame_rows
from pipeline.inputs.options import DEFAULT, SourceOptions
from pipeline.output.format.manifest import ManifestRow
from pipeline.store.objects import Entry
from pipeline.store.storage import Store


def rows_of_file(store: Store, file: Entry, options: SourceOptions = DEFAULT) -> Iterator[ManifestRow]:
    """The images of a file. Raises: StoreError, UsageError."""
    yield from frame_rows(store, file, options.frames)
