"""The names that scripts written for the original import from here."""

import subprocess
import sys

import sam_core


def test_public_names() -> None:
    assert sam_core.__all__ == [
        "SamAutomaticMaskGenerator",
        "SamPredictor",
        "__version__",
        "sam_model_registry",
    ]
    assert all(getattr(sam_core, name) is not None for name in sam_core.__all__)


def test_the_version_does_not_wait_for_torch() -> None:
    code = "import sys, sam_core; sam_core.__version__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
