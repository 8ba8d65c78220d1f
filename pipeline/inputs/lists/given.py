"""Which inputs are lists, and where they come from: a file of any store, or standard input."""

import shutil
import sys
import tempfile
from typing import IO

from pipeline.containers.parquet_table import DamagedTable, parquet_table
from pipeline.errors import SamLabelError, UsageError
from pipeline.inputs.kinds import refuse_unknown_size
from pipeline.inputs.lists.formats import format_of_name
from pipeline.inputs.lists.image_list import ImageList
from pipeline.inputs.lists.places import ListPlace
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.table_schema import is_list
from pipeline.store.local_disk import local_disk
from pipeline.store.objects import Entry
from pipeline.store.storage import Store
from pipeline.store.uri import Location, location, redacted

STANDARD_INPUT = "-"
# What a dataset records as the input that it was listed from.
STANDARD_INPUT_PLACE = Location("file", "/dev/stdin")
_COLUMN_OPTIONS = ("input_format", "uri_column", "id_column", "keep_columns")


def list_of_file(
    store: Store, file: Entry, options: SourceOptions, output: Location | None
) -> ImageList | None:
    """The file as a list, if its name or the options say that it is one; else None.

    Raises: UsageError, StoreError.
    """
    format_ = options.input_format or format_of_name(file.name)
    if format_ is None or (options.input_format is None and _holds_images(store, file, options)):
        return None
    place = location(store.uri(file.name))
    if options.frames != "first":
        raise UsageError("--frames has no effect on images that a list names; leave it out")
    refuse_unknown_size(store, file)
    folder = Location(place.scheme, place.root.rpartition("/")[0])
    return ImageList(redacted(str(place)), store, file, format_, options, ListPlace(folder, output))


def list_of_standard_input(options: SourceOptions, output: Location | None) -> ImageList:
    """The list on standard input, which is read now; its relative paths start at the working directory.

    Raises: UsageError if that is a terminal.
    """
    copy = _copied()
    store, name = Store.of_uri(f"file://{copy.name}")
    file = store.info(name)
    if file is None:
        raise SamLabelError(f"the copy of standard input in {tempfile.gettempdir()} is gone; run again")
    format_ = options.input_format or "txt"
    place = ListPlace(location("."), output)
    return ImageList("standard input", store, file, format_, options, place, copy)


def _holds_images(store: Store, file: Entry, options: SourceOptions) -> bool:
    """Whether a file is a table of images, and no list."""
    if not file.name.lower().endswith(".parquet"):
        return False
    if options.image_column is not None:
        return True
    try:
        return not is_list(parquet_table(store, file).schema, options.uri_column)
    except DamagedTable:
        return False  # reading it as a list will report this


def refuse_list_options(options: SourceOptions, url: str) -> None:
    """Raises UsageError if an option of lists is given for an input that is no list."""
    for name in _COLUMN_OPTIONS:
        if getattr(options, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{flag} is only for a list of images, and {redacted(url)} is not one; leave it out"
            )


def _copied() -> IO[bytes]:
    """Standard input as a file on the local disk, which can be read twice; closing it removes it."""
    if sys.stdin.isatty():
        raise UsageError(
            "- reads a list of images from standard input, which is a terminal; pipe a list into it"
        )
    with local_disk("standard input cannot be kept"):
        copy = tempfile.NamedTemporaryFile(prefix="sam-label-")  # noqa: SIM115  # it outlives this call
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
    return copy
