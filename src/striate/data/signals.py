"""Arrays that are no pictures: signals (n, l, c), volumes (n, d, h, w, c) and the rows of tables (n, f), in the user's units."""

from __future__ import annotations

import numpy as np

from striate.core.errors import DataError
from striate.core.images import KINDS, InputSpec, Kind
from striate.data.packing import take_rows

AXES = {"rows": "(n, f)", "signals": "(n, l, c)", "volumes": "(n, d, h, w, c)", "pictures": "(n, h, w, c)"}
WITHOUT_CHANNELS = {"signals": 2, "volumes": 4}  # axes of arrays of one channel, which they may leave out
FEW = 4  # values of a last axis up to which it looks like channels
NETWORKS: dict[Kind, str] = {"rows": "table_mlp", "signals": "signal_cnn", "volumes": "volume_cnn"}  # by default


def kind_of_array(array: np.ndarray) -> Kind:
    """The kind of samples (n, ...) where no network says it, by their axes.

    Two axes are the rows of a table, and five volumes. Three are grey pictures (n, h, w), but floats whose last axis is of 1 to 4 values,
    less than the axis before, are signals (n, l, c). Bytes of two or three axes are pictures, flattened or not, never taken for others.
    """
    if array.ndim == 5:
        return "volumes"
    if array.dtype == np.uint8 or array.dtype.kind not in "iuf":
        return "pictures"
    if array.ndim == 3 and array.dtype.kind == "f" and array.shape[2] <= FEW < array.shape[1]:
        return "signals"
    return "rows" if array.ndim == 2 else "pictures"


def as_signals(values: np.ndarray, kind: Kind, name: str) -> np.ndarray:
    """Samples of a kind as float32, channels last: (n, l, c), (n, d, h, w, c) or (n, f).

    Raises:
        DataError: another shape, not numbers, or not finite; names the field, and the first sample.
    """
    array = values[..., None] if values.ndim == WITHOUT_CHANNELS.get(kind) else values
    if array.ndim != AXES[kind].count(",") + 1 or 0 in array.shape:
        remedy = "Give at least one of at least one value, all of one size: cut or pad those of other sizes, and stack them."
        raise DataError(f"{name} must be {kind} {AXES[kind]}, got shape {np.shape(values)}", remedy)
    if array.dtype.kind not in "iufb":
        raise DataError(f"{name} must be numbers, got {array.dtype}", "Give each category a number, or a column of 0 and 1.")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, np.float32)
    finite = np.isfinite(array).reshape(len(array), -1).all(1)
    if not finite.all():
        place = int(np.flatnonzero(~finite)[0])
        message = f"{name} holds values that are missing, infinite or beyond float32 in {int((~finite).sum()):,} of {len(array):,} {kind}"
        raise DataError(f"{message}, first at index {place}", f"Fill them in, or leave those {kind} out.")
    return array


def as_steps(values: np.ndarray, extent: tuple[int, ...], count: int, name: str) -> np.ndarray:
    """Labels (n, *extent), one at each place of a signal or a volume: whole numbers or text.

    Raises:
        DataError: another shape or dtype, a label is missing, or not one row per sample; names the field.
    """
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.rint(values)).all():
        values = values.astype(np.int64)
    if not extent or values.shape != (count, *extent) or values.dtype.kind not in "iuUb":
        wanted = ", ".join(map(str, (count, *extent)))
        remedy = "Give one whole number or one string per place; the rows of a table have one label each, without `task='segment'`."
        raise DataError(f"{name} must be a label at each place, of shape ({wanted}), got {values.dtype} {values.shape}", remedy)
    return values


def rows_of(samples: np.ndarray, spec: InputSpec | None, places: np.ndarray | None = None) -> np.ndarray:
    """The samples, or those at `places`, as they are.

    Raises:
        DataError: a network of `spec` takes others.
    """
    if spec is not None and spec.array_shape != samples.shape[1:]:
        came = f"{KINDS[samples.ndim - 2]} of shape {samples.shape[1:]}"
        raise DataError(f"the network takes {spec.kind} of shape {spec.array_shape}, got {came}", "Give data of the same shape.")
    return samples if places is None else take_rows(samples, places)


def statistics_of(samples: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel of samples (n, ..., c); a constant one has deviation 1."""
    values = samples.reshape(-1, samples.shape[-1])  # (places, C)
    mean, std = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
    varies = values.max(0) > values.min(0)
    return tuple(mean.tolist()), tuple(np.where(varies & (std > 0), std, 1.0).tolist())
