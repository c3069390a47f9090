"""JPEG files by libjpeg-turbo's own interface, against Pillow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.core.errors import DataError
from striate.core.images import ImageSpec
from striate.data import decode, jpeg
from striate.data.decode import decode_image, whole_picture

pytest.importorskip("simplejpeg")


def pillows(data: bytes, spec: ImageSpec | None = None) -> np.ndarray:
    """What decoding by Pillow alone gives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "jpeg_pixels", lambda _image, _data: None)
        return decode_image(data, spec)


def saved(width: int, height: int, mode: str = "RGB", orientation: int = 1, **how: Any) -> bytes:
    """A picture of coarse noise as a JPEG file."""
    noise = np.random.default_rng(width * height).integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(noise).resize((width, height)).convert(mode).save(file, "JPEG", exif=exif, **how)
    return file.getvalue()


HOW: list[dict[str, Any]] = [
    {},
    *({"subsampling": each} for each in (0, 1, 2)),
    {"progressive": True},
    {"quality": 5, "restart_marker_blocks": 3},
]
HOW += [{"mode": "L"}, {"keep_rgb": True, "subsampling": 0}, {"mode": "CMYK"}, *({"orientation": each} for each in range(2, 9))]


@pytest.mark.parametrize("how", HOW, ids=str)
def test_pixels_are_those_of_pillow(how: dict[str, Any]):
    for width, height in ((1, 1), (33, 17), (250, 130)):
        data = saved(width, height, **how)
        assert decode_image(data).tolist() == pillows(data).tolist()
    small = ImageSpec(height=16, width=13, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3)  # for which it is decoded at a quarter
    assert (decode_image(data, small) == pillows(data, small)).all()
    assert decode_image(data).flags["C_CONTIGUOUS"]


def test_files_are_read_without_pillows_decoder(monkeypatch: pytest.MonkeyPatch):
    turned, grey = saved(30, 20, orientation=6), saved(90, 20, "L", orientation=8)
    monkeypatch.setattr(Image.Image, "load", None)

    assert decode_image(turned).shape == (30, 20, 3)
    assert whole_picture(grey, 100, "a").image.size == (20, 90)


def test_damage_is_what_pillow_calls_it():
    data = saved(90, 80)

    with pytest.raises(DataError, match=r"picture of .* bytes: cannot be read as a picture: image file is truncated"):
        decode_image(data[: len(data) // 2])


def test_without_the_library_pillow_decodes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jpeg, "_library", lambda: None)

    assert decode_image(saved(30, 20)).shape == (20, 30, 3)


@pytest.mark.needs("flowers")
def test_photos_have_the_same_pixels(data_dir: Path):
    photos = sorted((data_dir / "flowers").rglob("*.jpg"))[::8]

    assert len(photos) > 40 and all((decode_image(photo) == pillows(photo.read_bytes())).all() for photo in photos)
