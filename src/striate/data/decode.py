"""From picture files to uint8 arrays: one decoder for training, evaluation and prediction, so that all see the same pixels."""

from __future__ import annotations

import io
import stat
import warnings
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from striate.core.errors import DataError
from striate.core.images import ImageSpec

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_PIXELS = 50_000_000
MAX_SIDE = 30_000
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")


def decode_image(source: str | PathLike[str] | bytes, spec: ImageSpec | None = None, *, name: str | None = None) -> np.ndarray:
    """A picture as uint8 (H, W, C): upright, with 8 bits a channel, transparency over white, fitted to `spec`.

    Args:
        source: A file, or the bytes of one. Animations and multi-page files give their first picture.
        spec: Size, fit and channels to bring it to; None leaves the size, and gives 1 channel for a grey picture, else 3.
        name: What errors call it; the path by default.

    Raises:
        DataError: not a picture of a known format, damaged, cut short, too large, or coloured where `spec` has 1 channel; names it.
    """
    shown = name or (repr(bytes(source[:8])) if isinstance(source, bytes) else str(source))
    try:
        data = source if isinstance(source, bytes) else _read(Path(source))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about odd metadata; the pixels decide
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_header(image)
                pixels = _pixels(image)
    except DataError as error:
        raise DataError(f"{shown}: {error.message}", error.remedy) from None
    except UnidentifiedImageError:
        raise DataError(f"{shown}: not a picture of a known format ({', '.join(FORMATS)})", REMEDY) from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError, MemoryError, Image.DecompressionBombError) as error:
        raise DataError(f"{shown}: cannot be read as a picture: {error}", REMEDY) from None
    if spec is None:
        return pixels
    try:
        return fit_image(pixels, spec)
    except DataError as error:
        raise DataError(f"{shown}: {error.message}", error.remedy) from None


REMEDY = "Remove or repair the file, or leave unreadable pictures out with --skip-unreadable."


def _read(path: Path) -> bytes:
    """The bytes of a regular file; a pipe or device is refused before it can block."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError("not a regular file", REMEDY)
    return path.read_bytes()


def _check_header(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE or min(width, height) < 1:
        raise DataError(f"{width} x {height} pixels is more than {MAX_PIXELS:,} in all or {MAX_SIDE:,} a side", "Scale the picture down.")


def _pixels(image: Image.Image) -> np.ndarray:
    """The whole picture, upright, as uint8 (H, W, 1 or 3)."""
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(np.asarray(image))[..., None]
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        flat = Image.alpha_composite(white, rgba).convert("L" if image.mode in ("LA", "La") else "RGB")
    else:
        flat = image.convert("L" if image.mode in GREY_MODES else "RGB")
    pixels = np.asarray(flat)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of 16 bits divided by 257, so that nothing is clipped; values that fit in 8 bits stay."""
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all() or numbers.min() < 0 or numbers.max() > 65535:
        raise DataError("its grey values do not lie in 0..65535", REMEDY)
    if values.dtype.kind != "f" and values.dtype.itemsize == 2 or numbers.max() > 255:
        numbers = numbers / 257
    return np.rint(numbers).astype(np.uint8)


def fit_image(pixels: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """uint8 (h, w, c) brought to `spec`: its channels, then its size by its fit (antialiased bilinear).

    A grey picture is repeated over 3 channels. With "pad", a picture that is smaller on both sides by at most a quarter keeps its
    pixels and is padded with black (28 x 28 in 32 x 32, as LeNet-5 takes MNIST).

    Raises:
        DataError: the picture has colours and `spec` has 1 channel, or another number of channels than `spec`.
    """
    pixels = _with_channels(pixels, spec.channels)
    height, width = pixels.shape[:2]
    if (height, width) == (spec.height, spec.width):
        return pixels
    if spec.fit == "stretch":
        return _resized(pixels, spec.height, spec.width)
    ratios = spec.height / height, spec.width / width
    if spec.fit == "crop":
        scale = max(ratios)
        pixels = _resized(pixels, max(spec.height, round(height * scale)), max(spec.width, round(width * scale)))
        top, left = (pixels.shape[0] - spec.height) // 2, (pixels.shape[1] - spec.width) // 2
        return pixels[top : top + spec.height, left : left + spec.width]
    scale = 1.0 if 1 <= min(ratios) and max(ratios) <= 1.25 else min(ratios)
    if scale != 1:
        pixels = _resized(pixels, max(1, min(spec.height, round(height * scale))), max(1, min(spec.width, round(width * scale))))
    padded = np.zeros((spec.height, spec.width, spec.channels), np.uint8)
    top, left = (spec.height - pixels.shape[0]) // 2, (spec.width - pixels.shape[1]) // 2
    padded[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return padded


def _with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    found = pixels.shape[2]
    if found == channels:
        return pixels
    if found == 1:
        return np.repeat(pixels, channels, axis=2)
    if channels == 1 and found == 3 and (pixels == pixels[..., :1]).all():
        return pixels[..., :1]  # a grey picture saved as colour
    raise DataError(f"has {found} channels, the model takes {channels}", "Convert the picture, or use a model trained on such pictures.")


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Antialiased bilinear scaling of uint8 (h, w, c)."""
    if pixels.shape[2] in (1, 3):
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        scaled = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        return scaled[..., None] if scaled.ndim == 2 else scaled
    planes = [_resized(pixels[..., c : c + 1], height, width) for c in range(pixels.shape[2])]
    return np.concatenate(planes, axis=2)
