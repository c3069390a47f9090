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


def python2_pickle(value: Any) -> bytes:
    """`value` as Python 2 and NumPy 1 pickled it: protocol 2, byte strings, an array's bytes in its state. CIFAR's batches are so."""

    def number(n: int) -> bytes:
        return b"K" + bytes([n]) if 0 <= n < 256 else b"J" + n.to_bytes(4, "little", signed=True)

    def text(content: bytes) -> bytes:
        return (b"U" + bytes([len(content)]) if len(content) < 256 else b"T" + len(content).to_bytes(4, "little")) + content

    def array(values: np.ndarray) -> bytes:
        shape = b"(" + b"".join(map(number, values.shape)) + b"t"
        dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNN" + 2 * number(-1) + b"K\x00tb"
        start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        return start + b"(K\x01" + shape + dtype + b"\x89" + text(values.tobytes()) + b"tb"

    def item(one: Any) -> bytes:
        if isinstance(one, np.ndarray):
            return array(one)
        if isinstance(one, dict):
            return b"}(" + b"".join(item(key) + item(content) for key, content in one.items()) + b"u"
        if isinstance(one, list):
            return b"](" + b"".join(map(item, one)) + b"e"
        return number(one) if isinstance(one, int) else text(one.encode())

    return b"\x80\x02" + item(value) + b"."


@pytest.fixture
def pickle_of_python_2() -> Callable[[Any], bytes]:
    """`pickle_of_python_2(value)`: a dict of uint8 arrays, lists, numbers and text as CIFAR's batches hold it."""
    return python2_pickle


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
