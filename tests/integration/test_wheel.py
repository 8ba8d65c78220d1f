"""The sdist and the wheel, built from this tree without network and installed where the project is not.

A `.pth` file makes the dependencies' folders visible in the empty environment. Python ignores `.pth` files in
such folders, so the project's own editable install is not visible.
"""

import json
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from sam_core import __version__
from sam_core.decoding.native.sources import INSTRUCTION_SETS
from sam_core.weights.known import known_by_sha256

ROOT = Path(__file__).parents[2]
PACKAGES = ("sam_label", "sam_core", "pipeline", "jobs")
# Runs in the environment, from /: prints where the code lies, and which libraries fit its sources.
PROBE = """
import ctypes, json, sam_core
from pathlib import Path
from sam_core.decoding.native import built
from sam_core.masks import rle_library
from sam_core.weights.files import bundled_checkpoint, sha256_of
kernels = sorted(path.stem for path in Path(built.__file__).parent.glob("*.so"))
print(json.dumps({
    "package": sam_core.__file__,
    "kernels": [name for name in kernels if built.opened(name)],
    "run lengths": rle_library.library() is not None,
    "sha256": sha256_of([bundled_checkpoint()]),
}))
"""


@dataclass(frozen=True)
class Built:
    """The files of a release."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, and a wheel that is made from the unpacked sdist, so that both are shown to be complete.

    The sdist is made from a copy: setuptools puts its own folders beside the sources.
    """
    folder, copy = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("sources") / "sam-label"
    left_out = shutil.ignore_patterns(
        ".*", "build", "dist", "demo-output", "*.egg-info", "__pycache__", "tests"
    )
    shutil.copytree(ROOT, copy, symlinks=True, ignore=left_out)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, copy]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="module")
def environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment in which only the wheel is installed."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--no-deps"]
    subprocess.run(
        [*install, "--no-index", "--no-compile", "--quiet", "--disable-pip-version-check", built.wheel],
        check=True,
        timeout=100,
    )
    dependencies = [entry for entry in sys.path if Path(entry).name == "site-packages"]
    (packages / "dependencies.pth").write_text("\n".join(dependencies))
    return folder / "bin"


def said(environment: Path, *command: str) -> str:
    """stdout of a command of the environment, run from the root folder."""
    [program, *arguments] = command
    return subprocess.run(
        [environment / program, *arguments], cwd="/", check=True, text=True, capture_output=True, timeout=100
    ).stdout


def test_one_wheel_serves_every_python_of_the_platform(built: Built) -> None:
    assert re.fullmatch(
        rf"sam_label-{re.escape(__version__)}-py3-none-manylinux_2_17_(x86_64|aarch64)\.whl", built.wheel.name
    )


def test_the_libraries_need_no_python_and_no_newer_glibc(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        libraries = [wheel.read(name) for name in wheel.namelist() if name.endswith(".so")]
    assert len(libraries) >= 2
    for library in libraries:
        assert b"PyObject" not in library
        assert b"libpython" not in library
        needed = {tuple(map(int, found)) for found in re.findall(rb"GLIBC_(\d+)\.(\d+)", library)}
        assert needed
        assert max(needed) <= (2, 17)


def test_the_wheel_has_every_file_that_the_tree_has(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, check=True, text=True, capture_output=True
    ).stdout.split()
    assert names >= set(tracked)


def test_the_sdist_has_sources_and_nothing_built(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    expected = {"setup.py", "pyproject.toml", "constraints.txt", "LICENSE", "NOTICE", "README.md"}
    sources = {str(path.relative_to(ROOT)) for path in ROOT.glob("sam_core/**/*.[ch]")}
    assert sources
    assert names >= expected | sources
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_the_installed_kernels_and_weights_are_found(environment: Path) -> None:
    probed = json.loads(said(environment, "python", "-c", PROBE))
    assert Path(probed["package"]).is_relative_to(environment.parent)
    assert set(probed["kernels"]) == set(INSTRUCTION_SETS[platform.machine().lower()])
    assert probed["run lengths"]
    assert known_by_sha256(probed["sha256"])


def test_the_installed_command_works_from_the_root_folder(environment: Path) -> None:
    assert said(environment, "sam-label", "--version") == f"sam-label {__version__}\n"
    models = json.loads(said(environment, "sam-label", "models", "list", "--json"))
    [bundled] = [model for model in models if model["place"] == "bundled"]
    assert Path(bundled["path"]).is_relative_to(environment.parent)
