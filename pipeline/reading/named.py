"""Finds an image as people name it: by its id, its uri or path, or enough of the uri's end."""

from collections.abc import Collection, Iterator, Sequence
from os import PathLike, fspath

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.output.format.manifest import image_id
from pipeline.reading.dataset import Dataset
from pipeline.reading.record import Record
from pipeline.store.uri import as_text, location, redacted
from pipeline.suggestion import suggestion

_SHOWN = 3  # of the images that a name fits
_COMPARED = 5000  # the most images whose names a misspelt one is compared with: a second at most


def record_named(dataset: Dataset, image: str | PathLike[str] | Record) -> Record:
    """The record of the image that `image` means.

    An id (also one from its list), a uri, a path or a Record names exactly that image. Anything else is the
    end of one image's uri: whole parts of it are tried first (`a.jpg`, `2026/a.jpg`), then parts cut in the
    middle (`7.jpg` for `img_0007.jpg`).
    Raises: UsageError if there is no such image, or several.
    """
    name = _name(image)
    for whole in (name, image_id(name), image_id(_uri_of_path(name))):
        if whole in dataset:
            return dataset[whole]
    if first := _first_of_duplicate(dataset, {name, _uri_of_path(name)}):
        return dataset[first]
    whole_parts, ends = _Fits(), _Fits()
    for table in _tables(dataset):
        whole_parts.add(table.filter(pc.ends_with(table["uri"], f"/{name}")))
        ends.add(table.filter(pc.ends_with(table["uri"], name)))
    fits = whole_parts if whole_parts.count else ends
    if fits.count == 1:
        return dataset[fits.ids[0]]
    if fits.count:
        listed = ", ".join(map(redacted, fits.first)) + (", ..." if fits.count > _SHOWN else "")
        raise UsageError(
            f"{fits.count:,} images of {dataset.url} end in {name!r}: {listed}; give more of the uri, or the "
            "image_id"
        )
    raise UsageError(f"{dataset.url} has no image {name!r}{_hint(dataset, name)}")


def _name(image: object) -> str:
    """The name as UTF-8 text; a path that is not UTF-8 is percent-encoded, as in its uri."""
    try:
        name = image.image_id if isinstance(image, Record) else fspath(image)  # type: ignore[call-overload]
        if isinstance(name, str):
            return as_text(name)
    except (TypeError, UnicodeEncodeError):  # no path; surrogates that stand for no byte
        pass
    raise UsageError(f"an image is named by its image_id, its uri, a path or a Record, not by {image!r:.100}")


def _first_of_duplicate(dataset: Dataset, uris: Collection[str]) -> str | None:
    """If one of the uris is a duplicate's: the id of the image that has the same bytes."""
    for duplicates in dataset.duplicates():
        is_named = pc.is_in(duplicates["uri"], value_set=pa.array(sorted(uris), pa.string()))
        for image in duplicates["image_id"].filter(is_named).to_pylist():
            return str(image)
    return None


class _Fits:
    """How many images fit a name, and the uris and ids of the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []
        self.ids: list[str] = []

    def add(self, images: pa.Table) -> None:
        self.count += len(images)
        some = images[: _SHOWN - len(self.first)]
        self.first += some["uri"].to_pylist()
        self.ids += some["image_id"].to_pylist()


def _tables(dataset: Dataset) -> Iterator[pa.Table]:
    return dataset.select(columns=[]).tables()


def _uris(dataset: Dataset) -> Iterator[pa.ChunkedArray]:
    return (table["uri"] for table in _tables(dataset))


def _uri_of_path(name: str) -> str:
    try:
        return str(location(name))
    except UsageError:  # no path or URL, but it may still be the end of one
        return name


def _hint(dataset: Dataset, name: str) -> str:
    """What may have been meant."""
    file = name.rpartition("/")[2]
    holding: list[str] = []
    for uris in _uris(dataset):
        holding += _file_names(uris.filter(pc.match_substring(uris, file, ignore_case=True)))
        if len(holding) >= _SHOWN:
            break
    if holding:
        return f"; did you mean {' or '.join(map(redacted, holding[:_SHOWN]))}?"
    near = ""
    if len(dataset) <= _COMPARED:  # the nearest of some names would be no better than any
        near = suggestion(file, (one for uris in _uris(dataset) for one in _file_names(uris)))
    rest = "" if dataset.is_complete else ", or it is not labelled yet"
    return near or f"; name it by its image_id, its uri, or the end of its uri{rest}"


def _file_names(uris: pa.ChunkedArray) -> Sequence[str]:
    return [uri.rpartition("/")[2] for uri in uris.to_pylist()]
