"""One S3 request in ten is spoilt: the same rows, none wrongly failed. A finished run again does nothing."""

import json
import subprocess
import sys
from pathlib import Path

IMAGES = 20


def test_spoilt_requests_change_nothing() -> None:
    command = [sys.executable, Path(__file__).with_name("faulted_s3.py"), "--images", str(IMAGES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["faults"] == []
    assert sum(outcome["spoilt"].values()) > outcome["requests"] / 20, "otherwise nothing was tried"
    assert (outcome["again_labelled"], outcome["again_writes"]) == (0, 0)
