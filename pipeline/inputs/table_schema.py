"""What a table of Parquet or Arrow is to a run, by its schema: images, or a list that names them."""

import pyarrow as pa

from pipeline.containers.image_column import image_columns


def text_columns(schema: pa.Schema) -> list[str]:
    """The columns of text, which may name images."""
    return [field.name for field in schema if _is_text(field.type)]


def is_list(schema: pa.Schema, uri_column: str | None) -> bool:
    """Whether the table names images: `uri_column` is given, or the table holds no images itself."""
    return uri_column is not None or not image_columns(schema)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
