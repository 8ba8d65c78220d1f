"""What a listed file holds, by its name: an image, or something with many images in it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.containers.image_column import NoImageColumn
from pipeline.containers.lance_table import lance_table
from pipeline.containers.parquet_table import DamagedTable, parquet_table
from pipeline.containers.part import LANCE, part_uri
from pipeline.containers.tar import IS_TAR, is_compressed, listed_tar
from pipeline.errors import UsageError
from pipeline.images.parts import is_image
from pipeline.inputs.frames import frame_rows
from pipeline.inputs.options import DEFAULT, SourceOptions
from pipeline.output.format.manifest import ManifestRow, image_id
from pipeline.store.objects import UNKNOWN_SIZE, Entry
from pipeline.store.storage import Store
from pipeline.store.uri import redacted

_log = logging.getLogger("sam_label.inputs")


@dataclass
class LeftOut:
    """What the containers of an input hold besides images, so far."""

    others: int = 0  # members that are no images, tables without images
    damages: int = 0  # places in archives and tables where images may be lost
    why: str = ""  # a sentence: why the first container without images gave none
    said: set[str] = field(default_factory=set)

    def warn(self, about: str, sentence: str) -> None:
        """Logs the warning once, however often the input is listed."""
        if about not in self.said:
            self.said.add(about)
            _log.warning("%s", redacted(sentence))


def is_container(name: str) -> bool:
    """Whether a file of this name holds images: an archive or a table."""
    return IS_TAR.search(name) is not None or name.lower().endswith(".parquet")


def is_table(name: str) -> bool:
    """Whether a file of this name may be a table of images; a Parquet file may also be a list."""
    return name.lower().endswith((".parquet", LANCE))


def refuse_unknown_size(store: Store, file: Entry) -> None:
    """Raises UsageError for a file that a web host serves without its length, and that is read in parts."""
    if file.size == UNKNOWN_SIZE:
        place = redacted(store.uri(file.name))
        raise UsageError(f"{place} is served without a length; download it and name the local file")


def lance_folder(store: Store, name: str) -> Entry | None:
    """The Lance dataset of this name, as one file whose etag is its newest version; None if there is none.

    Raises: UsageError if the package is not installed, StoreError.
    """
    if not name.lower().endswith(LANCE) or next(store.list(f"{name}/_versions"), None) is None:
        return None
    return Entry(name, UNKNOWN_SIZE, lance_table(store, name, "").etag)


def rows_of_file(
    store: Store, file: Entry, options: SourceOptions = DEFAULT, left_out: LeftOut | None = None
) -> Iterator[ManifestRow]:
    """The images of a file; what else it holds is counted in `left_out`.

    A damaged container gives what can be read, and a warning. Raises: StoreError, UsageError.
    """
    left_out = left_out or LeftOut()
    if is_container(file.name):
        refuse_unknown_size(store, file)
    if IS_TAR.search(file.name):
        yield from _members(store, file, left_out)
    elif is_container(file.name) or file.name.lower().endswith(LANCE):
        yield from _table_rows(store, file, options, left_out)
    else:
        yield from frame_rows(store, file, options.frames)


def _members(store: Store, file: Entry, left_out: LeftOut) -> Iterator[ManifestRow]:
    uri = store.uri(file.name)
    if is_compressed(file.name):
        left_out.warn(
            "compressed tars",
            f"{uri} is compressed: like all compressed archives it is unpacked from its start to list it, "
            "and again for each block of images (--images-per-block); a plain .tar is read only "
            "where its images are",
        )
    tar = listed_tar(store, file, is_image)
    left_out.others += tar.others
    if tar.damages:
        _damaged(left_out, uri, tar.damages)
    for name, place in tar.images.items():
        part = part_uri(uri, name)
        yield ManifestRow(image_id(part), part, place.size, place.etag(file.etag), place.offset)


def _table_rows(
    store: Store, file: Entry, options: SourceOptions, left_out: LeftOut
) -> Iterator[ManifestRow]:
    uri = store.uri(file.name)
    try:
        is_lance = file.name.lower().endswith(LANCE)
        table = lance_table(store, file.name, file.etag) if is_lance else parquet_table(store, file)
        rows = table.rows(options.image_column)
    except DamagedTable as fault:
        _damaged(left_out, uri, [str(fault)])
        return
    except NoImageColumn as fault:
        left_out.others += 1
        left_out.why = left_out.why or str(fault)
        return
    for row in rows:
        part = part_uri(uri, str(row))
        yield ManifestRow(image_id(part), part, UNKNOWN_SIZE, file.etag)


def _damaged(left_out: LeftOut, uri: str, damages: Sequence[str]) -> None:
    places = f" in {len(damages)} places, first" if len(damages) > 1 else ""
    sentence = f"{uri} is damaged{places}: {damages[0]}"
    left_out.damages += len(damages)
    left_out.why = left_out.why or sentence
    left_out.warn(sentence, f"{sentence}; the images that can be read are labelled")
