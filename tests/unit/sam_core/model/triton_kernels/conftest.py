"""Kernels of this folder run interpreted, on the CPU."""

import os

os.environ["TRITON_INTERPRET"] = "1"
