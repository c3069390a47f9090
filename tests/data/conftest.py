"""Pictures and folders that the tests of this room make."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def smooth(height: int, width: int, shade: int = 0) -> np.ndarray:
    """A colour picture (height, width, 3) uint8 without two equal corners, mild enough for JPEG."""
    down, across = np.mgrid[0:height, 0:width]
    planes = (40 + 120 * down / height, 60 + 150 * across / width, (200 + shade - 100 * (down + across) / (height + width)) % 256)
    return np.stack(planes, -1).astype(np.uint8)


def encoded(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def picture() -> Callable[..., np.ndarray]:
    """`picture(height, width, shade=0)`: a colour picture as an array."""
    return smooth


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """`encode(pixels_or_image, kind="PNG", **options)`: the bytes of a picture file."""
    return encoded


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """`make_folder({"train/cat/1.png": None, ...})`: a folder of files; None stands for a small picture, other values are bytes."""

    def make(files: dict[str, bytes | None], root: str = "photos") -> Path:
        for number, (name, content) in enumerate(files.items()):
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            kind = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG"
            path.write_bytes(encoded(smooth(12, 16, 7 * number), kind) if content is None else content)
        return tmp_path / root

    return make
