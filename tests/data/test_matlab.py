"""MATLAB files: their plain numbers are read as SciPy reads them, and no changed byte ends the process."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from striate.core.errors import DataError
from striate.data.matlab import arrays_of_matlab
from striate.data.published import read_svhn


def mat(content: dict[str, Any], *, packed: bool = False) -> bytes:
    file = io.BytesIO()
    savemat(file, content, do_compression=packed)
    return file.getvalue()


DIGITS = {"X": np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4), dtype=np.uint8), "y": np.array([[10], [1], [9], [3]], np.uint8)}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "u8", "i8"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 3, 5), (0, 4)])
def test_plain_numbers_are_those_that_scipy_reads(shape: tuple[int, ...], dtype: str, packed: bool):
    values = (np.arange(np.prod(shape)) % 7).astype(dtype).reshape(shape)
    data = mat({"a": values, "text": "words", "cells": np.array([1, "x"], object), "b": values + 1}, packed=packed)
    read = arrays_of_matlab(data, ("a", "b"), 10**6)
    for name in ("a", "b"):
        np.testing.assert_array_equal(read[name], loadmat(io.BytesIO(data))[name])
        assert read[name].shape == shape


def test_what_is_not_asked_for_or_not_numbers_is_passed_over():
    data = mat({"a": 1 + 2j, "s": {"field": 1}, "t": "text", "l": np.array([True]), "x": np.zeros((2, 3), np.uint8)})
    assert list(arrays_of_matlab(data, ("s", "t", "x"), 100)) == ["x"]
    with pytest.raises(ValueError, match="a holds something other than plain numbers"):
        arrays_of_matlab(data, ("a",), 100)


def test_an_array_that_inflates_to_more_than_the_limit_is_refused_with_little_memory():
    data = mat({"X": np.zeros((32, 32, 3, 4_000), np.uint8)}, packed=True)  # 12 MB in 12 KB
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than 1,000,000 bytes"):
        arrays_of_matlab(data, ("X",), 10**6)
    assert tracemalloc.get_traced_memory()[1] < 4 * 10**6
    tracemalloc.stop()


@pytest.mark.parametrize("packed", [False, True])
def test_a_changed_byte_gives_arrays_or_is_refused(packed: bool):
    """Each of the first 250 bytes in turn, with two other values; SciPy's reader ended the process at byte 144."""
    data = mat({"X": DIGITS["X"][:, :, :, :1], "y": DIGITS["y"][:1]}, packed=packed)
    outcomes: dict[str, int] = {"read": 0, "refused": 0}
    for place in range(250):
        for change in (5, 0xFF):
            changed = bytearray(data)
            changed[place] ^= change
            try:
                arrays_of_matlab(bytes(changed), ("X", "y"), 10**6)
            except ValueError:
                outcomes["refused"] += 1
            else:
                outcomes["read"] += 1
    assert outcomes["read"] + outcomes["refused"] == 500 and outcomes["refused"] > 50


def test_a_damaged_file_is_named(tmp_path: Path):
    path = tmp_path / "train_32x32.mat"
    data = bytearray(mat(DIGITS))
    data[144] = 5
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"cannot be read|holds no") as caught:
        read_svhn(path, most=10)
    assert caught.value.message.startswith(f"{path}: ") and "`download=True`" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0", bytes(200), b"\x89HDF\r\n\x1a\n" + bytes(600), bytes(126) + b"IM" + b"\xff" * 99])
def test_what_is_no_matlab_file_is_refused(content: bytes):
    with pytest.raises(ValueError, match=r"not a MATLAB file|an element of"):
        arrays_of_matlab(content, ("X",), 100)


def test_labels_of_no_digit_are_refused(tmp_path: Path):
    path = tmp_path / "x.mat"
    for label in (0, 11, 2.5):
        path.write_bytes(mat({**DIGITS, "y": np.array([[10], [1], [9], [label]])}))
        with pytest.raises(DataError, match="y must be 1 to 10"):
            read_svhn(path, most=10)
