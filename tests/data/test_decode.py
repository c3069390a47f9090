"""One decoder: every kind of picture comes out upright, with 8 bits, over white; what is damaged is refused by name."""

from __future__ import annotations

import io
import os
import resource
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from striate.core import memory
from striate.core.errors import DataError, EnvironmentFault
from striate.core.images import ImageSpec
from striate.core.memory import MemoryShare
from striate.data import decode
from striate.data.decode import decode_image, picture_header

Pixels = Callable[..., np.ndarray]
Encode = Callable[..., bytes]


def spec(height: int, width: int, channels: int = 3, fit: Any = "stretch") -> ImageSpec:
    return ImageSpec(height=height, width=width, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels, fit=fit)


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`colour` (h, w, c) of `alpha` (h, w) in 0..255 over white, by the plain formula."""
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


def png(height: int, width: int, depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand; `rows` holds the filter byte and the samples of each row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    more = b"".join(chunk(*one) for one in chunks)
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# ---- kinds of pictures


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_the_very_pixels(kind: str, picture: Pixels, encode: Encode):
    pixels = picture(13, 21)
    decoded = decode_image(encode(pixels, kind))
    np.testing.assert_array_equal(decoded, pixels)
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {"quality": 95}), ("JPEG", {"quality": 95, "progressive": True}), ("WEBP", {"quality": 95}), ("WEBP", {"lossless": True})],
)
def test_lossy_formats_give_nearly_the_pixels(kind: str, options: dict[str, Any], picture: Pixels, encode: Encode):
    pixels = picture(13, 21)
    decoded = decode_image(encode(pixels, kind, **options))
    assert decoded.shape == (13, 21, 3)
    assert np.abs(decoded.astype(int) - pixels).mean() < 3


def test_a_file_a_text_path_and_its_bytes_give_the_same_pixels(tmp_path: Path, picture: Pixels, encode: Encode):
    data = encode(picture(9, 11), "JPEG")
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    expected = decode_image(data)
    np.testing.assert_array_equal(decode_image(path), expected)
    np.testing.assert_array_equal(decode_image(str(path)), expected)


@pytest.mark.parametrize("dtype", [">u2", "<u2"])
def test_grey_of_16_bits_is_divided_by_257_and_not_clipped(dtype: str, encode: Encode):
    """By hand: 0, 128, 129, 257, 32768, 65407, 65408, 65535 over 257 are 0, 0.498, 0.502, 1, 127.502, 254.502, 254.506, 255."""
    values = np.array([[0, 128, 129, 257], [32768, 65406, 65407, 65535]], np.uint16)
    data = png(2, 4, 16, 0, b"".join(b"\0" + row.astype(">u2").tobytes() for row in values))
    if dtype == "<u2":
        data = encode(Image.fromarray(values), "TIFF")

    decoded = decode_image(data)

    assert decoded.shape == (2, 4, 1)
    np.testing.assert_array_equal(decoded[..., 0], [[0, 0, 1, 1], [128, 254, 255, 255]])


def test_a_dark_picture_of_16_bits_stays_dark(encode: Encode):
    """What a picture becomes must not depend on the largest value that it happens to hold."""
    for data in (encode(Image.fromarray(np.full((3, 5), 200, np.uint16))), b"P5 5 3 65535\n" + b"\x00\xc8" * 15):
        np.testing.assert_array_equal(decode_image(data), np.full((3, 5, 1), 1))  # 200 / 257 = 0.78


def test_colours_of_16_bits_keep_their_upper_8():
    samples = np.array([[[0, 255, 256], [40000, 65535, 511]]], ">u2")
    decoded = decode_image(png(1, 2, 16, 2, b"\0" + samples.tobytes()))
    assert np.abs(decoded.astype(float) - samples.astype(float) / 257).max() <= 1


@pytest.mark.parametrize("kind", ["I", "F"])
def test_grey_of_32_bits_has_no_known_range_and_is_refused(kind: str, encode: Encode):
    data = encode(Image.fromarray(np.full((2, 3), 7, np.int32 if kind == "I" else np.float32)), "TIFF")
    with pytest.raises(DataError, match="32 bits") as caught:
        decode_image(data, name="x.tif")
    assert caught.value.message.startswith("x.tif: ")
    assert "8 or 16 bits" in caught.value.remedy


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_is_laid_over_white(kind: str, picture: Pixels, encode: Encode):
    alpha = np.linspace(0, 255, 9 * 12).round().reshape(9, 12).astype(np.uint8)
    pixels = np.dstack([picture(9, 12), alpha])
    decoded = decode_image(encode(pixels, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {})))
    assert np.abs(decoded - over_white(pixels[..., :3], alpha)).max() <= 2


def test_grey_with_transparency_stays_grey(encode: Encode):
    grey, alpha = np.arange(0, 120, 10, np.uint8).reshape(3, 4), np.arange(0, 240, 20, np.uint8).reshape(3, 4)
    decoded = decode_image(encode(Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])))
    assert decoded.shape == (3, 4, 1)
    assert np.abs(decoded - over_white(grey[..., None], alpha)).max() <= 2


def test_one_grey_value_called_transparent_becomes_white(encode: Encode):
    grey = np.array([[0, 50, 100], [100, 150, 200]], np.uint8)
    decoded = decode_image(encode(Image.fromarray(grey), transparency=100))
    np.testing.assert_array_equal(decoded, np.array([[0, 50, 255], [255, 150, 200]])[..., None])


def test_a_palette_with_transparency_is_laid_over_white(encode: Encode):
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    decoded = decode_image(encode(image, transparency=bytes([255, 0, 128])))
    red, nothing, half_blue = (255, 0, 0), (255, 255, 255), (127, 127, 255)
    assert np.abs(decoded.astype(int) - [[red, nothing, half_blue], [half_blue, nothing, red]]).max() <= 2


def test_black_and_white_of_one_bit_is_grey_of_0_and_255(encode: Encode):
    bits = np.array([[1, 0, 1], [0, 0, 1]], bool)
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        np.testing.assert_array_equal(decode_image(encode(Image.fromarray(bits), kind))[..., 0], bits * 255)


def test_printers_colours_become_light(encode: Encode):
    """JPEG as Adobe writes CMYK: (1 - c)(1 - k) of each colour."""
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:, :, 0], inks[:, :, 3] = 200, 40
    decoded = decode_image(
        encode(
            Image.fromarray(inks, "CMYK") if False else Image.merge("CMYK", [Image.fromarray(inks[..., k]) for k in range(4)]),
            "JPEG",
            quality=98,
        )
    )
    expected = (255 - inks[0, 0, :3].astype(float)) * (255 - 40) / 255
    assert np.abs(decoded - expected).max() <= 3


def test_an_animation_and_a_file_of_pages_give_their_first_picture(encode: Encode):
    first, second = (Image.fromarray(np.full((6, 9, 3), shade, np.uint8)) for shade in (40, 200))
    for kind in ("GIF", "WEBP", "PNG", "TIFF", "JPEG"):
        data = encode(first, "MPO" if kind == "JPEG" else kind, save_all=True, append_images=[second])
        assert np.abs(decode_image(data).astype(int) - 40).max() <= 2, kind


# ---- orientation


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(orientation: int, kind: str, picture: Pixels, encode: Encode):
    """The stored rows and columns, by EXIF's table of where row 0 and column 0 are, in plain NumPy."""
    upright = picture(24, 40)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(np.ascontiguousarray(stored), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))

    decoded = decode_image(data)

    assert decoded.shape == (24, 40, 3)
    assert np.abs(decoded.astype(int) - upright).max() <= (12 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_leaves_the_picture(orientation: int, picture: Pixels, encode: Encode):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = picture(5, 8)
    np.testing.assert_array_equal(decode_image(encode(pixels, exif=exif)), pixels)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12"]
)
def test_broken_exif_leaves_the_picture(exif: bytes, picture: Pixels, encode: Encode):
    pixels = picture(16, 24)
    data = encode(pixels, "JPEG")
    broken = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    np.testing.assert_array_equal(decode_image(broken), decode_image(data))


