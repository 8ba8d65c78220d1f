"""`sam-label run` in a folder of modules: wherever the command stands, it imports none of them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.output.dataset import Dataset

PHOTO = Path(__file__).parents[2] / "jobs" / "demo" / "photos" / "coffee.jpg"
SAM_LABEL = Path(sys.executable).with_name("sam-label")
LIBRARIES = [
    "numpy",
    "PIL",
    "torch",
    "ray",
    "pyarrow",
    "fsspec",
    "s3fs",
    "typer",
    "pydantic",
    "yaml",
    "pipeline",
    "sam_core",
    "sam_core/model",
]
STANDARD = ["json", "resource", "token", "inspect", "logging", "socket", "random", "queue", "struct"]
MODULES = [*LIBRARIES, *STANDARD]
# Which Python imports by PYTHONPATH before any line of ours can run.
AT_START = ["types", "sitecustomize", "usercustomize", "jobs", "jobs/cli"]


def trapped(folder: Path, modules: list[str]) -> Path:
    """A data set of one photo that holds modules, each of which leaves its name in `folder`/ran."""
    dataset = folder / "dataset"
    dataset.mkdir()
    with Image.open(PHOTO) as image:
        image.resize((240, 160)).save(dataset / "coffee.png")
    for name in modules:
        trap = f"with open({str(folder / 'ran')!r}, 'a') as ran: ran.write('{name}\\n')\n"
        (dataset / name).mkdir(parents=True)
        (dataset / name / "__init__.py").write_text(trap)
        (dataset / f"{name}.py").write_text(trap)
    return dataset


def labelled(
    source: str, output: Path, stand: Path, *flags: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [
            SAM_LABEL,
            "run",
            source,
            os.path.relpath(output, stand),
            "--points-per-side",
            "3",
            "--workers",
            "1",
            *flags,
        ],
        cwd=stand,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def rows(output: Path) -> list[dict[str, Any]]:
    return Dataset.at(str(output)).table().to_pylist()


def test_a_command_in_a_folder_of_modules_imports_none_of_them(tmp_path: Path) -> None:
    dataset = trapped(tmp_path, [*MODULES, *AT_START])
    planned = labelled(".", tmp_path / "masks", dataset, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


def test_no_process_of_a_run_imports_them_even_if_a_relative_path_names_their_folder(tmp_path: Path) -> None:
    dataset = trapped(tmp_path, MODULES)
    done = labelled(".", tmp_path / "masks", dataset, PYTHONPATH=f".:{tmp_path / 'other'}:")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
    assert done.stderr.startswith("sam-label: warning: PYTHONPATH has an empty or relative entry")
    (row,) = rows(tmp_path / "masks")
    assert row["status"] == "ok"
    assert row["num_masks"] > 0
