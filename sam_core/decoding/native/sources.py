"""What the kernel is built from. setup.py compiles its digest into the library, and built.py checks it.

Imports only the standard library: the build has nothing else.
"""

from pathlib import Path

from sam_core import built_library

HERE = Path(__file__).parent
UNITS = ("attention.c", "tokens.c", "upscale.c", "mask.c")
# without the last flag the compiler splits 512-bit vectors
FLAGS = (
    "-std=c11",
    "-O3",
    "-shared",
    "-fPIC",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-mprefer-vector-width=512",
)
# library name -> target CPU of one machine architecture
INSTRUCTION_SETS = {
    "x86_64": {"kernel_avx512": "x86_64_v4", "kernel_avx2": "x86_64_v3"},
    "amd64": {"kernel_avx512": "x86_64_v4", "kernel_avx2": "x86_64_v3"},
    "aarch64": {"kernel_neon": "generic"},
    "arm64": {"kernel_neon": "generic"},
}


def digest() -> int:
    """A number of 31 bits that changes with any source or flag."""
    files = sorted([*HERE.glob("*.c"), *HERE.glob("*.h")])
    return built_library.digest(files, (FLAGS, INSTRUCTION_SETS))
