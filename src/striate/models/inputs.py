"""The input of a trained model: files, arrays, tensors and Pillow's pictures, brought to one form."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from striate.core.errors import NumericError, ShapeError, UsageError
from striate.core.images import ImageSpec, InputSpec
from striate.data.arrays import as_samples, plain_array
from striate.data.ranges import refuse_masked

LAST_AXES = (1, 3, 4)  # channels of a picture: an array (h, w, c) whose last axis is one of these is one picture
KINDS = "picture files, a uint8 array (n, h, w) or (n, h, w, c), or a list of these and of Pillow's pictures"


class Given(NamedTuple):
    """Pictures to answer, in order: a file's path or an index for each, and the pictures themselves."""

    names: list[str]
    items: Sequence[Path | np.ndarray] | np.ndarray  # paths and arrays (h, w, c), or one array (n, h, w, c)

    def first(self, count: int | None) -> Given:
        """The first so many; all for None."""
        return Given(self.names[:count], self.items[:count])


def given_pictures(pictures: Any, spec: InputSpec) -> Given:
    """`pictures` in the form in which they are read and answered.

    Args:
        pictures: A file or several; a uint8 array or tensor of one picture or of several; a picture of Pillow; a list of these; or what
            is in this form already.
        spec: Of the model: where it and an array's shape agree, the axes are what the model takes.

    Raises:
        UsageError: something else, or a folder.
        ShapeError: an array of other numbers, of no pixels, or whose axes can be understood in two ways.
    """
    if isinstance(pictures, Given):
        return pictures
    if not isinstance(spec, ImageSpec):
        samples = _as_spec(pictures, spec)
        return Given([str(index) for index in range(len(samples))], samples)
    if isinstance(pictures, np.ndarray) and pictures.ndim == 1 and pictures.dtype.kind in "UO":
        pictures = pictures.tolist()
    if isinstance(pictures, str | PathLike) or _is_pillow(pictures):
        pictures = [pictures]
    elif _is_array(pictures):
        stack = as_stack(pictures, spec)
        return Given([str(index) for index in range(len(stack))], stack)
    if isinstance(pictures, bytes | dict) or not isinstance(pictures, Iterable):
        raise UsageError(f"pictures must be {KINDS}, got {_kind(pictures)}")
    names, items = [], []
    for index, picture in enumerate(pictures):
        item = _one(picture, spec, f"pictures[{index}]")
        names.append(str(picture) if isinstance(item, Path) else str(index))
        items.append(item)
    return Given(names, items)


def read_pictures(items: Sequence[Path | np.ndarray] | np.ndarray, spec: InputSpec) -> np.ndarray:
    """The pictures of a `Given`, or some of them, as a model of `spec` takes them: uint8 (N, H, W, C), or float32 (N, ..., C).

    Raises:
        DataError: a file cannot be read as a picture, or a picture has another number of channels; names it.
    """
    from striate.data.decode import decode_image, fit_image

    if not isinstance(spec, ImageSpec):
        return np.asarray(items)

    def read(item: Path | np.ndarray) -> np.ndarray:
        return decode_image(item, spec) if isinstance(item, Path) else fit_image(item, spec)

    if not len(items):
        return np.zeros((0, spec.height, spec.width, spec.channels), np.uint8)
    if isinstance(items, np.ndarray):
        return np.stack([read(item) for item in items])
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(read, items)))


def as_stack(pictures: Any, spec: ImageSpec) -> np.ndarray:
    """uint8 (n, h, w, c) of an array or a tensor of one picture or of several.

    Raises:
        ShapeError: other numbers than uint8, no pixels, or ambiguous axes.
    """
    refuse_masked(pictures, "pictures")
    array = plain_array(pictures)
    shape = array.shape
    if array.dtype != np.uint8:
        remedy = "Pass the values from 0 to 255 that the model was trained on, as uint8."
        raise ShapeError(f"pictures must be uint8 (n, h, w) or (n, h, w, c), got {array.dtype} {shape}", remedy)
    if array.ndim in (3, 4) and not isinstance(pictures, np.ndarray) and _channels_first(shape, spec):
        array = np.moveaxis(array, -3, -1)  # as torch holds pictures
    if array.ndim == 2:
        array = array[None, ..., None]
    elif array.ndim == 3:
        array = array[None] if _is_one(array.shape, spec) else array[..., None]
    if array.ndim != 4 or 0 in array.shape[1:]:
        raise ShapeError(f"pictures must be (n, h, w) or (n, h, w, c) with at least one pixel, got {shape}")
    if array.shape[3] > max(LAST_AXES) and array.shape[3] != spec.channels and array.shape[1] in (*LAST_AXES, spec.channels):
        remedy = "Move the channels last: pictures.transpose(0, 2, 3, 1)."
        raise ShapeError(f"pictures must be (n, h, w, c), got {shape}, which looks like (n, c, h, w)", remedy)
    return array


