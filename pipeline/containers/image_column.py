"""Which column of a table holds images: Hugging Face's struct of `bytes` and `path`, or plain bytes."""

from dataclasses import dataclass

import pyarrow as pa

from pipeline.errors import ImageError, Reason, UsageError
from pipeline.store.objects import Got

CHOOSE = "choose one with --image-column"


@dataclass(frozen=True)
class ImageColumn:
    """A column of images."""

    name: str
    is_struct: bool  # with the fields `bytes` and `path`

    @property
    def leaves(self) -> list[str]:
        """The leaf columns to read."""
        return [f"{self.name}.bytes", f"{self.name}.path"] if self.is_struct else [self.name]

    def values(self, column: pa.Array) -> tuple[pa.Array, pa.Array | None]:
        """The images' bytes, and their paths if there are any."""
        if not self.is_struct:
            return column, None
        fields = column.flatten()  # null where the struct is null
        return fields[column.type.get_field_index("bytes")], fields[column.type.get_field_index("path")]


class UnfitTable(UsageError):
    """A table in which it cannot be told which column holds images."""

    def __init__(self, says: str, advice: str = "") -> None:
        super().__init__(f"{says}; {advice}" if advice else says)
        self._says = says

    @property
    def of_a_row(self) -> ImageError:
        """The same for one row, which a list may name without a look at the table."""
        says = f"{self._says}; name a column of images, as in row=17&column=photo"
        return ImageError(Reason.SOURCE_MISSING, says)


class NoImageColumn(UnfitTable):
    """A table without a column of images."""


def column_of_images(schema: pa.Schema, uri: str, wanted: str | None) -> ImageColumn:
    """The column `wanted`, or the only one of images: structs come before plain bytes.

    Raises: NoImageColumn if there is none, UnfitTable if it cannot be told or is no column of images.
    """
    columns = image_columns(schema)
    if wanted is not None:
        return next((column for column in columns if column.name == wanted), None) or _refused(
            schema, uri, wanted
        )
    likely = [column for column in columns if column.is_struct] or columns
    names = ", ".join(column.name for column in likely or schema)
    if not likely:
        raise NoImageColumn(f"{uri} has no column of image bytes (its columns: {names})")
    if len(likely) > 1:
        raise UnfitTable(f"{uri} has more than one column of images ({names})", CHOOSE)
    return likely[0]


def image_columns(schema: pa.Schema) -> list[ImageColumn]:
    """The columns that hold images."""
    return [column for column in map(_as_image_column, schema) if column is not None]


def stated_column(schema: pa.Schema, uri: str, wanted: str | None) -> str | None:
    """The column to name in uris; None if it need not be chosen. Raises: as `column_of_images`."""
    column = column_of_images(schema, uri, wanted)
    try:
        return None if column == column_of_images(schema, uri, None) else wanted
    except UsageError:
        return wanted


def image_of(bytes_: pa.Array, paths: pa.Array | None, place: int, etag: str) -> Got | ImageError:
    """The image at a place of a column's values."""
    if bytes_[place].is_valid:
        return Got(bytes_[place].as_py(), etag)
    path = paths[place].as_py() if paths is not None else None
    return row_without_bytes(
        f"it holds only the path {path!r}, which sam-label does not follow" if path else "it is empty"
    )


def row_without_bytes(why: str = "it is empty") -> ImageError:
    """Why a row holds no image; `why` is about its column of images."""
    return ImageError(Reason.SOURCE_MISSING, f"the row has no bytes in its column of images: {why}")


def _refused(schema: pa.Schema, uri: str, wanted: str) -> ImageColumn:
    if wanted in schema.names:
        kind = schema.field(wanted).type
        raise UnfitTable(
            f"{uri} has no images in its column {wanted}, which is {kind}", "name a column of bytes"
        )
    names = ", ".join(schema.names)
    raise UnfitTable(f"{uri} has no column {wanted} (its columns: {names})", CHOOSE)


def _as_image_column(field: pa.Field) -> ImageColumn | None:
    if pa.types.is_struct(field.type):
        kinds = {child.name: child.type for child in field.type}
        if kinds.keys() == {"bytes", "path"} and _is_bytes(kinds["bytes"]):
            return ImageColumn(field.name, is_struct=True)
    return ImageColumn(field.name, is_struct=False) if _is_bytes(field.type) else None


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
