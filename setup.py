"""Builds the CPU kernel, one shared library per instruction set, and the run-length library.

The C compiler comes with ziglang; everything else about the package is in pyproject.toml. The libraries are
plain C without Python's API; `sam_core.decoding.native` and `sam_core.masks.rle_library` load them. If a
library cannot be built, the installation continues without it, and plain torch and numpy give the same masks
in more time.

One wheel therefore works for every Python of a platform (infra/adr/0018). For another platform:
`_PYTHON_HOST_PLATFORM=linux-aarch64 python -m build --wheel`, or `macosx-11.0-arm64`.
"""

import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

# Both import only the standard library. A build in isolation does not look for modules here by itself.
sys.path.insert(0, str(Path(__file__).parent))
from sam_core.decoding.native import sources
from sam_core.masks import rle_library

SOURCES = [f"sam_core/decoding/native/{name}" for name in sources.UNITS]
COMPILER = [sys.executable, "-m", "ziglang", "cc"]
FLAGS = [*sources.FLAGS, f"-DSAM_SOURCES={sources.digest()}"]
# linux-x86_64, linux-aarch64, macosx-11.0-arm64, macosx-10.13-universal2, win-amd64
SYSTEM, *_, MACHINE = sysconfig.get_platform().lower().split("-")
MACHINE = platform.machine().lower() if MACHINE == "universal2" else MACHINE
TARGET_CPUS = sources.INSTRUCTION_SETS.get(MACHINE, {})
RLE_SOURCES = [f"sam_core/masks/{source.name}" for source in rle_library.SOURCES]
RLE_FLAGS = rle_library.build_flags(MACHINE)
# What zig links for, with libraries of its own, and how a wheel names that. glibc 2.17 is the oldest for
# which zig links, macOS 11 the first on Apple silicon. The libraries call only memcpy and memset.
TARGETS = {
    "linux": (f"{MACHINE}-linux-gnu.2.17", f"manylinux_2_17_{MACHINE}"),
    "macosx": (f"{MACHINE.replace('arm64', 'aarch64')}-macos.11.0", f"macosx_11_0_{MACHINE}"),
}
TARGET, WHEEL_PLATFORM = TARGETS.get(SYSTEM, (None, None))


class BuildKernel(build_ext):
    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + (".dll" if sys.platform == "win32" else ".so")

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [*COMPILER, *ext.extra_compile_args, "-o", str(target), *ext.sources]
        if TARGET is not None:
            command += ["-target", TARGET]
        if SYSTEM == "macosx":
            command += [f"-Wl,-install_name,@rpath/{target.name}"]  # its default is the path of this build
        if subprocess.run(command).returncode:  # noqa: S603 - fixed words
            raise CompileError(f"{target.name} was not built: is ziglang installed?")


class AnyPythonsWheel(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        # Elsewhere zig links for the system that it runs on, so setuptools must choose the tag.
        return ("py3", "none", WHEEL_PLATFORM) if WHEEL_PLATFORM else super().get_tag()


def _library(name: str, units: list[str], flags: list[str]) -> Extension:
    return Extension(name, units, extra_compile_args=flags, optional=True)


setup(
    ext_modules=[
        *(
            _library(f"sam_core.decoding.native.{name}", SOURCES, [*FLAGS, f"-mcpu={cpu}"])
            for name, cpu in TARGET_CPUS.items()
        ),
        *([_library("sam_core.masks.rle_kernel", RLE_SOURCES, RLE_FLAGS)] if RLE_FLAGS else []),
    ],
    cmdclass={"build_ext": BuildKernel, "bdist_wheel": AnyPythonsWheel},
)
