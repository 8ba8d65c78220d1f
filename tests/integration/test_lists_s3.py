"""A list in one bucket that names images in another, from the plan to a reader."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labelled_photos import NAMES, labelled_listing
from object_stores import new_bucket

from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.export.export import exported
from pipeline.export_config import ExportConfig
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.source import Source
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset as Snapshot
from pipeline.plan import plan
from pipeline.reading.dataset import Dataset
from pipeline.reading.named import record_named
from pipeline.store.storage import Store


def as_parquet(uris: list[str]) -> bytes:
    body = io.BytesIO()
    pq.write_table(pa.table({"uri": uris, "key": range(len(uris))}), body, row_group_size=3)
    return body.getvalue()


def as_csv(uris: list[str]) -> bytes:
    rows = "".join(f'"{uri}",{number}\n' for number, uri in enumerate(uris))
    return gzip.compress(f"uri,key\n{rows}".encode())


@pytest.mark.parametrize(("name", "written"), [("l.parquet", as_parquet), ("l.csv.gz", as_csv)])
def test_a_list_leads_to_images_in_another_bucket(
    one_store: str, name: str, written: Callable[[list[str]], bytes]
) -> None:
    lists, photos, output = (
        Store.at(f"{one_store}/lists"),
        f"{new_bucket()}/of mine",
        f"{one_store}/masks",
    )
    uris = [f"{photos}/{one}" for one in NAMES]
    lists.publish(name, written([*uris, f"{photos}/missing.jpg"]))
    config = RunConfig(input=lists.uri(name), output=output, id_column="key")
    planned = plan(config)
    assert (planned.images, planned.unknown_sizes) == (len(NAMES) + 1, len(NAMES) + 1)
    labelled_listing(Source.of(config), photos, output)
    assert validate(output).problems == []
    snapshot = Snapshot.at(output)
    assert snapshot.is_complete
    assert snapshot.failed_by_reason == {"SOURCE_MISSING": 1}
    record = record_named(Dataset.open(output), "0")
    assert (record.uri, record.image.shape) == (uris[0], (32, 48, 3))
    assert record["etag"] == Store.at(photos).get(NAMES[0]).etag

    lists.publish(name, written(["../photos/a.jpg", "file:///etc/passwd"]))
    with pytest.raises(
        UsageError, match=r"(line 3|row 1) names no image .'file:///etc/passwd': it names a file on"
    ):
        list(Source.of(config).rows())


def test_nothing_links_to_images_in_a_bucket(object_store: str, tmp_path: Path) -> None:
    """A list on a disk may name images in a bucket."""
    photos = f"{object_store}/photos"
    (tmp_path / "list.txt").write_text("\n".join(f"{photos}/{name}" for name in NAMES))
    labelled_listing(Source.at(str(tmp_path / "list.txt")), photos, str(tmp_path / "masks"))
    config = ExportConfig(output=str(tmp_path / "masks"), dest=str(tmp_path / "out"), images="link")
    with pytest.raises(UsageError, match=f"{photos}/.* is not on a disk, and a link needs a file; give"):
        exported(config)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_symlink()]


def test_a_list_that_is_replaced_while_it_is_read_is_refused(object_store: str) -> None:
    store = Store.at(object_store)
    name = "a" * 900 + ".jpg"
    store.publish("l.txt", f"{name}\n".encode() * 13_000)  # more than one request
    rows = Source.at(f"{object_store}/l.txt", SourceOptions()).rows()
    assert next(rows).uri == f"{object_store}/{name}"
    store.publish("l.txt", f"b{name[1:]}\n".encode() * 13_000)
    with pytest.raises(UsageError, match="was changed while it was read"):
        list(rows)
