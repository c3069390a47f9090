"""Arrays of numbers as pictures: which are accepted, which are refused, and the line of code that converts those."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core.errors import DataError
from striate.data.packing import ROWS_AT_A_TIME, room_for

BITS = (8, 10, 12, 14, 16)  # that cameras and scanners have
ROUNDING = 0.5 / 255  # floats that lie outside [0, 1] by less become the nearest of the 256 values all the same
OVERSHOOT = 0.05  # that sharpening and bicubic scaling leave beside [0, 1]
BAND = 0.25  # of the largest value: pictures whose values span less use a small part of the range


def refuse_masked(values: Any, name: str) -> None:
    """Refuse a masked array some of whose values are masked: they would count as if they were not.

    Raises:
        DataError: there are such; names the field.
    """
    if np.ma.is_masked(values):
        count = int(np.ma.getmaskarray(values).sum())
        message = f"{name} is a masked array, and {count:,} of its {values.size:,} values are masked"
        raise DataError(message, "Leave them out, or replace them with filled().")


def as_bytes(array: np.ndarray, name: str) -> np.ndarray:
    """(n, h, w, c) uint8, from uint8, from other whole numbers that fit into it, from bool, or from floats in [0, 1].

    Raises:
        DataError: another dtype or range; names the field, and the remedy is a line of Python for these values.
    """
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{name} must be uint8, or floats in [0, 1], got {array.dtype}", "Give one array of numbers in [0, 1].")
    if array.dtype.kind == "f" and (bad := len(array) - int(np.isfinite(array).all((1, 2, 3)).sum())):
        raise DataError(f"{name} holds NaN or Inf in {bad:,} of {len(array):,} pictures", "Leave those pictures out.")
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind != "f" and low >= 0 and high <= 255:
        return array.astype(np.uint8)
    if array.dtype.kind == "f" and low >= -ROUNDING and high <= 1 + ROUNDING:
        whole = room_for(array.shape)
        for start in range(0, len(array), ROWS_AT_A_TIME):  # so that no second array of floats is made
            whole[start : start + ROWS_AT_A_TIME] = np.rint(array[start : start + ROWS_AT_A_TIME].clip(0, 1) * 255)
        return whole
    kind = "floats" if array.dtype.kind == "f" else f"{array.dtype} values"
    raise DataError(f"{name} must be uint8, or floats in [0, 1], got {kind} from {low:g} to {high:g}", scaling(low, high))


def scaling(low: float, high: float) -> str:
    """The remedy for values from `low` to `high`: a line of code that scales them to [0, 1], the same for every split."""
    line, why = _line(low, high)
    return f"Scale all splits in the same way, {why}: X = {line}"


def _line(low: float, high: float) -> tuple[str, str]:
    if low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        return "X.clip(0, 1)", "which cuts the overshoot"
    if -1 - OVERSHOOT <= low < 0 and high <= 1 + OVERSHOOT:
        return "((X + 1) / 2).clip(0, 1)", "for -1 is black and 1 is white"
    if -128 <= low < 0 and high <= 127 and low == round(low) and high == round(high):
        return "(X + 128.0) / 255", "for -128 is black and 127 is white"
    if low < 0 or high - low < BAND * high:
        return f"((X - ({low!r})) / {high - low!r}).clip(0, 1)", f"from {low:g}, black, to {high:g}, white"
    bits = next((bits for bits in BITS if high <= 2**bits - 1), 0)
    if bits and high > 2 ** (bits - 1):
        return f"X / {2**bits - 1}", f"the range of {bits} bits"
    return f"X / {high!r}", f"in which {high:g} is white"


def reshaping(shape: tuple[int, ...], *, of_objects: bool = False) -> str:
    """The remedy for an array that does not have the shape of pictures."""
    if len(shape) == 1 and of_objects:
        return "Resize all pictures to one size, and stack them: numpy.stack(X)."
    if len(shape) == 1:
        return "Give the pictures first and the labels second: (X, y)."
    if len(shape) == 2:
        return f"A table's rows train with `network='table_mlp'`; restore the rows and columns of pictures: {_unflattened(shape[1])}"
    if len(shape) == 5:
        return "Give one array of single pictures: X.reshape(-1, *X.shape[2:]), with a label for each."
    return "Give at least one picture of at least one pixel."


def channels_without_rows(shape: tuple[int, ...]) -> str:
    """The remedy for (n, a, c), whose last axis looks like channels: flattened pictures, a single one, or narrow grey ones."""
    side = round(shape[1] ** 0.5)
    grey = f"for grey ones of {shape[1]} x {shape[2]}, X[..., None]; for signals, train with `network='signal_cnn'`"
    if side * side == shape[1] and side > 1:
        return f"For flattened pictures, X.reshape(-1, {side}, {side}, {shape[2]}); for a single one, X[None]; {grey}."
    return f"For a single picture, X[None]; {grey}."


def _unflattened(values: int) -> str:
    for channels in (1, 3):
        side = round((values / channels) ** 0.5)
        if side * side * channels == values:
            grey = f"X.reshape(-1, {side}, {side})"
            first = f"X.reshape(-1, 3, {side}, {side}).transpose(0, 2, 3, 1) where all of one colour come first, as in CIFAR's files"
            return f"{grey}." if channels == 1 else f"X.reshape(-1, {side}, {side}, 3), or {first}."
    return "X.reshape(-1, HEIGHT, WIDTH)."