def as_seen(images: Any, spec: InputSpec) -> np.ndarray:
    """`images` as an array, if they are uint8 (N, H, W, C), or numbers (N, ..., C), of the model's own size.

    Raises:
        ShapeError: they are not.
    """
    if not isinstance(spec, ImageSpec):
        return _as_spec(images, spec)
    array, wanted = plain_array(images), spec.array_shape
    if array.ndim != 4 or array.shape[1:] != wanted or array.dtype != np.uint8:
        came = f"{array.dtype} {array.shape}" if array.dtype.kind != "O" else _kind(images)
        raise ShapeError(
            f"images must be uint8 (N, {', '.join(map(str, wanted))}), got {came}", "model.read(pictures) returns such an array."
        )
    return array


def _as_spec(samples: Any, spec: InputSpec) -> np.ndarray:
    """float32 (N, ..., C) of an array or a tensor of samples, or of a single one, as `spec` has them.

    Raises:
        ShapeError: of another shape, or files.
        DataError: not finite numbers.
    """
    array = plain_array(samples)
    if array.dtype.kind in "USO":
        raise ShapeError(f"the model takes {spec.kind} of shape {spec.array_shape} as an array, got {_kind(samples)}", "Pass an array.")
    if array.shape in (spec.array_shape, spec.extent):
        array = array[None]
    found = as_samples(array, "X", spec.kind) if len(array) else np.zeros((0, *spec.array_shape), np.float32)
    if found.shape[1:] != spec.array_shape:
        wanted = ", ".join(map(str, ("n", *spec.array_shape)))
        raise ShapeError(f"the model takes {spec.kind} of shape ({wanted}), got {np.shape(samples)}")
    return found


def finite_outputs(outputs: np.ndarray, names: Sequence[str] | None = None) -> np.ndarray:
    """The outputs (N, ...) of a network.

    Raises:
        NumericError: one is NaN or Inf; names the picture.
    """
    finite = np.isfinite(outputs)
    if not finite.all():
        bad = np.flatnonzero(~finite.reshape(len(outputs), -1).all(1))
        which = f"picture {bad[0]}" if names is None or names[bad[0]].isdecimal() else names[bad[0]]
        message = f"{which}: the network gives NaN or Inf, because its weights are too large"
        raise NumericError(message, "Train again with a smaller `learning_rate`.")
    return outputs


def _one(picture: Any, spec: ImageSpec, name: str) -> Path | np.ndarray:
    """One item of a list: the path of a file, or uint8 (h, w, c)."""
    if isinstance(picture, str | PathLike) and not isinstance(picture, bytes):
        path = Path(picture)
        if path.is_dir():
            remedy = "Give its files, or call striate.predict(model, folder), which reports what it leaves out."
            raise UsageError(f"{path}: is a folder, not a picture file", remedy)
        return path
    if _is_pillow(picture):
        return _pillow_pixels(picture, name)
    if not _is_array(picture):
        raise UsageError(f"{name}: pictures must be {KINDS}, got {_kind(picture)}")
    try:
        stack = as_stack(picture, spec)
    except ShapeError as error:
        raise ShapeError(f"{name}: {error.problem}", error.remedy) from None
    if len(stack) != 1:
        raise ShapeError(f"{name}: each item of a list must be one picture (h, w) or (h, w, c), got {np.shape(picture)}")
    return np.asarray(stack[0])


def _is_one(shape: tuple[int, ...], spec: ImageSpec) -> bool:
    """Return whether a shape of three axes is (h, w, c) of one picture; else it is (n, h, w) of grey ones.

    Raises:
        ShapeError: it may be (c, h, w).
    """
    if shape[2] in (*LAST_AXES, spec.channels) and not (spec.channels == 1 and shape[1:] == (spec.height, spec.width)):
        return True
    if shape[0] == spec.channels > 1:
        remedy = "Write pictures.transpose(1, 2, 0) for one picture, pictures[..., None] for grey ones."
        message = f"pictures of shape {shape} may be one picture with its channels first, or {shape[0]} grey ones"
        raise ShapeError(message, remedy)
    return False


def _channels_first(shape: tuple[int, ...], spec: ImageSpec) -> bool:
    """Return whether the shape of a tensor is (c, h, w) or (n, c, h, w), as torch has it."""
    if shape[-1] in (*LAST_AXES, spec.channels):
        return False
    return shape[-3] == spec.channels > 1 if len(shape) == 3 else shape[-3] in (*LAST_AXES, spec.channels)


def _pillow_pixels(picture: Any, name: str) -> np.ndarray:
    """A picture of Pillow as its file would be decoded: uint8 (h, w, 1 or 3), upright, over white."""
    from striate.data.decode import decode_image

    if picture.mode in ("I", "F") or 0 in picture.size:
        raise ShapeError(f"{name}: {picture.size[0]} x {picture.size[1]} of mode {picture.mode} is not an 8-bit picture", "Convert it.")
    shown = picture if picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else picture.convert("RGB")
    file = io.BytesIO()
    shown.save(file, "PNG", compress_level=0, exif=picture.getexif())
    return decode_image(file.getvalue(), name=name)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (hasattr(value, "detach") and hasattr(value, "dtype"))


def _is_pillow(value: Any) -> bool:
    from PIL import Image

    return isinstance(value, Image.Image)


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
