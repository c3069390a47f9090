"""Files whose numbers are not plain 8 bits with 255 for white: the right grey comes out, or the file is refused; never a wrong picture."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from striate.core.errors import DataError
from striate.core.images import ImageSpec
from striate.data.decode import decode_image, picture_header
from striate.data.sources import open_data
from striate.models.model import Model

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, SAMPLES, ROWS, COUNTS, PLANAR = 256, 257, 258, 259, 262, 273, 277, 278, 279, 284
COLOURS, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, EXTRA, SAMPLE_FORMAT, SUBSAMPLING = 320, 322, 323, 324, 338, 339, 530
PLAIN, DEFLATE = 1, 8


def tiff(
    shape: tuple[int, int], bits: int, photometric: int, *parts: bytes, order: str = "<", samples: int = 1, compression: int = PLAIN,
    more: Mapping[int, Sequence[int]] | None = None,
) -> bytes:  # fmt: skip
    """A TIFF file by hand: its strips or planes first, then one directory."""
    parts = tuple(map(zlib.compress, parts)) if compression == DEFLATE else parts
    body = b"".join(part + b"\0" * (len(part) % 2) for part in parts)
    places = [8 + sum(len(part) + len(part) % 2 for part in parts[:k]) for k in range(len(parts))]
    fields: dict[int, Sequence[int]] = {
        WIDTH: [shape[1]], HEIGHT: [shape[0]], BITS: [bits] * samples, COMPRESSION: [compression], PHOTOMETRIC: [photometric],
        OFFSETS: places, SAMPLES: [samples], ROWS: [shape[0]], COUNTS: list(map(len, parts)), **(more or {}),
    }  # fmt: skip
    beyond, entries = b"", struct.pack(order + "H", len(fields))
    for tag, values in sorted(fields.items()):
        kind = 4 if tag in (WIDTH, HEIGHT, OFFSETS, COUNTS, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS) else 3
        data = struct.pack(f"{order}{len(values)}{'I' if kind == 4 else 'H'}", *values)
        if len(data) > 4:
            place = 8 + len(body) + 2 + 12 * len(fields) + 4 + len(beyond)
            beyond, data = beyond + data, struct.pack(order + "I", place)
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + data.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(body))
    return head + body + entries + b"\0" * 4 + beyond


def png(width: int, depth: int, colour: int, *rows: bytes, chunks: Mapping[bytes, bytes] | None = None) -> bytes:
    """A PNG file by hand, unfiltered."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0))
    more = b"".join(chunk(*one) for one in (chunks or {}).items())
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + chunk(b"IEND", b"")


def packed_12(values: Sequence[int]) -> bytes:
    """Numbers of 12 bits, one after the other from the highest bit on, as a row of a TIFF file has them."""
    text = "".join(f"{value:012b}" for value in values)
    text = text.ljust((len(text) + 7) // 8 * 8, "0")
    return int(text, 2).to_bytes(len(text) // 8, "big")


def of(decoded: np.ndarray) -> list[int]:
    return [int(value) for value in decoded.ravel()]


# ---- levels


@pytest.mark.parametrize("compression", [PLAIN, DEFLATE])
def test_12_bits_are_scaled_by_4095(compression: int):
    """By hand: 0, 8, 9, 2048, 4095 of 4095 are 0, 0.498, 0.56, 127.53 and 255; a row of 5 is filled up to whole bytes."""
    rows = packed_12([0, 8, 9, 2048, 4095]) + packed_12([4095, 0, 4095, 0, 4095])
    decoded = decode_image(tiff((2, 5), 12, 1, rows, compression=compression))
    np.testing.assert_array_equal(decoded[..., 0], [[0, 0, 1, 128, 255], [255, 0, 255, 0, 255]])


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("compression", [PLAIN, DEFLATE])
def test_white_is_zero_where_the_file_says_so(bits: int, compression: int):
    """A picture and its negative that calls 0 white are the same."""
    most = 2**bits - 1
    values = np.array([0, most, most, 0, most, 0, 0, most], np.uint32)
    texts = ("".join(f"{value:0{bits}b}" for value in line) for line in (values, most - values))
    rows = [int(text, 2).to_bytes(bits, "big") for text in texts]
    if bits == 16:  # little-endian samples
        rows = [np.frombuffer(row, ">u2").astype("<u2").tobytes() for row in rows]
    black, white = (
        decode_image(tiff((1, 8), bits, photometric, row, compression=compression)) for photometric, row in ((1, rows[0]), (0, rows[1]))
    )
    assert of(black) == of(white) == [0, 255, 255, 0, 255, 0, 0, 255]


def test_grey_of_16_bits_with_white_at_zero_is_scaled_and_turned_round():
    """By hand: 255 - 0, 255 - 1, 255 - 127.5 and 255 - 255."""
    samples = np.array([0, 257, 32768, 65535], "<u2").tobytes()
    assert of(decode_image(tiff((1, 4), 16, 0, samples))) == [255, 254, 127, 0]


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"P5 4 1 1023\n" + np.array([0, 2, 512, 1023], ">u2").tobytes(), [0, 0, 128, 255]),
     (b"P2 4 1 1023\n0 3 512 1023\n", [0, 1, 128, 255]), (b"P5 3 1 256\n" + np.array([0, 128, 256], ">u2").tobytes(), [0, 128, 255]),
     (b"P5 4 1 15\n" + bytes([0, 1, 8, 15]), [0, 17, 136, 255]),
     (b"P6 1 1 1023\n" + np.array([0, 512, 1023], ">u2").tobytes(), [0, 128, 255]),
     (b"P3 1 1 65535\n0 32768 65535\n", [0, 128, 255]), (b"P1 4 1\n0 1 0 1\n", [255, 0, 255, 0])],
)  # fmt: skip
def test_portable_maps_are_scaled_by_their_own_largest_value(data: bytes, expected: list[int]):
    assert of(decode_image(data)) == expected


