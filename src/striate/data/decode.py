"""From picture files to uint8 arrays: one decoder for training, evaluation and prediction, so that all see the same pixels."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from os import PathLike
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from striate.core.errors import DataError, StriateError
from striate.core.images import ImageSpec
from striate.core.memory import MemoryShare
from striate.core.places import no_such_file
from striate.data.fitting import fit_image, with_channels
from striate.data.jpeg import jpeg_pixels
from striate.data.kinds import DECODED, HAS, HEAD, PLUGINS, format_of
from striate.data.levels import AS_PNG, grey_of_8_bits, levels_of, whitened
from striate.data.mask_values import indices_of
from striate.data.pieces import Piece
from striate.data.transparency import Ground, flattened, ground_of

__all__ = ["PictureHeader", "WholePicture", "decode_image", "decode_mask", "fit_image", "picture_bytes", "picture_header", "whole_picture"]

FORMATS = DECODED
PILLOWS = tuple(kind for kind in DECODED if kind not in PLUGINS)  # that Pillow reads itself
MAX_PIXELS = 50_000_000
MAX_SIDE = 30_000
MAX_BYTES = 512 * 2**20  # of a file: more than any picture of MAX_PIXELS needs
PIXEL_BYTES, CANVAS_BYTES = 20, 27  # that decoding takes at most for each pixel; the latter where a film may be in the file
BLOCK = 64 * 2**20  # of Pillow's memory: blocks of 16 MiB, its default, stay with the thread that decoded when they are freed
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
REMEDY = "Remove or repair the file, or leave unreadable pictures out with `skip_unreadable=True`."

# What Pillow's readers raise on damaged content: one that lacks a part which they rely on fails an assertion.
DAMAGE = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, struct.error, MemoryError,
    RuntimeError, AssertionError, BufferError, zlib.error,
)  # fmt: skip

ORIENTATION = 0x0112  # the EXIF field: how the camera was held
UPRIGHT: dict[int, tuple[bool, int, int]] = {  # how pixels (H, W, C) become upright: are rows columns, and the steps along both axes then
    1: (False, 1, 1),
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}

Readable = str | PathLike[str] | Piece | bytes


class PictureHeader(NamedTuple):
    """The header of a picture file, read before it is decoded."""

    height: int  # upright
    width: int
    channels: int  # 1 for a grey picture, else 3
    transparent: bool = False  # pixels may be
    frames: bool = False  # there are several, of which the first is read


class WholePicture(NamedTuple):
    """A picture file that decodes to its end, and what its header says."""

    image: Image.Image  # grey or RGB, upright; of a large JPEG at a half, a quarter or an eighth
    height: int  # upright, in the file
    width: int
    format: str
    mode: str  # as Pillow calls it: RGB, L, P, CMYK, ...
    frames: bool

    @property
    def pixels(self) -> np.ndarray:
        """The picture as uint8 (h, w, 1 or 3)."""
        return _as_array(self.image)


def decode_image(source: Readable, spec: ImageSpec | None = None, *, name: str | None = None, fit: bool = True) -> np.ndarray:
    """A picture as uint8 (H, W, C): upright, with 8 bits a channel, transparency over its ground, fitted to `spec`.

    Grey values of 9 to 16 bits are scaled so that the largest number that the file's bits can hold is 255, or 0 if the file calls 0
    white; colours of 16 bits lose their lower 8. Animations and files of several pages give their first picture. Colour profiles are
    not applied. The ground of transparency is white, or black where over white nothing would be seen. A JPEG of more than four times
    the size of `spec` is decoded at a half, a quarter or an eighth, never at less than twice that size, which saves most of the time.

    Args:
        source: A file, a piece of one, or the bytes of a file.
        spec: Size, fit and channels to bring it to; None leaves the size, and gives 1 channel for a grey picture, else 3.
        name: Its name in errors; the path by default.
        fit: False: the pixels as they are decoded for `spec`, for a program that fits pictures itself.

    Raises:
        DataError: not a picture of a known format, damaged, cut short, too large, of values without a known range, or coloured where
            `spec` has 1 channel; names it.
    """
    shown = name or (f"picture of {len(source):,} bytes" if isinstance(source, bytes) else str(source))
    with contextlib.ExitStack() as room:  # which is held until all that decoding takes is gone
        pixels = _decoded(source, shown, spec, room)
    if spec is None:
        return pixels
    try:
        return fit_image(pixels, spec) if fit else with_channels(pixels, spec.channels)
    except DataError as error:
        raise DataError(f"{shown}: {error.message}", error.remedy) from None


def _decoded(source: Readable, shown: str, spec: ImageSpec | None, room: contextlib.ExitStack) -> np.ndarray:
    """The pixels, of a JPEG not many more than `spec` needs; their memory is reserved in `room`."""
    with _opened(source, shown, whole=True) as (image, file):
        if spec is not None and spec.fit != "cut":
            _draft(image, 2 * max(spec.height, spec.width))
        room.enter_context(_room(image, shown))
        pixels = _of_jpeg(image, file)
        return _as_array(_upright(image, file)) if pixels is None else pixels


def _draft(image: Image.Image, side: int) -> None:
    """Let a JPEG be decoded at a half, a quarter or an eighth; a HEIC file would give its thumbnail, a picture of its own."""
    if image.format != "HEIF":
        image.draft(None, (side, side))


def picture_bytes(path: str | PathLike[str] | Piece) -> bytes:
    """The bytes of a regular file, or a piece of one, that may be a picture.

    Raises:
        DataError: it cannot be read, is empty or too large; names it.
    """
    try:
        with _file(path, whole=True) as file:
            return file.read()
    except DataError as error:
        raise DataError(f"{path}: {error.message}", error.remedy) from None
    except FileNotFoundError:
        raise no_such_file(str(path)) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}", REMEDY) from None


def whole_picture(data: bytes, side: int, name: str) -> WholePicture:
    """The bytes of a picture file, decoded as `decode_image` does for an input of `side` pixels, but not fitted.

    Raises:
        DataError: as `decode_image`.
    """
    with contextlib.ExitStack() as room, _opened(data, name, whole=True) as (image, file):
        width, height = image.size
        kind, mode, frames = image.format or "", image.mode, _has_frames(image)
        _draft(image, 2 * side)
        drafted = image.size
        room.enter_context(_room(image, name))
        pixels = _of_jpeg(image, file)
        upright = _upright(image, file) if pixels is None else Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    turned = upright.size != drafted and upright.size == drafted[::-1]
    return WholePicture(upright, *((width, height) if turned else (height, width)), kind, mode, frames)


def picture_header(source: Readable, *, name: str | None = None) -> PictureHeader:
    """Size and channels of a picture from the first bytes of its file; damage further on is not seen. Arguments as of `decode_image`.

    Raises:
        DataError: not a picture of a known format, or too large; names it.
    """
    name = str(source) if name is None else name
    with _opened(source, name) as (image, _):
        channels = 1 if levels_of(image).is_grey else 3  # before the orientation, for which Pillow loads a PNG file
        transparent = image.has_transparency_data
        height, width = image.size[::-1]
        with _room(image, name) if image.format == "PNG" else contextlib.nullcontext():
            turned = image.format != "TIFF" and _orientation(image) >= 5  # Pillow turns TIFF itself
        if turned:
            height, width = width, height
        return PictureHeader(height, width, channels, transparent, _has_frames(image))


def _has_frames(image: Image.Image) -> bool:
    """Return whether an open picture is animated or has several pages; phones keep other data after a JPEG file's first picture."""
    with contextlib.suppress(OSError, EOFError, SyntaxError, ValueError, struct.error):  # damage behind the first frame
        return image.format in ("GIF", "PNG", "TIFF", "WEBP", "AVIF", "HEIF") and bool(getattr(image, "is_animated", False))
    return False


