"""The meaning of the numbers in a picture file: the number of levels, which is white, and which is transparent.

Pillow hands most pictures on as 8 bits with 255 for white. This is about the others: grey values of more than 8 bits, which come as
the file has them, and layouts that it reads wrongly, which are refused.
"""

from __future__ import annotations

from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image, ImagePalette, PngImagePlugin, TiffImagePlugin

from striate.core.errors import DataError
from striate.data.transparency import fill

GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
STEPS = {"L;2": 85, "L;4": 17}  # between two levels of a PNG file of 2 or 4 bits, once they are spread over 0 to 255
UNSIGNED, SEPARATE = 1, 2  # TIFF's SampleFormat and PlanarConfiguration
WHITE_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 2, 3, 5, 6  # TIFF's PhotometricInterpretation
TILE_PIXELS = 50_000_000  # of a tile in a TIFF file, which is decoded whole
AS_PNG = "Save the picture as PNG, with 8 or 16 bits."


class Levels(NamedTuple):
    """The meaning of a picture's samples, from its header."""

    is_grey: bool
    most: int  # the largest number that a sample can hold; of grey values with more than 8 bits
    white_is_zero: bool  # of those too
    transparent: int | tuple[int, ...] | None  # the sample, or the colour, that a PNG file calls transparent
    wide: bool  # colours of 16 bits, of which Pillow keeps the upper 8


def levels_of(image: Image.Image) -> Levels:
    """The levels of a picture that is open and not loaded yet.

    Raises:
        DataError: its values have no known range, or a layout that Pillow reads wrongly.
    """
    most, white_is_zero = 65535, False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image)
        most, white_is_zero = 2 ** image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))[0] - 1, _photometric(image) == WHITE_IS_ZERO
    elif image.mode == "F":
        raise DataError("floating-point values of 32 bits have no known range", AS_PNG)
    raw = image.tile[0].args if isinstance(image, PngImagePlugin.PngImageFile) and image.tile else ""
    transparent = _transparent(image, str(raw)) if raw else None
    return Levels(image.mode in GREY_MODES or raw == "LA;16B", most, white_is_zero, transparent, raw == "RGB;16B")


def _transparent(image: Image.Image, raw: str) -> int | tuple[int, ...] | None:
    """The transparent value of a PNG file, in Pillow's numbers; unused bits count as 0, as in the standard."""
    given = image.info.get("transparency")
    if image.mode == "P" or not isinstance(given, int | tuple):
        return None
    if isinstance(given, tuple):
        return tuple(value & (65535 if raw == "RGB;16B" else 255) for value in given)
    return given if image.mode == "I;16" else (given & 255 // STEPS.get(raw, 1)) * STEPS.get(raw, 1)


def grey_of_8_bits(values: np.ndarray, levels: Levels) -> np.ndarray:
    """Grey values (h, w) of more than 8 bits brought to 0 to 255, with white at 255; what is transparent becomes white."""
    shares: np.ndarray = np.minimum(values.astype(np.float32) * np.float32(255 / levels.most), 255)
    grey: np.ndarray = np.rint(255 - shares if levels.white_is_zero else shares).astype(np.uint8)
    if levels.transparent is not None:
        fill(grey, values == levels.transparent)
    return grey


def whitened(upper: np.ndarray, levels: Levels, file: IO[bytes]) -> np.ndarray:
    """`upper` (h, w, 3), the upper 8 of 16 bits, the ground where all 16 are those that the PNG file calls transparent."""
    file.seek(0)
    with Image.open(file, formats=("PNG",)) as image:
        image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]  # byte order the other way round: the lower 8 bits
        lower = np.asarray(image)
    colour = np.array(levels.transparent, np.uint16)
    fill(upper, ((upper == colour >> 8) & (lower == (colour & 255))).all(-1))
    return upper


def _photometric(image: TiffImagePlugin.TiffImageFile) -> int:
    return int(image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0))


def _check_tiff(image: TiffImagePlugin.TiffImageFile) -> None:
    """Refuse what has no range or is read wrongly; mend a palette of 8 bits, which old programs wrote in place of 16."""
    tags: Any = image.tag_v2
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    kinds = set(tags.get(TiffImagePlugin.SAMPLEFORMAT, (UNSIGNED,)))
    if kinds != {UNSIGNED} or image.mode in ("I", "F"):
        word = {2: "signed", 3: "floating-point"}.get(max(kinds), "grey")
        raise DataError(f"{word} values of {bits[0]} bits have no known range", AS_PNG)
    samples, photometric = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1), _photometric(image)
    raw = tags.get(TiffImagePlugin.COMPRESSION, 1) == 1
    if tags.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == SEPARATE and samples > 1:
        unsaid = photometric == RGB and samples > 3 and TiffImagePlugin.EXTRASAMPLES not in tags
        if photometric not in (RGB, CMYK) or unsaid or (raw and max(bits) != 8):
            raise DataError(f"a TIFF of {samples} planes, with {max(bits)} bits, which is not supported", AS_PNG)
    if raw and photometric == YCBCR and samples > 1 and tuple(tags.get(TiffImagePlugin.YCBCRSUBSAMPLING, (2, 2))) != (1, 1):
        raise DataError("a TIFF of uncompressed YCbCr with subsampled colours is not supported", AS_PNG)
    if tags.get(TiffImagePlugin.TILEWIDTH, 0) * tags.get(TiffImagePlugin.TILELENGTH, 0) > TILE_PIXELS:
        raise DataError(f"a TIFF with tiles of more than {TILE_PIXELS:,} pixels", AS_PNG)
    colours = tags.get(TiffImagePlugin.COLORMAP, ())
    if photometric == PALETTE and colours and max(colours) < 256:
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))