def test_significant_bits_do_not_change_the_scale():
    """PNG's samples fill their depth whatever sBIT says of where they came from."""
    row = np.array([0, 257, 32896, 65535], ">u2").tobytes()
    assert of(decode_image(png(4, 16, 0, row, chunks={b"sBIT": b"\x0c"}))) == [0, 1, 128, 255]


# ---- what is called transparent


@pytest.mark.parametrize(
    ("depth", "row", "transparent", "expected"),
    [(1, b"\x50", 1, [0, 255, 0, 255]), (2, b"\x1b", 1, [0, 255, 170, 255]),
     (4, b"\x01\x23", 2, [0, 17, 255, 51]), (8, b"\0\1\2\3", 2, [0, 1, 255, 3]), (8, b"\0\1\2\3", 0x0102, [0, 1, 255, 3]),
     (16, bytes.fromhex("0000010180808081"), 0x8080, [0, 1, 255, 128])],
)  # fmt: skip
def test_a_transparent_grey_is_white_at_every_depth(depth: int, row: bytes, transparent: int, expected: list[int]):
    """The level is told in the file's own bits; of 16 bits all must be the same."""
    data = png(4, depth, 0, row, chunks={b"tRNS": struct.pack(">H", transparent)})
    assert of(decode_image(data)) == expected


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_transparent_colour_of_16_bits_must_be_the_same_in_all_of_them(orientation: int):
    colours = np.array([[[0x0102, 0x0304, 0x0506], [0x0100, 0x0304, 0x0506]]], ">u2")
    exif = Image.Exif()
    exif[0x0112] = orientation
    chunks = {b"tRNS": struct.pack(">HHH", 0x0102, 0x0304, 0x0506), b"eXIf": exif.tobytes()[6:]}
    decoded = decode_image(png(2, 16, 2, colours.tobytes(), chunks=chunks))
    assert decoded.shape == ((1, 2, 3) if orientation == 1 else (2, 1, 3))
    assert of(decoded) == [255, 255, 255, 1, 3, 5]


def test_grey_with_alpha_of_16_bits_is_grey(tmp_path: Path):
    """By hand: grey 128 of alpha 128 over white is 128 x 128 / 255 + 255 x 127 / 255 = 191."""
    path = tmp_path / "x.png"
    path.write_bytes(png(3, 16, 4, np.array([0, 65535, 32896, 32896, 700, 0], ">u2").tobytes()))
    assert decode_image(path).shape == (1, 3, 1) and picture_header(path).channels == 1
    assert of(decode_image(path)) == [0, 191, 255]


