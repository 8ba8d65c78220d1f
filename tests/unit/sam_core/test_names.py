"""The names that scripts written for the original import can be imported from here."""

import subprocess
import sys
from typing import Any

import pytest

import sam_core


def test_public_names() -> None:
    assert sam_core.__all__ == [
        "ResizeLongestSide",
        "SamAutomaticMaskGenerator",
        "SamPredictor",
        "__version__",
        "build_sam",
        "build_sam_vit_b",
        "build_sam_vit_h",
        "build_sam_vit_l",
        "build_sam_vit_t",
        "bundled_checkpoint",
        "sam_model_registry",
    ]
    assert all(getattr(sam_core, name) is not None for name in sam_core.__all__)
    with pytest.raises(AttributeError, match="build_sam_vit_x"):
        sam_core.build_sam_vit_x  # noqa: B018


def test_each_builder_is_that_of_its_model() -> None:
    for model_type in ("vit_h", "vit_l", "vit_b", "vit_t"):
        assert getattr(sam_core, f"build_sam_{model_type}") is sam_core.sam_model_registry[model_type]
    assert sam_core.build_sam is sam_core.build_sam_vit_h


def test_a_model_type_that_there_is_not_is_told() -> None:
    registry = sam_core.sam_model_registry
    with pytest.raises(KeyError, match="has no 'vit_x'; it has vit_h, vit_l, vit_b, vit_t, default"):
        registry["vit_x"]
    assert registry.get("vit_x") is None
    assert "vit_x" not in registry
    assert dict(registry) == registry


@pytest.mark.parametrize("path", [5, b"x", ["a"]])
def test_a_checkpoint_that_is_no_path_is_told(path: Any) -> None:
    with pytest.raises(TypeError, match="a checkpoint must be given as a path"):
        sam_core.build_sam_vit_t(path)


def test_the_version_does_not_wait_for_torch() -> None:
    code = "import sys, sam_core; sam_core.__version__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
