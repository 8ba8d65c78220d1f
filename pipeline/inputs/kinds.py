"""What a listed file holds, by its name: an image, or something with many images in it."""

from collections.abc import Iterator

from pipeline.output.format.manifest import ManifestRow, manifest_row
from pipeline.store.objects import Entry
from pipeline.store.storage import Store


def rows_of_file(store: Store, file: Entry) -> Iterator[ManifestRow]:
    """The images of a file. Raises: StoreError, UsageError."""
    yield manifest_row(store.uri(file.name), file.size, file.etag)
