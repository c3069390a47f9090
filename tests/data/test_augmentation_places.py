"""Moving pixels: against SciPy, Pillow and plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import affine_transform, convolve1d, map_coordinates, rotate
from scipy.stats import chisquare, kstest

from striate.data.augmentation import places
from striate.data.augmentation.draws import Draw, Draws
from striate.data.augmentation.places import (
    FINE,
    elastic_field,
    matrices_of,
    moved,
    random_moves,
    random_windows,
    resized_windows,
    sampled,
)

SIZE = (11, 15)


def noise(count: int, height: int = 11, width: int = 15, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(channels + count).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def some(count: int, seed: int = 1, epoch: int = 2) -> Draws:
    return Draws(seed, epoch, torch.arange(count))


def still(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.eye(2, dtype=torch.float64).repeat(count, 1, 1), torch.zeros(count, 2, dtype=torch.float64)


@pytest.mark.row("003-58")
@pytest.mark.parametrize("mode", ["zero", "reflect"])
@pytest.mark.parametrize("channels", [1, 3])
def test_moves_are_scipys_affine_transform_within_one_grey_level(mode: Any, channels: int):
    """SciPy in float64 on a border of zeros (it cuts at the first pixel's middle where we fade out) or of the mirrored picture."""
    rng = np.random.default_rng(5)
    images = noise(6, channels=channels)
    matrices, offsets = np.eye(2) + rng.uniform(-0.5, 0.5, (6, 2, 2)), rng.uniform(-4, 4, (6, 2))
    pad = 20
    padded = np.pad(images.astype(float), ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="constant" if mode == "zero" else "reflect")
    centre = (np.array(SIZE) - 1) / 2
    expected = np.empty(images.shape)
    for n in range(6):
        start = centre - matrices[n] @ centre + offsets[n] + pad
        for c in range(channels):
            expected[n, :, :, c] = affine_transform(padded[n, :, :, c], matrices[n], start, SIZE, order=1)

    got = moved(torch.from_numpy(images), torch.from_numpy(matrices), torch.from_numpy(offsets), mode)

    assert got.dtype == torch.uint8 and got.shape == images.shape
    assert np.abs(got.numpy() - expected).max() <= 1
    assert np.abs(got.numpy() - expected).mean() < 0.3  # a quarter is what rounding alone makes


@pytest.mark.row("003-58")
@pytest.mark.parametrize("degrees", [-30.0, 10.0, 90.0])
def test_a_turn_is_scipys_rotation_counter_clockwise(degrees: float):
    """On a square picture, and away from its border, where SciPy cuts."""
    images = noise(2, 13, 13)
    angle = torch.full((2,), math.radians(degrees), dtype=torch.float64)
    zeros = torch.zeros(2, dtype=torch.float64)
    expected = rotate(images.astype(float), degrees, axes=(1, 2), reshape=False, order=1)
    rows, columns = np.mgrid[-6:7, -6:7]
    inside = rows**2 + columns**2 <= 25

    got = moved(torch.from_numpy(images), matrices_of(angle.cos(), angle.sin(), zeros, zeros), torch.zeros(2, 2).double(), "zero")

    assert np.abs(got.numpy() - expected)[:, inside].max() <= 1


def test_a_turn_and_leans_together_are_the_product_of_their_matrices():
    """R S, with the turn outside: [[cos, sin], [-sin, cos]] [[1, down], [right, 1]]."""
    angle, right, down = np.random.default_rng(2).uniform(-1, 1, (3, 6))
    for n, got in enumerate(matrices_of(*map(torch.from_numpy, (np.cos(angle), np.sin(angle), right, down)))):
        turn = np.array([[np.cos(angle[n]), np.sin(angle[n])], [-np.sin(angle[n]), np.cos(angle[n])]])
        np.testing.assert_allclose(got, turn @ np.array([[1, down[n]], [right[n], 1]]), atol=1e-12)


def test_a_turn_by_90_degrees_and_a_shift_by_whole_pixels_move_pixels_as_they_are():
    images = noise(3, 9, 9)
    ones, zeros = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    quarter = moved(torch.from_numpy(images), matrices_of(zeros, ones, zeros, zeros), torch.zeros(3, 2).double(), "zero")
    np.testing.assert_array_equal(quarter, np.rot90(images, axes=(1, 2)))
    matrices, offsets = still(3)
    offsets[:, 0], offsets[:, 1] = 2, -3  # from two rows below, three columns to the left
    expected = np.zeros_like(images)
    expected[:, :-2, 3:] = images[:, 2:, :-3]
    np.testing.assert_array_equal(moved(torch.from_numpy(images), matrices, offsets, "zero"), expected)


@pytest.mark.parametrize("mode", ["zero", "reflect"])
def test_standing_still_changes_nothing(mode: Any):
    images = torch.from_numpy(noise(4))
    assert torch.equal(moved(images, *still(4), mode), images)
    assert torch.equal(moved(images, *random_moves(some(4), SIZE, rotation=0, shear=0, shift=0), mode), images)
    whole = torch.tensor([0] * 4), torch.tensor([0] * 4), torch.tensor([SIZE[0]] * 4), torch.tensor([SIZE[1]] * 4)
    assert torch.equal(resized_windows(images, *whole), images)


def test_black_and_white_stay_so_and_nothing_wraps_around():
    images = torch.full((2, *SIZE, 1), 255, dtype=torch.uint8)
    rows = torch.randint(0, 10 * FINE, (2, *SIZE), generator=torch.Generator().manual_seed(0))
    columns = torch.randint(0, 14 * FINE, (2, *SIZE), generator=torch.Generator().manual_seed(1))
    assert (sampled(images, rows, columns, "zero") == 255).all()
    assert (sampled(images * 0, rows, columns, "reflect") == 0).all()


@pytest.mark.parametrize("outside", ["zero", "reflect", "edge"])
def test_what_lies_outside_is_as_numpy_pads_it(outside: Any):
    images = noise(2, 4, 3)
    padded = np.pad(images, ((0, 0), (9, 9), (9, 9), (0, 0)), mode={"zero": "constant", "reflect": "reflect", "edge": "edge"}[outside])
    rows, columns = torch.arange(-9, 13)[None, :, None] * FINE, torch.arange(-9, 12)[None, None, :] * FINE
    np.testing.assert_array_equal(sampled(torch.from_numpy(images), rows, columns, outside), padded)
    one = noise(2, 1, 1)
    expected = np.zeros((2, 5, 5, 3)) if outside == "zero" else np.broadcast_to(one, (2, 5, 5, 3)).copy()
    expected[:, 2, 2] = one[:, 0, 0]
    around = torch.arange(-2, 3)
    np.testing.assert_array_equal(
        sampled(torch.from_numpy(one), around[None, :, None] * FINE, around[None, None, :] * FINE, outside), expected
    )


@pytest.mark.row("003-58")
def test_a_window_is_resized_as_pillow_does_it():
    """Pillow's bilinear transform of the window alone; enlarging only, where no pixels are averaged."""
    images = noise(5)
    top, left = torch.tensor([0, 2, 3, 5, 10]), torch.tensor([0, 1, 7, 3, 14])
    tall, wide = torch.tensor([11, 6, 8, 3, 1]), torch.tensor([9, 14, 5, 2, 1])
    expected = []
    for n in range(5):
        window = images[n, top[n] : top[n] + tall[n], left[n] : left[n] + wide[n]]
        expected.append(np.asarray(Image.fromarray(window).resize((15, 11), Image.Resampling.BILINEAR)))

    got = resized_windows(torch.from_numpy(images), top, left, tall, wide)

    assert np.abs(got.numpy().astype(int) - np.stack(expected)).max() <= 1
    assert (got.numpy()[4] == images[4, 10, 14]).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_large_pictures_are_sampled_in_parts_to_the_bits_of_the_whole(channels: int, monkeypatch: pytest.MonkeyPatch):
    images = torch.from_numpy(noise(3, 70, 90, channels))
    windows = random_windows(some(3), (70, 90), (0.08, 1.0), (3 / 4, 4 / 3))
    moves = random_moves(some(3), (70, 90), rotation=20, shear=10, shift=0.2)
    monkeypatch.setattr(places, "IN_CACHE", 2 * 70 * 90)
    in_parts = resized_windows(images, *windows), moved(images, *moves, "reflect")
    monkeypatch.setattr(places, "IN_CACHE", 2**40)
    monkeypatch.setattr(places, "SMALL", 2**40)

    assert torch.equal(in_parts[0], resized_windows(images, *windows))
    assert torch.equal(in_parts[1], moved(images, *moves, "reflect"))


@pytest.mark.row("003-58")
def test_windows_lie_inside_and_have_the_area_and_the_ratio_asked_for():
    size = (60, 80)
    top, left, tall, wide = (values.numpy() for values in random_windows(some(20_000), size, (0.08, 1.0), (3 / 4, 4 / 3)))

    assert (top >= 0).all() and (left >= 0).all() and (top + tall <= 60).all() and (left + wide <= 80).all()
    area, ratio = tall * wide / 4800, wide / tall
    assert area.min() > 0.07 and area.max() <= 1.0 and area.min() < 0.09 and area.max() > 0.95
    assert ratio.min() > 0.70 and ratio.max() < 1.42
    small = area < 0.5  # where every ratio fits: areas are evenly spread, ratios evenly in their logarithm
    assert kstest((area[small] - 0.08) / (0.5 - 0.08), "uniform").statistic < 0.02
    assert abs(np.log(ratio[small]).mean()) < 0.01
    edges = np.log(ratio[small])
    assert abs((edges < math.log(4 / 3) / 2).mean() - 0.75) < 0.02


def test_where_no_window_fits_the_middle_is_cut_to_the_nearest_ratio():
    """A picture of 10 x 40 cannot give all of its area at a ratio of 4 / 3: it is 10 x 13, in the middle."""
    top, left, tall, wide = random_windows(some(7), (10, 40), (1.0, 1.0), (3 / 4, 4 / 3))
    assert set(zip(top.tolist(), left.tolist(), tall.tolist(), wide.tolist(), strict=True)) == {(0, 13, 10, 13)}


@pytest.mark.row("003-58")
def test_turns_leans_and_shifts_are_even_over_their_range():
    matrices, _ = random_moves(some(5000), SIZE, rotation=30, shear=0, shift=0)
    angles = torch.atan2(matrices[:, 0, 1], matrices[:, 0, 0]).numpy()
    assert kstest(np.degrees(angles) / 60 + 0.5, "uniform").pvalue > 1e-4
    matrices, _ = random_moves(some(5000), SIZE, rotation=0, shear=20, shift=0)
    assert (matrices.diagonal(dim1=1, dim2=2) == 1).all()
    for lean in (matrices[:, 0, 1], matrices[:, 1, 0]):
        assert kstest(np.degrees(np.arctan(lean.numpy())) / 40 + 0.5, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(matrices[:, 0, 1], matrices[:, 1, 0])[0, 1]) < 0.06
    _, offsets = random_moves(some(5000), SIZE, rotation=0, shear=0, shift=0.2)
    assert chisquare(np.bincount(offsets[:, 0].long() + 2, minlength=5)).pvalue > 1e-4  # 2.2 pixels: -2 to 2
    assert chisquare(np.bincount(offsets[:, 1].long() + 3, minlength=7)).pvalue > 1e-4


@pytest.mark.row("003-58")
def test_upright_lines_lean_by_the_shear():
    """The column of the middle row stays; each row up or down moves it by the tangent."""
    images = torch.zeros(1, 11, 15, 1, dtype=torch.uint8)
    images[0, :, 7] = 200
    lean, zero, one = (torch.tensor([value], dtype=torch.float64) for value in (1.0, 0.0, 1.0))
    got = moved(images, matrices_of(one, zero, lean, zero), torch.zeros(1, 2).double(), "zero")[0, :, :, 0]
    assert [int(row.argmax()) for row in got] == [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]


@pytest.mark.row("003-58")
@pytest.mark.parametrize("sigma", [0.8, 4.0])
def test_the_elastic_field_is_smoothed_noise(sigma: float):
    """SciPy's convolution of the same noise; and over many pictures the deviation that a smoothed uniform noise has."""
    draws, factor = some(400), 34.0
    bits = draws.field(Draw.ELASTIC, 29 * 21, torch.device("cpu")).numpy()
    noise_field = (np.stack([bits & 0xFFFF, bits >> 16 & 0xFFFF], 1).reshape(-1, 2, 29, 21) + 0.5) / 32768 - 1
    places = np.arange(-int(3 * sigma + 0.5), int(3 * sigma + 0.5) + 1)
    kernel = np.exp(-(places**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    expected = convolve1d(convolve1d(noise_field, kernel, axis=2, mode="constant"), kernel, axis=3, mode="constant") * factor

    got = elastic_field(draws, (29, 21), factor, sigma, torch.device("cpu")).numpy() / FINE

    np.testing.assert_allclose(got, expected, atol=1e-4)
    deviation = factor * (1 / 3) ** 0.5 * (kernel**2).sum()  # in the middle, where no border takes away
    assert got[:, :, 14, 10].std() == pytest.approx(deviation, rel=0.1)
    assert abs(got[:, :, 14, 10].mean()) < 4 * deviation / 800**0.5


@pytest.mark.row("003-58")
def test_a_field_moves_each_pixel_on_its_own():
    images = noise(2)
    field = np.random.default_rng(3).uniform(-2, 2, (2, 2, *SIZE))
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    padded = np.pad(images.astype(float), ((0, 0), (5, 5), (5, 5), (0, 0)))
    expected = np.stack(
        [
            np.stack(
                [map_coordinates(padded[n, :, :, c], [rows + field[n, 0] + 5, columns + field[n, 1] + 5], order=1) for c in range(3)], -1
            )
            for n in range(2)
        ]
    )
    got = moved(torch.from_numpy(images), *still(2), "zero", torch.from_numpy(np.round(field * FINE).astype(np.int64)))
    assert np.abs(got.numpy() - expected).max() <= 1
