"""What the kernel is built from: setup.py bakes the digest of it in, built.py compares.

No imports but the standard library's, since the build has no others.
"""

import zlib
from pathlib import Path

HERE = Path(__file__).parent
UNITS = ("attention.c", "tokens.c", "upscale.c", "mask.c")
# without the last the compiler halves 512-bit vectors
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
    """A number of 31 bits that changes with any source or flag; library.py mirrors the structs of these."""
    found = zlib.crc32(repr((FLAGS, INSTRUCTION_SETS)).encode())
    for path in sorted([*HERE.glob("*.c"), *HERE.glob("*.h")]):
        found = zlib.crc32(path.read_bytes(), found)
    return found & 0x7FFFFFFF