@pytest.mark.parametrize(("extra", "expected"), [(0, [0, 64, 30]), (1, [255, 191, 30]), (2, [255, 159, 30])])
def test_a_second_sample_of_a_tiff_is_what_the_file_says(extra: int, expected: list[int]):
    """By hand: of unknown use, it is left out; premultiplied, 64 + 255 - 128 = 191; plain, (64 x 128 + 255 x 127) / 255 = 159."""
    samples = bytes([0, 0, 64, 128, 30, 255])
    assert of(decode_image(tiff((1, 3), 8, 1, samples, samples=2, more={EXTRA: [extra]}))) == expected


@pytest.mark.parametrize(("extra", "expected"), [(0, [50, 60, 70]), (1, [177, 187, 197]), (2, [152, 157, 162])])
@pytest.mark.parametrize("compression", [PLAIN, DEFLATE])
def test_a_fourth_sample_of_a_tiff_is_what_the_file_says(extra: int, expected: list[int], compression: int):
    data = tiff((1, 1), 8, 2, bytes([50, 60, 70, 128]), samples=4, compression=compression, more={EXTRA: [extra]})
    assert np.abs(np.subtract(of(decode_image(data)), expected)).max() <= 1


# ---- palettes, planes and inks


@pytest.mark.parametrize("one", [257, 1])
def test_a_palette_has_16_bits_or_in_old_files_8(one: int):
    """Red, green and blue of entry 1 are 255, 128 and 1."""
    colours = [0, 255 * one, *[0] * 254, 0, 128 * one, *[0] * 254, 0, one, *[0] * 254]
    assert of(decode_image(tiff((1, 2), 8, 3, bytes([1, 0]), more={COLOURS: colours}))) == [255, 128, 1, 0, 0, 0]


