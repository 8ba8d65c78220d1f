"""The text of a dataset's croissant.json: its files, columns and types in the Croissant format, version 1.1.

Columns that were added to the schema later are left out: old shards lack them, and the format cannot say that
a column may be missing.

Source: the format's specification, https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

import json
from typing import Any

import pyarrow as pa

from pipeline.output.dataset import Dataset
from pipeline.output.description import CITATION, LICENCE, MARKER, changed_on, name, summary, version
from pipeline.output.format.schema import ADDED_LATER
from pipeline.store.uri import redacted

# All terms of the format, also those that are not used here: readers warn of a context that lacks some.
_TERMS = """
    arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty fileSet
    format includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex
    repeated replace samplingRate separator source subField transform
"""
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    **{term: f"cr:{term}" for term in _TERMS.split()},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
_TYPES = {
    pa.string(): "sc:Text",
    pa.int8(): "cr:Int8",
    pa.int32(): "cr:Int32",
    pa.int64(): "cr:Int64",
    pa.float16(): "cr:Float16",
    pa.float32(): "cr:Float32",
}
_FILES = "shards"


def croissant_text(dataset: Dataset) -> str:
    """The whole file: JSON-LD."""
    description = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": name(dataset),
        "description": f"{summary(dataset)}. (This file is {MARKER}.)",
        "url": redacted(dataset.store.url),
        "license": LICENCE,
        "version": version(dataset),
        "datePublished": changed_on(dataset),
        "citeAs": CITATION,
        "distribution": [
            {
                "@type": "cr:FileSet",
                "@id": _FILES,
                "name": _FILES,
                "description": "one row per image",
                "encodingFormat": "application/x-parquet",
                "includes": "data/*.parquet",
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "description": "One record per image, its masks in lists of equal length; null if the image "
                "failed.",
                "field": [_field(column) for column in dataset.identity.schema if column not in ADDED_LATER],
            }
        ],
    }
    return json.dumps(description, indent=1) + "\n"


def _field(column: pa.Field) -> dict[str, Any]:
    kind, shape = column.type, []
    while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        shape.append(kind.list_size if pa.types.is_fixed_size_list(kind) else -1)
        kind = kind.value_type
    return {
        "@type": "cr:Field",
        "@id": f"images/{column.name}",
        "name": column.name,
        "dataType": _TYPES[kind],
        **({"isArray": True, "arrayShape": ",".join(map(str, shape))} if shape else {}),
        "source": {"fileSet": {"@id": _FILES}, "extract": {"column": column.name}},
    }