def ground_of_file(path: str | PathLike[str] | Piece) -> Ground:
    """The ground that a picture with transparency is laid over.

    Raises:
        DataError: as `decode_image`.
    """
    with _opened(path, str(path), whole=True) as (image, _):
        image.load()
        return ground_of(image.convert("RGBA")) if not image.mode.startswith("I") else "white"


def decode_mask(path: str | PathLike[str]) -> np.ndarray:
    """The numbers of a PNG file as uint8 (H, W): the indices of a palette, or grey values that fit into 8 bits (`indices_of`).

    Raises:
        DataError: not a PNG file, damaged, cut short, too large, in colour, or with larger values; names it.
    """
    with _opened(path, str(path), whole=True) as (image, _):
        if image.format != "PNG":
            raise DataError(f"a mask must be a PNG file, got {image.format}", "Save the class indices without loss, as PNG.")
        with _room(image, str(path)):
            return indices_of(image)


@contextlib.contextmanager
def _opened(source: Readable, shown: str, *, whole: bool = False) -> Iterator[tuple[Image.Image, IO[bytes]]]:
    """The picture, header read and checked, and its file; every way in which it can be wrong becomes a DataError that names it.

    With `whole`, the file is read first: what happens to it afterwards changes nothing, and no library maps it.
    """
    try:
        with _silence, _file(source, whole) as file, _identified(file) as image:
            width, height = image.size
            if min(width, height) < 1:
                raise DataError(f"a picture of {width} x {height} pixels is empty", REMEDY)
            if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
                limits = f"more than {MAX_PIXELS:,} in total or {MAX_SIDE:,} per side"
                raise DataError(f"{width} x {height} pixels is {limits}", "Scale the picture down.")
            yield image, file
    except DataError as error:
        raise DataError(f"{shown}: {error.message}", error.remedy) from None
    except StriateError:
        raise
    except FileNotFoundError:
        raise no_such_file(shown) from None
    except Image.DecompressionBombError:  # Pillow's own limit, in files that claim even more
        raise DataError(f"{shown}: more than {MAX_PIXELS:,} pixels in total", "Scale the picture down.") from None
    except DAMAGE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or "the file is truncated"
        raise DataError(f"{shown}: cannot be read as a picture: {reason}", REMEDY) from None


