"""The files in which answers that are pictures are written."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from striate.core.errors import UsageError
from striate.core.files import make_folder, shortened


def png_names(files: Sequence[Path], output: Path, *, noun: str, written: str) -> list[Path]:
    """The PNG file in the folder `output`, which is made, for the answer to each picture file.

    Args:
        files: The pictures.
        output: The folder.
        noun: The answer to a picture, in errors.
        written: The fate of two answers with one name, in errors: they would both `written` to it.

    Raises:
        UsageError: two answers would have one name, or one would take the place of its picture; nothing is made.
        EnvironmentFault: the folder cannot be made.
    """
    names = [output / f"{shortened(file.stem, 251)}.png" for file in files]
    for place, name in enumerate(names):
        if name in names[:place]:
            other = files[names.index(name)]
            raise UsageError(f"{other} and {files[place]} would both {written} to {name}", "Predict them into different folders.")
        if name.resolve() == files[place].resolve():
            raise UsageError(f"{name}: the {noun} would overwrite its picture", "Choose another `output`.")
    make_folder(output)
    return names


def picture_png(pixels: np.ndarray, name: str) -> bytes:
    """A PNG file of a picture (H, W, C) uint8.

    Raises:
        UsageError: it has another number of channels than 1, 3 or 4; names it.
    """
    if pixels.shape[2] not in (1, 3, 4):
        raise UsageError(f"{name}: a PNG file holds 1, 3 or 4 channels, and the model gives {pixels.shape[2]}", "Leave `output` out.")
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()
