"""Crop, pad and stretch, each against a plain statement of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from striate.core.errors import DataError
from striate.core.images import Fit, ImageSpec
from striate.data import fitting
from striate.data.fitting import fit_image, fit_images


def spec_of(height: int, width: int, channels: int, fit: Fit) -> ImageSpec:
    return ImageSpec(height=height, width=width, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels, fit=fit)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


def scaled_line(line: np.ndarray, start: float, stop: float, count: int) -> np.ndarray:
    """`line` (n, ...) from `start` to `stop` at `count` places: a mean with weights that fall off as a triangle, one place by one."""
    step = (stop - start) / count
    radius = max(step, 1.0)
    values = []
    for place in range(count):
        centre = start + (place + 0.5) * step
        first, last = max(0, math.floor(centre - radius)), min(len(line), math.ceil(centre + radius))
        weights = np.array([max(0.0, 1 - abs(k + 0.5 - centre) / radius) for k in range(first, last)])
        values.append(np.tensordot(weights / weights.sum(), line[first:last].astype(float), 1))
    return np.stack(values)


def scaled(pixels: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]) -> np.ndarray:
    """The part (left, top, right, bottom) of `pixels` (h, w, c) at `size` (height, width)."""
    left, top, right, bottom = box
    across = scaled_line(pixels.transpose(1, 0, 2), left, right, size[1]).transpose(1, 0, 2)  # (h, width, c)
    return scaled_line(across, top, bottom, size[0])


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize(("size", "target"), [((20, 33), (9, 14)), ((7, 5), (18, 11)), ((30, 6), (10, 40))])
def test_stretch_scales_each_side_by_itself(size: tuple[int, int], target: tuple[int, int], channels: int):
    pixels = noise(*size, channels)
    fitted = fit_image(pixels, spec_of(*target, channels, "stretch"))
    np.testing.assert_allclose(fitted, scaled(pixels, target, (0, 0, size[1], size[0])), atol=1.01)


@pytest.mark.parametrize(
    ("size", "target", "box"),
    [
        ((20, 50), (10, 12), (13, 0, 37, 20)),  # 12 of 25 columns of the half-size picture, from the middle
        ((60, 24), (12, 12), (0, 18, 24, 42)),
        ((8, 9), (16, 16), (0.5, 0, 8.5, 8)),  # enlarged; half a column is lost on both sides
    ],
)
def test_crop_takes_the_largest_centred_part_of_the_wanted_proportions(
    size: tuple[int, int], target: tuple[int, int], box: tuple[float, ...]
):
    pixels = noise(*size, 3)
    fitted = fit_image(pixels, spec_of(*target, 3, "crop"))
    np.testing.assert_allclose(fitted, scaled(pixels, target, box), atol=1.01)  # type: ignore[arg-type]


def test_crop_without_scaling_cuts_the_very_pixels_out():
    pixels = noise(12, 17, 3)
    assert np.array_equal(fit_image(pixels, spec_of(12, 10, 3, "crop")), pixels[:, 3:13])


def test_pad_scales_the_longer_side_and_centres_on_black():
    pixels = noise(40, 20, 3)
    fitted = fit_image(pixels, spec_of(16, 18, 3, "pad"))
    np.testing.assert_allclose(fitted[:, 5:13], scaled(pixels, (16, 8), (0, 0, 20, 40)), atol=1.01)
    assert not fitted[:, :5].any() and not fitted[:, 13:].any()


@pytest.mark.parametrize(("size", "top", "left"), [((28, 28), 2, 2), ((27, 30), 2, 1), ((32, 26), 0, 3)])
def test_pad_keeps_the_pixels_of_pictures_that_are_a_little_smaller(size: tuple[int, int], top: int, left: int):
    """28 x 28 in the middle of 32 x 32, as LeCun et al. (1998) feed their digits to LeNet-5."""
    pixels = noise(*size, 1)
    expected = np.zeros((32, 32, 1), np.uint8)
    for row in range(size[0]):
        for column in range(size[1]):
            expected[top + row, left + column] = pixels[row, column]
    assert np.array_equal(fit_image(pixels, spec_of(32, 32, 1, "pad")), expected)


def test_pad_enlarges_pictures_that_are_much_smaller():
    fitted = fit_image(np.full((8, 8, 1), 90, np.uint8), spec_of(24, 32, 1, "pad"))
    assert (fitted[:, 4:28] == 90).all() and not fitted[:, :4].any() and not fitted[:, 28:].any()


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 2), (3, 700)])
def test_pictures_of_any_proportions_become_the_wanted_size(size: tuple[int, int], fit: Fit):
    fitted = fit_image(np.full((*size, 3), 200, np.uint8), spec_of(48, 64, 3, fit))
    assert fitted.shape == (48, 64, 3)
    assert set(np.unique(fitted)) <= ({0, 200} if fit == "pad" else {200})


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_a_picture_of_the_right_size_stays_as_it_is(fit: Fit):
    pixels = noise(9, 14, 3)
    assert np.array_equal(fit_image(pixels, spec_of(9, 14, 3, fit)), pixels)


def test_a_grey_picture_is_repeated_over_the_channels():
    pixels = noise(9, 14, 1)
    fitted = fit_image(pixels, spec_of(9, 14, 3, "crop"))
    assert fitted.shape == (9, 14, 3)
    assert all(np.array_equal(fitted[..., channel], pixels[..., 0]) for channel in range(3))


def test_a_grey_picture_saved_in_colour_is_taken_by_a_grey_model():
    pixels = noise(9, 14, 1)
    assert np.array_equal(fit_image(np.repeat(pixels, 3, axis=2), spec_of(9, 14, 1, "crop")), pixels)


@pytest.mark.parametrize(("found", "wanted"), [(3, 1), (4, 3), (2, 3), (3, 4)])
def test_other_channels_are_refused(found: int, wanted: int):
    with pytest.raises(DataError, match=f"has {found} channels, the model takes {wanted}") as caught:
        fit_image(noise(9, 14, found), spec_of(9, 14, wanted, "crop"))
    assert caught.value.remedy == "Convert the picture, or use a model trained on such pictures."


@pytest.mark.parametrize("in_threads", [False, True])
@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_many_pictures_are_fitted_as_each_alone(fit: Fit, in_threads: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fitting, "SMALL", 0 if in_threads else 10_000)
    monkeypatch.setattr(fitting, "CHUNK", 8)
    images = noise(30, 9, 14, 1)
    spec = spec_of(11, 8, 3, fit)
    fitted = fit_images(images, spec)
    assert fitted.shape == (30, 11, 8, 3)
    assert all(np.array_equal(fitted[k], fit_image(images[k], spec)) for k in range(30))


def test_pictures_that_fit_already_are_not_copied():
    images = noise(4, 9, 14, 1)
    assert fit_images(images, None) is images
    assert fit_images(images, spec_of(9, 14, 1, "crop")) is images


@pytest.mark.parametrize(("size", "unscaled"), [(28, True), (30, True), (35, True), (36, False), (56, False)])
def test_a_quarter_more_is_padded_and_beyond_is_scaled(size: int, unscaled: bool):
    pixels = np.random.default_rng(1).integers(1, 256, (28, 28, 1), dtype=np.uint8)
    got = fit_image(pixels, spec_of(size, size, 1, "pad"))
    edge = (size - 28) // 2
    assert got.shape == (size, size, 1)
    assert np.array_equal(got[edge : edge + 28, edge : edge + 28], pixels) == unscaled
    assert (np.count_nonzero(got) == 28 * 28) == unscaled


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 5, 1), (4, 0, 3)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_picture_without_pixels_is_refused(shape: tuple[int, ...], fit: Fit):
    spec = spec_of(6, 9, 3, fit)
    with pytest.raises(DataError, match=rf"a picture of {shape[1]} x {shape[0]} pixels is empty"):
        fit_image(np.zeros(shape, np.uint8), spec)
