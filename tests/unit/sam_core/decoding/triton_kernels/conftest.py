"""Kernels are interpreted on the CPU here: Triton reads this before it is imported."""

import os

os.environ["TRITON_INTERPRET"] = "1"
