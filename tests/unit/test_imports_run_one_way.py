"""Imports go one way, jobs -> pipeline -> sam_core; and only certain packages import certain libraries."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("sam_core", "pipeline", "jobs", "sam_label")
MAY_IMPORT = {
    "sam_core": {"sam_core"},
    "pipeline": {"sam_core", "pipeline"},
    "jobs": {"sam_core", "pipeline", "jobs"},
    # the API for programs: no other package imports it
    "sam_label": {"sam_core", "pipeline", "sam_label"},
}
HOMES = {
    "ray": {"pipeline"},
    "pyarrow": {"pipeline"},
    "fsspec": {"pipeline"},
    "s3fs": {"pipeline"},
    "torch": {"sam_core", "pipeline"},  # pipeline asks it for GPUs and threads; tensors stay in sam_core
    "typer": {"jobs"},
    "rich": {"jobs"},
}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_one_way(room: str) -> None:
    faults = []
    for source in sources(room):
        for line, name in imported_packages(ast.parse(source.read_text(encoding="utf-8"))):
            where = f"{source.relative_to(ROOT)}:{line}"
            if name in ROOMS and name not in MAY_IMPORT[room]:
                faults.append(f"{where}: {room} must not import {name}")
            if room not in HOMES.get(name, {room}):
                faults.append(f"{where}: {name} lives in {', '.join(HOMES[name])}")
    assert faults == []


def sources(room: str) -> list[Path]:
    found = sorted((ROOT / room).rglob("*.py"))
    assert found
    return found


def test_every_import_is_seen() -> None:
    source = "import ray.data\ndef f():\n  from torch.nn import functional\n  from . import here\n"
    assert list(imported_packages(ast.parse(source))) == [(1, "ray"), (3, "torch")]


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_is_over_300_lines(room: str) -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources(room)}
    assert {path: count for path, count in lines.items() if count > 300} == {}, "one file, one idea: split it"


def test_images_need_no_ray() -> None:
    files = (ROOT / "pipeline" / "images").glob("*.py")
    names = [f"pipeline.images.{path.stem}" for path in files if path.stem != "__init__"]
    check = f"import {', '.join(names)}, sys; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)


def imported_packages(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and top-level name of each absolute import, those inside functions included."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            yield node.lineno, node.module.split(".")[0]


def test_masks_need_no_torch() -> None:
    """Reading or filtering a dataset must not wait for torch."""
    room = ROOT / "sam_core" / "masks"
    modules = [f"sam_core.masks.{path.stem}" for path in sorted(room.glob("[!_]*.py"))]
    assert len(modules) > 5
    assert not imported_with(modules, "torch")


def test_a_run_imports_torch_and_the_stores_clients_only_in_processes_that_use_them() -> None:
    """Imports are nearly all of a run's start time, and each process imports for itself."""
    assert not imported_with(["pipeline.run"], "torch", "s3fs", "aiobotocore", "google.cloud", "azure")
    assert not imported_with(["pipeline.labelling.fetch", "pipeline.labelling.pending"], "torch", "ray.data")


def imported_with(modules: list[str], *names: str) -> set[str]:
    """The `names` that a new process has imported after it imported the modules."""
    script = f"import sys, {', '.join(modules)}; print(*({{*{names!r}}} & set(sys.modules)))"
    command = [sys.executable, "-c", script]
    return set(
        subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout.split()
    )
