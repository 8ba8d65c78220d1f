"""The images in a container: which of its members are images, and the bytes of some."""

from collections.abc import Callable, Iterator, Mapping

from pipeline.containers.lance_table import LanceTable, lance_table
from pipeline.containers.parquet_table import DamagedTable, ParquetTable, parquet_table
from pipeline.containers.part import LANCE
from pipeline.containers.row_part import RowPart, row_part
from pipeline.containers.tar import IS_TAR, existing, is_compressed, members_bytes
from pipeline.errors import ImageError, Reason
from pipeline.images.image_format import HEADER_BYTES, image_format
from pipeline.images.names import says_image, says_other
from pipeline.store.objects import Got
from pipeline.store.range_file import refuse_changed
from pipeline.store.storage import Store

Parts = Iterator[tuple[str, Got | ImageError]]


def is_image(name: str, head: Callable[[int], bytes]) -> bool:
    """Whether a member is an image, by its name or, if that says nothing, by its first bytes."""
    if says_image(name) or says_other(name):
        return says_image(name)
    return image_format(head(HEADER_BYTES)) is not None


def is_read_in_one_pass(whole: str) -> bool:
    """Whether several images of a container cost little more than one, so that they are read together."""
    return not IS_TAR.search(whole) or is_compressed(whole)


def parts_bytes(store: Store, name: str, etags: Mapping[str, str], most: int) -> Parts:
    """The images of a container by part, each with its bytes and etag or why there are none.

    `etags` are those of the parts' rows, "" if a list only names the part. Raises: StoreError for the file.
    """
    if IS_TAR.search(name):
        yield from members_bytes(store, name, etags, is_image, most)
    else:
        yield from _rows(store, name, etags, most)


def _rows(store: Store, name: str, etags: Mapping[str, str], most: int) -> Parts:
    rows: dict[RowPart, str] = {}
    for part in etags:
        if row := row_part(part):
            rows[row] = part
        else:
            yield part, ImageError(Reason.SOURCE_MISSING, f"{part!r} is not a row; write row=17")
    try:
        for row, got in _table(store, name, set(etags.values())).images(list(rows)):
            if isinstance(got, Got) and len(got.data) > most:
                got = ImageError(Reason.TOO_LARGE, f"it has {len(got.data)} bytes, more than an image needs")
            yield rows[row], got
    except DamagedTable as fault:
        for part in rows.values():
            yield part, ImageError(Reason.CORRUPT, f"{store.uri(name)} cannot be read: {fault}")


def _table(store: Store, name: str, etags: set[str]) -> ParquetTable | LanceTable:
    if name.lower().endswith(LANCE):
        return lance_table(store, name, max(etags))  # all equal, but "" for rows only named
    file = existing(store, name)
    for etag in etags:
        refuse_changed(store.uri(name), etag, file.etag)
    return parquet_table(store, file)
