"""The sdist and the wheel, built from this tree without network and installed where the project is not.

A `.pth` file makes the dependencies' folders visible in the empty environment. Python ignores `.pth` files in
such folders, so the project's own editable install is not visible.
"""

import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
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
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree: setuptools puts its own folders beside the sources."""
    copy = tmp_path_factory.mktemp("sources") / "sam-label"
    left_out = shutil.ignore_patterns(
        ".*", "build", "dist", "demo-output", "*.egg-info", "__pycache__", "tests"
    )
    shutil.copytree(ROOT, copy, symlinks=True, ignore=left_out)
    return copy


@pytest.fixture(scope="module")
def built(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, and a wheel that is made from the unpacked sdist, so that both are shown to be complete."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, sources]
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


def test_the_wheel_for_a_mac_is_signed_and_needs_only_the_system(sources: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, sources],
        env={**os.environ, "_PYTHON_HOST_PLATFORM": "macosx-11.0-arm64"},
        check=True,
        capture_output=True,
        timeout=250,
    )
    [file] = tmp_path.iterdir()
    assert file.name == f"sam_label-{__version__}-py3-none-macosx_11_0_arm64.whl"
    with zipfile.ZipFile(file) as wheel:
        libraries = {name: wheel.read(name) for name in wheel.namelist() if name.endswith(".so")}
    assert len(libraries) == 2
    for name, library in libraries.items():
        commands = dict(mach_o_commands(library))
        assert struct.unpack_from("<II", commands["build version"]) == (1, 11 << 16), "macOS, from 11.0"
        assert "signature" in commands, "a processor of Apple runs no library without one"
        assert dylib_name(commands["needs"]) == "/usr/lib/libSystem.B.dylib"
        assert dylib_name(commands["own name"]) == f"@rpath/{Path(name).name}"


def mach_o_commands(library: bytes) -> Iterator[tuple[str, bytes]]:
    """Some load commands of a Mach-O library for ARM, by what they say, without their headers."""
    kinds = {0x32: "build version", 0x1D: "signature", 0x0C: "needs", 0x0D: "own name"}
    magic, cpu, _, _, count, _, _, _ = struct.unpack_from("<8I", library)
    assert (magic, cpu) == (0xFEEDFACF, 0x0100000C)
    start = 32
    for _ in range(count):
        kind, size = struct.unpack_from("<II", library, start)
        if kind in kinds:
            yield kinds[kind], library[start + 8 : start + size]
        start += size


def dylib_name(command: bytes) -> str:
    (start,) = struct.unpack_from("<I", command)
    return command[start - 8 :].rstrip(b"\0").decode()


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
