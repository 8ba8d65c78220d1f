"""Builds the CPU kernel, a shared library for each instruction set, and the decoder of run lengths.

The C compiler is the one that ziglang carries; everything else about the package is in pyproject.toml. The
libraries are plain C without Python's API; `sam_core.decoding.native` and `sam_core.masks.rle_library` load
them. If one cannot be built, the installation continues without it, and plain torch and numpy give the same
masks in more time.
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
RLE_SOURCES = ["sam_core/masks/rle_kernel.c"]
RLE_FLAGS = runpy.run_path("sam_core/masks/rle_library.py")["build_flags"]()


class BuildKernel(build_ext):
    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + (".dll" if sys.platform == "win32" else ".so")

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [*COMPILER, *ext.extra_compile_args, "-o", str(target), *ext.sources]
        if subprocess.run(command).returncode:  # noqa: S603 - fixed words
            raise CompileError(f"{target.name} was not built: is ziglang installed?")


def _library(name: str, sources: list[str], flags: list[str]) -> Extension:
    return Extension(name, sources, depends=sources, extra_compile_args=flags, optional=True)


setup(
    ext_modules=[
        *(
            _library(f"sam_core.decoding.native.{name}", SOURCES, [*FLAGS, f"-mcpu={cpu}"])
            for name, cpu in TARGET_CPUS.items()
        ),
        *([_library("sam_core.masks.rle_kernel", RLE_SOURCES, RLE_FLAGS)] if RLE_FLAGS else []),
    ],
    cmdclass={"build_ext": BuildKernel},
)
