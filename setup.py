"""Builds the CPU kernel, a shared library for each instruction set, with the C compiler that ziglang carries.

Everything else about the package is in pyproject.toml. The libraries are plain C without Python's API;
`sam_core.decoding.native` loads them. If one cannot be built, the installation continues without it, and
plain torch gives the same masks in more time.
"""

import platform
import runpy
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

NATIVE = runpy.run_path("sam_core/decoding/native/sources.py")
SOURCES = [f"sam_core/decoding/native/{name}" for name in NATIVE["UNITS"]]
COMPILER = [sys.executable, "-m", "ziglang", "cc"]
FLAGS = [*NATIVE["FLAGS"], f"-DSAM_SOURCES={NATIVE['digest']()}"]
TARGET_CPUS = NATIVE["INSTRUCTION_SETS"].get(platform.machine().lower(), {})


class BuildKernel(build_ext):
    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + (".dll" if sys.platform == "win32" else ".so")

    def build_extension(self, ext: Extension) -> None:
        cpu = TARGET_CPUS[ext.name.rpartition(".")[2]]
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [*COMPILER, *FLAGS, f"-mcpu={cpu}", "-o", str(target), *ext.sources]
        if subprocess.run(command).returncode:  # noqa: S603 - fixed words
            raise CompileError(f"{target.name} was not built: is ziglang installed?")


setup(
    ext_modules=[
        Extension(f"sam_core.decoding.native.{name}", SOURCES, depends=SOURCES, optional=True)
        for name in TARGET_CPUS
    ],
    cmdclass={"build_ext": BuildKernel},
)
