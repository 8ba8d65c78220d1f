"""Builds the CPU kernel, one shared library an instruction set, with the C compiler that ziglang carries.

Everything else about the package stands in pyproject.toml. The libraries are plain C (no Python API), loaded
by `sam_core.native`; where one cannot be built the install goes on, and plain torch gives the same masks,
slower.
"""

import platform
import runpy
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

NATIVE = runpy.run_path("sam_core/native/sources.py")
SOURCES = [f"sam_core/native/{name}" for name in NATIVE["UNITS"]]
COMPILER = [sys.executable, "-m", "ziglang", "cc"]
# without the last the compiler halves 512-bit vectors
FLAGS = [
    "-std=c11",
    "-O3",
    "-shared",
    "-fPIC",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-mprefer-vector-width=512",
    f"-DSAM_SOURCES={NATIVE['digest']()}",
]
# library name -> target CPU of one machine architecture
INSTRUCTION_SETS = {
    "x86_64": {"kernel_avx512": "x86_64_v4", "kernel_avx2": "x86_64_v3"},
    "amd64": {"kernel_avx512": "x86_64_v4", "kernel_avx2": "x86_64_v3"},
    "aarch64": {"kernel_neon": "generic"},
    "arm64": {"kernel_neon": "generic"},
}


class BuildKernel(build_ext):
    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + (".dll" if sys.platform == "win32" else ".so")

    def build_extension(self, ext: Extension) -> None:
        cpu = INSTRUCTION_SETS[platform.machine().lower()][ext.name.rpartition(".")[2]]
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [*COMPILER, *FLAGS, f"-mcpu={cpu}", "-o", str(target), *ext.sources]
        if subprocess.run(command).returncode:  # noqa: S603 - fixed words
            raise CompileError(f"{target.name} was not built: is ziglang installed?")


setup(
    ext_modules=[
        Extension(f"sam_core.native.{name}", SOURCES, depends=SOURCES, optional=True)
        for name in INSTRUCTION_SETS.get(platform.machine().lower(), {})
    ],
    cmdclass={"build_ext": BuildKernel},
)