# ---- what is refused


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_file_cut_short_is_refused_and_named(kind: str, tmp_path: Path, picture: Pixels, encode: Encode):
    """Cut at 20 places."""
    pixels = picture(60, 90) + np.random.default_rng(0).integers(0, 20, (60, 90, 3)).astype(np.uint8)
    data = encode(pixels if kind != "GIF" else Image.fromarray(pixels).quantize(64), kind)
    path = tmp_path / f"cut.{kind.lower()}"
    for part in range(20):
        path.write_bytes(data[: len(data) * part // 20])
        with pytest.raises(DataError) as caught:
            decode_image(path)
        assert caught.value.exit_code == 3
        assert caught.value.message.startswith(f"{path}: ")
        assert "Remove or repair the file" in caught.value.remedy


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"hello, not a picture", b"<html><body>404</body></html>", b"<svg xmlns='x'/>", b"%PDF-1.4", b"PK\x03\x04",
     b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", b"8BPS\0\1", b"DDS ", b"BLP2", b"\x80\x04\x95", b"\0" * 1000],
)  # fmt: skip
def test_what_is_no_picture_is_refused_whatever_its_ending(content: bytes, tmp_path: Path):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        decode_image(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert caught.value.remedy


def test_formats_outside_the_list_are_refused(picture: Pixels, encode: Encode):
    for kind in ("ICO", "TGA", "PCX", "SGI", "JPEG2000", "EPS", "PDF", "DDS"):
        with pytest.raises(DataError, match=r"not a picture of a known format \(JPEG, PNG, WEBP"):
            decode_image(encode(picture(16, 16), kind), name="x.png")


def test_content_decides_and_not_the_ending(tmp_path: Path, picture: Pixels, encode: Encode):
    path = tmp_path / "really_png.jpg"
    path.write_bytes(encode(picture(4, 6)))
    np.testing.assert_array_equal(decode_image(path), picture(4, 6))


def test_bytes_without_a_name_have_a_readable_error():
    with pytest.raises(DataError) as caught:
        decode_image(b"\xff\xd8\xff garbage")
    assert "\\x" not in caught.value.message


@pytest.mark.parametrize(("height", "width"), [(12_000, 12_000), (60_000, 60_000), (1, 1_000_000), (31_000, 2), (7072, 7072)])
def test_a_bomb_is_refused_from_its_header(height: int, width: int, tmp_path: Path):
    """A few kilobytes that would decode to gigabytes: refused before memory is spent."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png(height, width, 8, 2, b"\0" * 1_000_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=r"more than 50,000,000( pixels)? in total") as caught:
        decode_image(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB
    assert caught.value.message.startswith(f"{path}: ")
    assert caught.value.remedy == "Scale the picture down."
    if height * width < 89_000_000:  # beyond that Pillow refuses by itself, without its size
        assert f"{width} x {height} pixels" in caught.value.message and "30,000 per side" in caught.value.message


def test_the_largest_sides_are_read():
    decoded = decode_image(png(2, 30_000, 8, 0, (b"\0" + b"\x07" * 30_000) * 2))
    assert decoded.shape == (2, 30_000, 1) and (decoded == 7).all()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_pipe_called_x_jpg_does_not_block(tmp_path: Path):
    path = tmp_path / "x.jpg"
    os.mkfifo(path)
    errors: list[DataError] = []

    def attempt() -> None:
        try:
            decode_image(path)
        except DataError as error:
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert errors[0].message == f"{path}: not a regular file"


def test_folders_missing_files_and_dangling_links_are_named(tmp_path: Path):
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    for name in ("folder.jpg", "dangling.jpg", "loop.jpg", "missing.jpg", "x" * 300 + ".jpg"):
        with pytest.raises(DataError) as caught:
            decode_image(tmp_path / name)
        assert caught.value.message.startswith(f"{tmp_path / name}: ")


def test_pictures_that_need_much_memory_are_decoded_one_after_the_other(encode: Encode, monkeypatch: pytest.MonkeyPatch):
    """A share of the memory that has room for two of the four: no more are being decoded at once."""
    monkeypatch.setattr(decode, "_memory", MemoryShare(1.0, at_least=1))
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 2 * 60 * 70 * 27)
    inside, most, lock, data = [0], [0], threading.Lock(), encode(np.zeros((60, 70, 3), np.uint8), "WEBP")
    two = threading.Barrier(2, timeout=60)
    as_before = decode._flat

    def watched(image: Image.Image, file: Any) -> Image.Image:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        two.wait()
        flat = as_before(image, file)
        with lock:
            inside[0] -= 1
        return flat

    monkeypatch.setattr(decode, "_flat", watched)
    with ThreadPoolExecutor(8) as pool:
        assert {decoded.shape for decoded in pool.map(decode_image, [data] * 8)} == {(60, 70, 3)}
    assert most == [2]


def test_a_picture_that_does_not_fit_into_memory_is_named_with_its_size(encode: Encode, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decode, "_memory", MemoryShare(1.0, at_least=1))
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 2**20)
    with pytest.raises(EnvironmentFault, match=r"x\.png: 600 x 500 pixels: 6 MiB are needed, and 1 MiB are free") as caught:
        decode_image(encode(np.zeros((500, 600, 3), np.uint8)), name="x.png")
    assert "Scale the picture down" in caught.value.remedy


def test_odd_metadata_warns_nobody_and_filters_stay_as_they_were(picture: Pixels, encode: Encode):
    """Warnings are errors in these tests; eight threads at once must leave the filters alone."""
    palette = Image.fromarray(picture(6, 8)).quantize(8)
    data = encode(palette, transparency=bytes(range(8)))  # Pillow warns when such a palette is turned into RGB
    filters = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode_image(data) for _ in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == filters


def test_pillows_warnings_are_silent_until_the_last_thread_has_left():
    def warn() -> None:
        warnings.warn_explicit("odd metadata", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin")

    with decode._silence:
        with decode._silence:
            warn()
        warn()
        with pytest.raises(UserWarning):  # only Pillow's
            warnings.warn("mine", stacklevel=1)
    with pytest.raises(UserWarning):
        warn()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_flipped_bits_give_a_picture_or_a_named_error_and_nothing_else(kind: str, picture: Pixels, encode: Encode):
    rng = np.random.default_rng(3)
    refusals = []
    data = encode(picture(19, 23) if kind != "GIF" else Image.fromarray(picture(19, 23)).quantize(16), kind)
    for _ in range(60):
        changed = np.frombuffer(data, np.uint8).copy()
        places = rng.integers(0, min(len(data), rng.choice([64, len(data)])), 4)
        changed[places] ^= (1 << rng.integers(0, 8, 4)).astype(np.uint8)
        try:
            decoded = decode_image(changed.tobytes(), name="changed")
        except DataError as error:
            refusals.append(error)
        else:
            assert decoded.dtype == np.uint8 and decoded.ndim == 3 and decoded.shape[2] in (1, 3)
    assert all(error.message.startswith("changed: ") and error.remedy for error in refusals)


def test_a_colour_picture_for_a_grey_model_is_refused_and_named(tmp_path: Path, picture: Pixels, encode: Encode):
    path = tmp_path / "colour.png"
    path.write_bytes(encode(picture(5, 8)))
    with pytest.raises(DataError, match="3 channels") as caught:
        decode_image(path, spec(5, 8, 1))
    assert caught.value.message.startswith(f"{path}: ")
    assert caught.value.remedy


# ---- the size of a spec


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_is_turned_upright_before_it_is_fitted(fit: str, orientation: int, picture: Pixels, encode: Encode):
    """Pillow's own turn and resize of the decoded picture, with the crop and the padding by hand."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(picture(30, 50), exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    height, width = upright.height, upright.width  # 30 x 50, or 50 x 30

    decoded = decode_image(data, spec(20, 20, fit=fit))

    if fit == "stretch":
        expected = np.asarray(upright.resize((20, 20), Image.Resampling.BILINEAR))
    elif fit == "crop":
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
        expected = np.asarray(upright.resize((20, 20), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)))
    else:
        scale = 20 / max(height, width)
        inner = np.asarray(upright.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR))
        expected = np.zeros((20, 20, 3), np.uint8)
        top, left = (20 - inner.shape[0]) // 2, (20 - inner.shape[1]) // 2
        expected[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    assert np.abs(decoded.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("fit", "channels"), [("crop", 3), ("pad", 3), ("stretch", 3), ("crop", 1)])
def test_a_large_jpeg_that_is_decoded_at_a_part_of_its_size_looks_the_same(fit: str, channels: int, picture: Pixels, encode: Encode):
    """Against the whole picture, scaled down."""
    pixels = picture(600, 900) if channels == 3 else picture(600, 900)[..., 0]
    data = encode(np.ascontiguousarray(pixels), "JPEG", quality=95)
    wanted = spec(60, 50, channels, fit)

    decoded = decode_image(data, wanted)

    expected = decode.fit_image(decode_image(data), wanted)
    assert decoded.shape == (60, 50, channels)
    assert np.abs(decoded.astype(int) - expected).mean() < 1


def test_a_large_jpeg_that_is_cut_short_is_refused_at_a_part_of_its_size_too(picture: Pixels, encode: Encode):
    data = encode(picture(600, 900), "JPEG")
    for part in range(1, 20):
        with pytest.raises(DataError, match="cut: "):
            decode_image(data[: len(data) * part // 20], spec(40, 60), name="cut")


def test_limits_are_those_that_are_documented():
    assert (decode.MAX_PIXELS, decode.MAX_SIDE) == (50_000_000, 30_000)


# ---- what is drawn in white on nothing


def strokes(colour: int) -> Image.Image:
    """A bar of one grey on transparent ground, with smooth edges: (6, 8)."""
    alpha = np.zeros((6, 8), np.uint8)
    alpha[1:5, 3:5], alpha[1:5, 2] = 255, 100
    return Image.merge("RGBA", [Image.new("L", (8, 6), colour)] * 3 + [Image.fromarray(alpha)])


@pytest.mark.parametrize("colour", [255, 250])
def test_white_strokes_on_transparent_ground_are_put_on_black(colour: int, encode: Encode):
    """Over black, a colour of opacity a is a times itself."""
    picture = strokes(colour)
    expected = np.rint(np.asarray(picture.getchannel("A")) / 255 * colour)
    decoded = decode_image(encode(picture)).astype(int)
    assert np.abs(decoded - expected[..., None]).max() <= 1


@pytest.mark.parametrize("colour", [0, 128, 230])
def test_other_strokes_stay_on_white(colour: int, encode: Encode):
    assert decode_image(encode(strokes(colour)))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("alpha", [0, 255])
def test_white_of_one_opacity_stays_white(alpha: int, encode: Encode):
    assert (decode_image(encode(Image.new("RGBA", (8, 6), (255, 255, 255, alpha)))) == 255).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_white_strokes_on_a_grey_called_transparent_are_put_on_black(bits: int, encode: Encode):
    grey = np.zeros((6, 8), np.uint8 if bits == 8 else np.uint16)
    grey[1:5, 3:5] = 2**bits - 1
    decoded = decode_image(encode(Image.fromarray(grey), transparency=0))
    np.testing.assert_array_equal(decoded[..., 0], np.where(grey, 255, 0))


# ---- HEIC, by pillow-heif


@pytest.fixture
def heic() -> Callable[..., bytes]:
    """`heic(*images, **options)`: the bytes of a HEIC file."""
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    pillow_heif.register_heif_opener()

    def encoded(first: Image.Image, *others: Image.Image, **options: Any) -> bytes:
        file = io.BytesIO()
        first.save(file, "HEIF", quality=-1, chroma=444, save_all=True, append_images=others, **options)
        return file.getvalue()

    return encoded


def test_a_heic_picture_is_decoded_upright_and_its_first_frame_is_read(heic, picture, tmp_path):
    """Orientation 6 turns the picture to the right, as EXIF has it; of two pictures in a file the first counts, which is said."""
    image, exif = Image.fromarray(picture(24, 40)), Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.heic"
    path.write_bytes(heic(image, exif=exif.tobytes()))
    np.testing.assert_allclose(decode_image(path), np.rot90(picture(24, 40), -1), atol=6)
    header = picture_header(path)
    assert (header.height, header.width, header.channels, header.frames) == (40, 24, 3, False)

    path.write_bytes(heic(Image.fromarray(picture(24, 40)), Image.new("RGB", (40, 24))))
    np.testing.assert_allclose(decode_image(path), picture(24, 40), atol=6)
    assert picture_header(path).frames


def test_a_heic_picture_that_is_too_large_or_damaged_is_refused(heic, picture, tmp_path, monkeypatch):
    data = heic(Image.fromarray(picture(24, 40)))
    for wrong in (data[: len(data) // 2], data[:200] + bytes(len(data) - 200)):
        with pytest.raises(DataError, match=r"cannot be read as a picture|not a picture"):
            decode_image(wrong)
    monkeypatch.setattr(decode, "MAX_PIXELS", 24 * 40 - 1)
    with pytest.raises(DataError, match=r"40 x 24 pixels is more than 959 in total"):
        decode_image(data)
