"""`sam-label run` in a folder of modules: wherever the command is started, it imports none of them.

test_command.py starts its run in such a folder, with a PYTHONPATH that names it.
"""

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image
from traps import AT_START, MODULES, plant

PHOTO = Path(__file__).parents[2] / "jobs" / "demo" / "photos" / "coffee.jpg"
SAM_LABEL = Path(sys.executable).with_name("sam-label")


def test_a_command_in_a_folder_of_modules_imports_none_of_them(tmp_path: Path) -> None:
    dataset, ran = tmp_path / "dataset", tmp_path / "ran"
    dataset.mkdir()
    with Image.open(PHOTO) as image:
        image.resize((240, 160)).save(dataset / "coffee.png")
    plant(dataset, [*MODULES, *AT_START], ran)
    planned = subprocess.run(
        [SAM_LABEL, "run", ".", "../masks", "--points-per-side", "3", "--workers", "1", "--dry-run"],
        cwd=dataset,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert planned.returncode == 0, planned.stderr
    assert not ran.exists(), ran.read_text()
