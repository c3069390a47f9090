"""Changing values: against Pillow, colorsys and NumPy."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from scipy.stats import kstest

from striate.data.augmentation.colours import (
    brightened,
    components_of,
    contrasted,
    equalized,
    grey_of,
    hue_turned,
    pca_levels,
    posterized,
    saturated,
    sharpened,
    shifted_values,
    solarized,
    stretched,
)
from striate.data.augmentation.draws import Draws, normals


def noise(count: int, channels: int = 3, height: int = 9, width: int = 13) -> np.ndarray:
    return np.random.default_rng(count + channels).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def pillow(change: Callable[[Image.Image], Image.Image], picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture if picture.shape[2] == 3 else picture[:, :, 0])
    return np.asarray(change(image)).reshape(picture.shape)


def factors(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.row("003-58")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (brightened, ImageEnhance.Brightness),
        (contrasted, ImageEnhance.Contrast),
        (saturated, ImageEnhance.Color),
        (sharpened, ImageEnhance.Sharpness),
    ],
)
def test_brightness_contrast_saturation_and_sharpness_are_pillows_within_one_grey_level(ours: Callable, theirs: Callable, channels: int):
    """Pillow cuts fractions off where we round; from black and white pictures nothing wraps around."""
    images = noise(6, channels)
    images[4] = np.where(images[4] > 127, 255, 0)
    strengths = (0.0, 0.3, 0.9, 1.4, 1.9, 2.7)
    expected = np.stack(
        [pillow(lambda image, f=f: theirs(image).enhance(f), picture) for f, picture in zip(strengths, images, strict=True)]
    )  # type: ignore[misc]

    got = ours(torch.from_numpy(images), factors(*strengths))

    assert got.dtype == torch.uint8
    # sharpening doubles the rounding of the smoothed picture
    assert np.abs(got.numpy().astype(int) - expected).max() <= (2 if ours is sharpened else 1)


@pytest.mark.parametrize("change", [brightened, contrasted, saturated, sharpened])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_factor_of_one_changes_nothing(change: Callable, channels: int):
    images = torch.from_numpy(noise(3, channels))
    assert torch.equal(change(images, factors(1, 1, 1)), images)


def test_blending_is_the_formula_rounded_half_up():
    """base + (v - base) f by hand: 100 * 0.5 = 50, 101 * 0.5 = 50.5 -> 51, 255 * 1.5 -> 255, with contrast about a mean of 100."""
    values = torch.tensor([100, 101, 255, 0], dtype=torch.uint8).view(1, 2, 2, 1)
    assert brightened(values, factors(0.5)).view(-1).tolist() == [50, 51, 128, 0]
    assert brightened(values, factors(1.5)).view(-1).tolist() == [150, 152, 255, 0]
    grey = torch.tensor([60, 140, 100, 100], dtype=torch.uint8).view(1, 2, 2, 1)
    assert contrasted(grey, factors(0.5)).view(-1).tolist() == [80, 120, 100, 100]
    assert contrasted(grey, factors(4.0)).view(-1).tolist() == [0, 255, 100, 100]


def test_grey_is_pillows_luma_of_three_channels_and_the_mean_of_others():
    images = noise(4)
    expected = np.stack([np.asarray(Image.fromarray(picture).convert("L")) for picture in images])
    np.testing.assert_array_equal(grey_of(torch.from_numpy(images))[..., 0], expected)
    two = torch.tensor([[10, 13], [255, 0], [7, 7]], dtype=torch.uint8).view(1, 1, 3, 2)
    assert grey_of(two).view(-1).tolist() == [12, 128, 7]  # rounded half up


@pytest.mark.row("003-58")
@pytest.mark.parametrize("turn", [-0.5, -0.1, 0.07, 1 / 3, 0.5])
def test_hues_turn_as_in_the_standard_library(turn: float):
    images = noise(2, height=5, width=6)
    expected = np.empty(images.shape)
    for place in np.ndindex(images.shape[:3]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(images[place] / 255))
        expected[place] = np.array(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)) * 255

    got = hue_turned(torch.from_numpy(images), factors(turn, turn))

    assert got.dtype == torch.uint8 and np.abs(got.numpy() - expected).max() <= 0.51


def test_turning_hues_by_a_third_rotates_the_channels_and_by_nothing_changes_nothing():
    images = torch.from_numpy(noise(2))
    assert torch.equal(hue_turned(images, factors(0, 0)), images)
    assert (hue_turned(images, factors(1 / 3, 1 / 3)).int() - images.roll(1, 3).int()).abs().max() <= 1
    grey = images[..., :1].expand(-1, -1, -1, 3)
    assert torch.equal(hue_turned(grey, factors(0.3, -0.2)), grey)
    assert torch.equal(hue_turned(images[..., :1], factors(0.3, -0.2)), images[..., :1])


def test_channels_shift_on_their_own_and_stop_at_the_ends():
    images = torch.tensor([[0, 128, 250], [5, 250, 3]], dtype=torch.uint8).view(1, 1, 2, 3)
    levels = torch.tensor([[-6.4, 9.5, 7.0]], dtype=torch.float64)
    assert shifted_values(images, levels).view(2, 3).tolist() == [[0, 138, 255], [0, 255, 10]]
    assert torch.equal(shifted_values(images, torch.zeros(1, 3).double()), images)


# ---- AlexNet's colours


@pytest.mark.row("003-58")
def test_components_are_those_of_numpys_covariance():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(300, 6, 7, 3)) * np.array([40, 12, 5])
    images = np.clip(120 + hidden @ np.linalg.qr(rng.normal(size=(3, 3)))[0], 0, 255).astype(np.uint8)
    values, vectors = np.linalg.eigh(np.cov(images.reshape(-1, 3).T / 255, bias=True))

    variances, directions = components_of(images)

    np.testing.assert_allclose(variances, values[::-1], rtol=1e-10)
    np.testing.assert_allclose(np.abs(directions.numpy() @ vectors[:, ::-1]), np.eye(3), atol=1e-9)
    assert (directions.numpy()[np.arange(3), directions.abs().argmax(1)] > 0).all()


@pytest.mark.row("003-58")
def test_colour_levels_are_normal_along_the_components():
    """255 sum_i p_i a_i l_i: along p_i the levels over 255 l_i are a_i, which is N(0, 0.1^2) and independent of the others."""
    images = noise(50, height=4, width=5)
    images[..., 1] //= 3
    components = components_of(images)
    levels = pca_levels(Draws(3, 1, torch.arange(5000)), components, 0.1)

    strengths = (levels @ components.directions.T / (255 * components.variances)).numpy()

    for place in range(3):
        assert kstest(strengths[:, place] / 0.1, "norm").pvalue > 1e-4
    assert np.abs(np.corrcoef(strengths.T) - np.eye(3)).max() < 0.06
    assert (pca_levels(Draws(3, 1, torch.arange(4)), components, 0.0) == 0).all()


def test_the_table_of_normal_numbers_has_their_moments():
    table = normals()
    assert abs(table.mean()) < 1e-12 and abs(table.var() - 1) < 1e-3 and abs((table**4).mean() - 3) < 0.02


# ---- the policy's


@pytest.mark.parametrize("channels", [1, 3])
def test_stretching_posterizing_and_solarizing_are_pillows(channels: int):
    images = noise(4, channels)
    images[1] = images[1] // 3 + 60
    images[2] = 9
    stretch = np.stack([pillow(ImageOps.autocontrast, picture) for picture in images])
    assert np.abs(stretched(torch.from_numpy(images)).numpy().astype(int) - stretch).max() <= 1
    for bits in (1, 2, 5, 8):
        expected = np.stack([pillow(lambda image, b=bits: ImageOps.posterize(image, b), picture) for picture in images])  # type: ignore[misc]
        np.testing.assert_array_equal(posterized(torch.from_numpy(images), torch.full((4,), bits)), expected)
    for threshold in (0, 100, 255, 256):
        expected = np.stack([pillow(lambda image, t=threshold: ImageOps.solarize(image, t), picture) for picture in images])  # type: ignore[misc]
        np.testing.assert_array_equal(solarized(torch.from_numpy(images), torch.full((4,), threshold)), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_equalizing_is_pillows(channels: int):
    images = noise(4, channels, 40, 30)
    images[1] = images[1] // 5 + 60
    images[2] = 9
    images[3, 3:] = 250
    expected = np.stack([pillow(ImageOps.equalize, picture) for picture in images])
    np.testing.assert_array_equal(equalized(torch.from_numpy(images)), expected)


def test_sharpening_leaves_pictures_without_an_inside_alone():
    images = torch.from_numpy(noise(2, height=2, width=7))
    assert torch.equal(sharpened(images, factors(0, 2)), images)