def test_planes_are_joined_or_refused():
    colours = np.array([[0, 257, 65535], [32896, 514, 771]], "<u2")
    planes = [colours[:, k].tobytes() for k in range(3)]
    joined = decode_image(tiff((1, 2), 16, 2, *planes, samples=3, compression=DEFLATE, more={PLANAR: [2]}))
    assert of(joined) == [0, 1, 255, 128, 2, 3]
    small = [(colours[:, k] // 257).astype(np.uint8).tobytes() for k in range(3)]
    assert of(decode_image(tiff((1, 2), 8, 2, *small, samples=3, more={PLANAR: [2]}))) == [0, 1, 255, 128, 2, 3]
    with pytest.raises(DataError, match="3 planes, with 16 bits"):  # Pillow gives 0, 1, 255, 0, 1, 255
        decode_image(tiff((1, 2), 16, 2, *planes, samples=3, more={PLANAR: [2]}))


def test_printers_inks_of_a_tiff_become_light():
    """By hand: (255 - ink) (255 - black) / 255."""
    inks = bytes([0, 0, 0, 0, 200, 10, 20, 30])
    for bits, samples in ((8, inks), (16, np.frombuffer(inks, np.uint8).astype("<u2") * 257)):
        decoded = decode_image(tiff((1, 2), bits, 5, bytes(samples), samples=4))
        assert np.abs(np.subtract(of(decoded), [255, 255, 255, 48.5, 216.2, 207.4])).max() <= 1


def test_lightness_and_two_opponents_become_colours():
    """CIE L*a*b*: white, and the grey of L* 50 that sRGB calls 119."""
    decoded = decode_image(tiff((1, 2), 8, 8, bytes([255, 0, 0, 128, 0, 0]), samples=3))
    assert np.abs(np.subtract(of(decoded), [255, 255, 255, 119, 119, 119])).max() <= 2


def test_inks_of_a_jpeg_as_luma_and_colour_differences_become_light(encode: Callable[..., bytes]):
    """YCCK as Adobe has it: three inks become Y, Cb and Cr as if they were red, green and blue; black is stored upside down."""
    inks, black = np.array([200.0, 10.0, 60.0]), 40.0
    luma = inks @ (0.299, 0.587, 0.114)
    stored = (luma, 128 + 0.564 * (inks[2] - luma), 128 + 0.713 * (inks[0] - luma), 255 - black)
    planes = [Image.new("L", (16, 16), round(255 - value)) for value in stored]  # Pillow turns them upside down as it saves
    data = encode(Image.merge("CMYK", planes), "JPEG", quality=100, subsampling=0)
    marker = data.index(b"Adobe") + 11
    decoded = decode_image(data[:marker] + b"\x02" + data[marker + 1 :])
    assert np.abs(decoded[8, 8] - (255 - inks) * (255 - black) / 255).max() <= 4


# ---- what is refused


@pytest.mark.parametrize(
    ("data", "words"),
    [(tiff((1, 4), 8, 1, bytes(4), more={SAMPLE_FORMAT: [2]}), "signed values of 8 bits"),
     (tiff((1, 4), 16, 1, bytes(8), more={SAMPLE_FORMAT: [2]}), "signed values of 16 bits"),
     (tiff((1, 4), 32, 1, bytes(16), more={SAMPLE_FORMAT: [3]}), "floating-point values of 32 bits"),
     (tiff((1, 4), 32, 1, bytes(16)), "grey values of 32 bits"), (b"Pf 1 1 -1.0\n\0\0\0\0", "floating-point values of 32 bits"),
     (tiff((1, 4), 10, 1, bytes(5)), "a TIFF picture whose bits"), (tiff((1, 4), 14, 1, bytes(7)), "a TIFF picture whose bits"),
     (tiff((1, 4), 12, 1, bytes(6), order=">"), "a TIFF picture whose bits"),
     (tiff((1, 4), 16, 0, bytes(8), order=">"), "a TIFF picture whose bits"),
     (tiff((2, 2), 8, 6, bytes([255, 76, 255, 76, 128, 128]) * 4, samples=3, more={SUBSAMPLING: [2, 2]}), "uncompressed YCbCr"),
     (tiff((1, 2), 8, 8, bytes(2), bytes(2), bytes(2), samples=3, more={PLANAR: [2]}), "3 planes"),
     (tiff((1, 1), 8, 2, *[b"\7"] * 4, samples=4, compression=DEFLATE, more={PLANAR: [2]}), "4 planes"),
     (png(4, 8, 3, bytes(4)), "the file is truncated"), (b"PyP 1 1 255\n\x07", "the file is truncated")],
)  # fmt: skip
def test_what_has_no_known_white_is_refused_and_named(data: bytes, words: str, tmp_path: Path):
    path = tmp_path / "x.tif"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        decode_image(path)
    assert caught.value.message.startswith(f"{path}: ") and words in caught.value.message
    assert caught.value.remedy


def test_a_jpeg_of_12_bits_is_refused(encode: Callable[..., bytes]):
    data = bytearray(encode(np.zeros((16, 16), np.uint8), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(DataError, match="x: "):
        decode_image(bytes(data), name="x")


def test_a_tile_that_is_far_larger_than_its_picture_is_refused_from_the_header():
    """It would be decoded whole: 100 x 100 pixels in a tile of 30,000 x 30,000."""
    tiles: dict[int, Any] = {TILE_WIDTH: [30_000], TILE_HEIGHT: [30_000], TILE_OFFSETS: [8], 325: [4]}
    with pytest.raises(DataError, match="tiles of more than 50,000,000 pixels"):
        decode_image(tiff((100, 100), 8, 1, b"\0" * 4, compression=DEFLATE, more=tiles), name="x")


# ---- one answer everywhere


def test_training_prediction_and_decoding_see_the_same_pixels(make_folder: Callable[..., Path]):
    """Each of the odd files, read by a data set and by a model, is what `decode_image` gives."""
    samples = np.arange(64 * 1023, step=1023, dtype="<u2").tobytes()
    odd = {
        "white_is_zero.tif": tiff((8, 8), 16, 0, samples),
        "twelve.tif": tiff((8, 8), 12, 1, packed_12([64 * k for k in range(64)])),
        "clear.png": png(8, 16, 0, *[samples[k : k + 16] for k in range(0, 128, 16)], chunks={b"tRNS": samples[2:4]}),
        "alpha.png": png(4, 16, 4, *[samples[k : k + 16] for k in range(0, 128, 16)]),
        "grey.pgm": b"P5 8 8 1023\n" + np.arange(64 * 16, step=16, dtype=">u2").tobytes(),
    }
    folder = make_folder({f"{name}/{file}": data for name in ("a", "b") for file, data in odd.items()})
    spec = ImageSpec(height=32, width=32, channels=1, mean=(0.5,), std=(0.5,), fit="stretch")
    source = open_data(folder)
    read = source.read("train", spec=spec)
    model = Model.of(
        torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()), input_size=32, fit="stretch"
    )

    np.testing.assert_array_equal(read.images, model.read(read.paths))
    assert source.channels == 1 and len(read) == 10
    for path, pixels in zip(read.paths, read.images, strict=True):
        np.testing.assert_array_equal(pixels, decode_image(Path(path).read_bytes(), spec))