def _identified(file: IO[bytes]) -> Image.Image:
    """The picture, of which only the header is read."""
    head = file.read(HEAD)
    file.seek(0)
    if format_of(head) == "HEIC" and "HEIC" in HAS:
        _register_heif()
        return Image.open(file, formats=("HEIF",))
    try:
        return Image.open(file, formats=PILLOWS)
    except UnidentifiedImageError:
        file.seek(0)
        if file.read(4).startswith(TIFF_STARTS):
            raise DataError("a TIFF picture whose bits, colours or compression are not supported", AS_PNG) from None
        raise DataError(f"not a picture of a known format ({', '.join(FORMATS)})", REMEDY) from None


@functools.cache
def _register_heif() -> None:
    """Let Pillow read HEIC pictures by pillow-heif, which turns them upright and makes 8 bits of 10 and 12."""
    from pillow_heif import register_heif_opener

    register_heif_opener()


def _file(source: Readable, whole: bool) -> IO[bytes]:
    """The bytes of a regular file; a pipe or device is refused before it can block."""
    if isinstance(source, Piece):
        source = source.content()
    if isinstance(source, bytes):
        return io.BytesIO(source)
    file = os.fdopen(os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    status = os.fstat(file.fileno())
    problem = ""
    if not stat.S_ISREG(status.st_mode):
        problem = "not a regular file"
    elif status.st_size > MAX_BYTES:
        problem = f"{status.st_size:,} bytes are too many for a picture"
    elif status.st_size == 0:
        problem = "the file is empty"
    if not problem and not whole:
        return file
    with file:
        if problem:
            raise DataError(problem, REMEDY)
        return io.BytesIO(file.read(MAX_BYTES))


def _room(image: Image.Image, shown: str) -> contextlib.AbstractContextManager[None]:
    """The memory in which the picture is decoded, of what all threads that decode share."""
    Image.core.set_block_size(BLOCK)  # type: ignore[attr-defined]  # documented, and missing in its types
    size = image.width * image.height * (CANVAS_BYTES if image.format in ("WEBP", "AVIF", "HEIF") else PIXEL_BYTES)
    return _memory.take(size, f"{shown}: {image.width} x {image.height} pixels", "Scale the picture down, or close other programs.")


class _Silence:
    """Pillow's warnings about odd metadata are ignored while any thread is inside: the pixels decide.

    `warnings.catch_warnings` alone is not safe where several threads enter and leave.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.saved = warnings.catch_warnings()
                self.saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.saved.__exit__(None, None, None)


_silence = _Silence()
_memory = MemoryShare(1 / 16, at_least=8 * 2**20)  # enough for four pictures of 12 megapixels where 16 GiB are free


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1..8; 1 if it is absent, broken or unknown."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except DAMAGE:
        return 1
    return value if value in UPRIGHT else 1


def _of_jpeg(image: Image.Image, file: IO[bytes]) -> np.ndarray | None:
    """The whole picture, upright, as uint8 (H, W, 1 or 3), if it is a JPEG file that needs no care; reads no pixels by `image`."""
    pixels = jpeg_pixels(image, file.getvalue()) if isinstance(file, io.BytesIO) else None
    return pixels if pixels is None else _turned(pixels, _orientation(image))


def _upright(image: Image.Image, file: IO[bytes]) -> Image.Image:
    """The whole picture, upright, grey or RGB."""
    flat, orientation = _flat(image, file), _orientation(image)
    return flat if orientation == 1 else Image.fromarray(_turned(np.asarray(flat), orientation))


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H, W) or (H, W, C), upright by their EXIF orientation."""
    across, down, along = UPRIGHT[orientation]
    turned = pixels.swapaxes(0, 1) if across else pixels
    return np.ascontiguousarray(turned[::down, ::along])


def _as_array(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _flat(image: Image.Image, file: IO[bytes]) -> Image.Image:
    """The whole picture as it lies in its file, with 8 bits a channel, over its ground."""
    levels = levels_of(image)  # before loading, which forgets how the file has them
    image.load()
    target = "L" if levels.is_grey else "RGB"
    if image.mode.startswith("I"):
        return Image.fromarray(grey_of_8_bits(np.asarray(image), levels))
    if levels.transparent is not None:
        if levels.wide:
            return Image.fromarray(whitened(np.array(image), levels, file))
        image.info["transparency"] = levels.transparent
    if image.has_transparency_data:
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        return flattened(rgba).convert(target)
    return image if image.mode == target else image.convert(target)
