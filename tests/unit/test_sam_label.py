"""The API for programs: its names, and which packages they import."""

import subprocess
import sys

import pytest

import sam_core
import sam_label
from pipeline.reading.dataset import Dataset

NAMES = [
    "Dataset",
    "ImageError",
    "MaskOptions",
    "MaskSampling",
    "Record",
    "ResizeLongestSide",
    "RunConfig",
    "SamAutomaticMaskGenerator",
    "SamLabelError",
    "SamPredictor",
    "UsageError",
    "__version__",
    "build_sam",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "build_sam_vit_t",
    "bundled_checkpoint",
    "draw",
    "run",
    "sam_model_registry",
    "similar",
]


def test_the_names_are_these() -> None:
    assert sam_label.__all__ == NAMES
    assert dir(sam_label) == NAMES
    assert set(sam_core.__all__) <= set(NAMES), "a name of the original is missing"
    assert sam_label.Dataset is Dataset
    for name in NAMES:
        assert getattr(sam_label, name) is not None
    with pytest.raises(AttributeError, match="module 'sam_label' has no attribute 'Datset'"):
        _ = sam_label.Datset


def loaded_after(code: str) -> set[str]:
    """The heavy packages that are loaded after the statement."""
    program = f"import sys, sam_label\n{code}\nprint(*({{'ray', 'torch', 'pyarrow'}} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


def test_heavy_packages_are_loaded_by_what_needs_them(demo: str) -> None:
    assert loaded_after("") == set()
    assert loaded_after("sam_label.__version__, sam_label.RunConfig, sam_label.MaskOptions") == set()
    reading = f"[record.mask(0).any() for record in sam_label.Dataset.open({demo!r})]"
    assert loaded_after(reading) == {"pyarrow"}
    training = f"sam_label.Dataset.open({demo!r}).to_torch().loader()"
    assert loaded_after(f"{training}, sam_label.SamPredictor") == {"pyarrow", "torch"}
