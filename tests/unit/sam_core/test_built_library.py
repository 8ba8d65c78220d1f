"""The C libraries refuse arguments of other types, which C would read wrongly."""

from ctypes import ArgumentError, byref

import numpy as np
import pytest

from sam_core.decoding.native import library
from sam_core.decoding.native.structs import FirstLayer, SecondLayer
from sam_core.masks import rle_library
from sam_core.masks.rle_library import Cells, Grid


def test_another_struct_is_refused() -> None:
    kernel, run_lengths = library.loaded(), rle_library.library()
    assert kernel is not None
    assert run_lengths is not None
    with pytest.raises(ArgumentError):
        kernel.sam_first_layer(byref(SecondLayer()), 0, 0)
    kernel.sam_first_layer(byref(FirstLayer()), 0, 0)
    with pytest.raises(ArgumentError):
        run_lengths.rle_covered(b"", None, 0, byref(Cells()), None)
    assert run_lengths.rle_covered(b"", None, 0, byref(Grid()), None) == -1


def test_an_array_in_place_of_its_address_is_refused() -> None:
    run_lengths = rle_library.library()
    assert run_lengths is not None
    with pytest.raises(ArgumentError):
        run_lengths.rle_unsound(b"", np.zeros(1, np.int64), 0, 0)
