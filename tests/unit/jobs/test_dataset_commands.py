"""`sam-label retry` and `gc` for programs: facts as one JSON object on stdout."""

import json
from pathlib import Path

import pytest
from commands import ran
from labelled_photos import labelled_photos


def test_retry_and_gc_print_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks = tmp_path / "masks"
    labelled_photos(str(tmp_path / "photos"), str(masks))
    (masks / "data/r00001-000090.parquet").write_bytes(b"left")
    code, out, err = ran(capsys, "gc", masks, "--json")
    assert (code, json.loads(out), err) == (0, {"files": 1, "bytes": 4}, "")
    code, out, err = ran(capsys, "retry", masks, "--json")
    assert (code, json.loads(out), err) == (0, {"queued": 1}, "")
