"""Archives and tables with small images in them."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.errors import ImageError, Reason
from pipeline.images.fetch import FetchSettings, fetched, fetched_together
from pipeline.inputs.source import Source
from pipeline.store.objects import Got
from pipeline.store.settings import DEFAULT_ACCESS

SETTINGS = FetchSettings(None, DEFAULT_ACCESS, max_pixels=1_000_000)
HF_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(grey: int) -> bytes:
    body = io.BytesIO()
    Image.new("L", (4, 4), grey).save(body, "PNG")
    return body.getvalue()


def tar_into(path: Path, members: Iterable[tuple[str, bytes]], mode: str = "w", **kwargs: Any) -> Path:
    """A tar of files in the given order."""
    with tarfile.open(path, mode, **kwargs) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def table_into(path: Path, columns: Mapping[str, pa.Array], **kwargs: Any) -> Path:
    pq.write_table(pa.table(dict(columns)), path, **kwargs)
    return path


def hf_images(images: Iterable[bytes | None]) -> pa.Array:
    """A column of images as Hugging Face writes it."""
    rows = [{"bytes": data, "path": f"{number}.png"} for number, data in enumerate(images)]
    return pa.array(rows, HF_IMAGE)


def images_of(input_: Path | str) -> dict[str, bytes]:
    """The images of an input, listed and fetched one by one: bytes by part."""
    source = Source.at(str(input_))
    return {row.uri.partition("#")[2]: fetched(row._asdict(), SETTINGS).data for row in source.rows()}


def reason_of(row: dict[str, Any]) -> Reason:
    """Why an image cannot be fetched."""
    with pytest.raises(ImageError) as caught:
        fetched(row, SETTINGS)
    return caught.value.reason


def together(input_: Path | str) -> dict[str, Got | ImageError]:
    """As `images_of`, fetched as one block."""
    rows = list(Source.at(str(input_)).rows())
    results = fetched_together([row._asdict() for row in rows], SETTINGS, threads=4)
    return {row.uri.partition("#")[2]: result for row, result in zip(rows, results, strict=True)}
