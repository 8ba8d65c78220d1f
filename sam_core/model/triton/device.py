"""Whether kernels run on a GPU or, for tests, interpreted on the CPU."""

import os

INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") == "1"
