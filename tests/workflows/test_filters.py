"""Kernels by hand: against scipy's correlation and convolution, slow loops, and what each effect promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from striate.core.errors import DataError, EnvironmentFault, ShapeError, UnknownNameError, UsageError
from striate.data.effects import KERNELS, apply_step, clipped, exposed, filtered, read_kernel, read_step, watercolour
from striate.workflows.explanation.filters import FilterRequest, filter_picture, summary

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (11, 14, 3), dtype=np.uint8)
FLAT = np.full((7, 9, 3), 90, np.uint8)
EDGE = np.repeat(np.where(np.arange(12) < 6, 80, 160).astype(np.uint8)[None, :, None], 8, axis=0)  # (8, 12, 1)


@pytest.mark.row("003-49", "004-5")
@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (1, 7)])
def test_both_forms_equal_scipys(shape: tuple[int, int]):
    kernel = RNG.normal(size=shape)
    for form, peer in (("correlate", ndimage.correlate), ("convolve", ndimage.convolve)):
        expected = np.stack([peer(IMAGE[..., c].astype(float), kernel, mode="nearest") for c in range(3)], 2)
        np.testing.assert_allclose(filtered(IMAGE, kernel, form=form), expected, atol=1e-10)


@pytest.mark.row("004-5")
def test_the_forms_agree_for_a_symmetric_kernel_and_differ_for_another():
    for name, kernel in KERNELS.items():
        values = np.array(kernel.values)
        same = np.allclose(filtered(IMAGE, values), filtered(IMAGE, values, form="convolve"))
        assert same == (name not in ("emboss", "sobel_x", "sobel_y"))


@pytest.mark.row("003-49")
def test_blur_keeps_what_is_flat_and_lessens_the_variance():
    for name in ("blur", "mean"):
        assert np.array(KERNELS[name].values).max() < 1 and np.array(KERNELS[name].values).sum() == pytest.approx(1, abs=1e-15)
        assert (apply_step(FLAT, name, KERNELS[name]) == FLAT).all()
        assert apply_step(IMAGE, name, KERNELS[name]).std() < IMAGE.std()


@pytest.mark.row("003-49")
def test_sharpening_keeps_what_is_flat_and_raises_the_contrast_of_an_edge():
    sharp = apply_step(EDGE, "sharpen", KERNELS["sharpen"])
    assert sharp[4, :, 0].tolist() == [80, 80, 80, 80, 80, 0, 240, 160, 160, 160, 160, 160]  # 80 - 80 and 160 + 80
    assert (apply_step(FLAT, "sharpen", KERNELS["sharpen"]) == FLAT).all()


@pytest.mark.row("003-49")
def test_kernels_that_add_up_to_0_make_flat_areas_grey_or_black():
    for name in ("emboss", "laplacian", "sobel_x", "sobel_y"):
        assert (apply_step(FLAT, name, KERNELS[name]) == 128).all()
    for name in ("edges", "sobel"):
        assert (apply_step(FLAT, *read_step(name)) == 0).all()
    assert apply_step(EDGE, "sobel", None)[4, :, 0].tolist() == [0] * 5 + [255, 255] + [0] * 5  # 4 x 80, cut
    half = apply_step((EDGE // 2), "sobel", None)
    assert half[4, :, 0].tolist() == [0] * 5 + [160, 160] + [0] * 5


@pytest.mark.row("003-49")
def test_emboss_stands_on_the_grey_that_is_asked_for():
    """Its kernel adds up to 0: a flat area has the grey alone."""
    flat = np.full((4, 5, 1), 77, np.uint8)

    levels = [int(apply_step(flat, *read_step(step))[1, 1, 0]) for step in ("emboss", "emboss=0", "emboss=30")]

    assert levels == [128, 0, 30]
    with pytest.raises(UsageError, match="emboss=256: the grey of flat areas must be a number from 0 to 255"):
        read_step("emboss=256")


def test_a_halo_glows_around_what_is_bright_and_darkens_nothing():
    """One bright pixel spreads as scipy's eight blurs do; half-bright areas have none."""
    image = np.full((21, 25, 1), 100, np.uint8)
    image[10, 12] = 255
    glow = np.zeros((21, 25))
    glow[10, 12] = 255
    for _ in range(8):
        glow = ndimage.correlate(glow, np.array(KERNELS["blur"].values), mode="nearest")

    result = apply_step(image, *read_step("halo"))

    np.testing.assert_array_equal(result[..., 0], np.rint(255 - (255 - image[..., 0].astype(float)) * (255 - glow) / 255))
    assert (result >= image).all()
    assert result[10, 14, 0] > 100
    assert result[0, 0, 0] == 100


def test_watercolour_is_the_thirteenth_of_25_values_then_sharpened():
    padded = np.pad(IMAGE, [(2, 2), (2, 2), (0, 0)], mode="edge")
    flat = np.zeros_like(IMAGE)
    for y, x, c in np.ndindex(*IMAGE.shape):
        flat[y, x, c] = sorted(padded[y : y + 5, x : x + 5, c].ravel())[12]
    sharpen = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
    expected = [ndimage.correlate(flat[..., c].astype(int), sharpen, mode="nearest") for c in range(3)]
    assert (watercolour(IMAGE) == np.stack(expected, 2).clip(0, 255)).all()


@pytest.mark.row("003-49")
def test_exposure_scales_and_cuts():
    values = np.array([0, 10, 100, 200], np.uint8).reshape(1, 4, 1)
    assert exposed(values, 1.5).ravel().tolist() == [0, 15, 150, 255]
    assert exposed(values, 0.25).ravel().tolist() == [0, 2, 25, 50]  # 2.5 is rounded to the even number


def test_a_chain_is_each_step_on_the_result_of_the_last(tmp_path: Path):
    source, output = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(IMAGE).save(source)

    report = filter_picture(FilterRequest(image=source, steps=("blur", "[[0,0,0],[0,0,2],[0,0,0]]", "exposure=0.5"), output=output))

    blurred = apply_step(IMAGE, "blur", KERNELS["blur"])
    shifted = clipped(2.0 * np.concatenate([blurred[:, 1:], blurred[:, -1:]], 1))
    np.testing.assert_array_equal(np.asarray(Image.open(output)), exposed(shifted, 0.5))
    assert [(step.name, step.kernel_sum) for step in report.steps] == [("blur", 1), ("kernel", 2), ("exposure=0.5", None)]
    assert "kernel sum 2" in summary(report)
    assert source.read_bytes() and (np.asarray(Image.open(source)) == IMAGE).all()


def test_a_grey_picture_stays_grey(tmp_path: Path):
    Image.fromarray(IMAGE[..., 0]).save(tmp_path / "a.png")
    report = filter_picture(FilterRequest(image=tmp_path / "a.png", steps=("watercolour",), output=tmp_path / "new" / "b.png"))
    with Image.open(tmp_path / "new" / "b.png") as picture:
        assert report.channels == 1 and picture.mode == "L"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[1, 2], [3, 4]]", "kernel of 2 x 2: both must be odd"),
        ("[[1, 2, 3], [4, 5]]", "the same number in each"),
        ("[[1, NaN, 3]]", "finite numbers"),
        ("[1, 2, 3]", "must be rows of numbers"),
        ("[[1, 2", "must be rows of numbers"),
        ("[]", "kernel of 0 x 0"),
        ('["123", "456", "789"]', "must be rows of numbers"),
        ("[[true]]", "must be rows of numbers"),
        ("[[1e308, 1e308, 1e308]]", "finite numbers up to 1,000,000"),
        ("[[1/9, 1/9, 1/9]]", "must be rows of numbers, such as -1 or 0.25"),
    ],
)
def test_what_is_no_kernel_is_refused(text: str, words: str):
    with pytest.raises(UsageError, match=words):
        read_kernel(text)


def test_errors_say_what_was_wanted(tmp_path: Path):
    with pytest.raises(UnknownNameError, match=r"unknown kernel 'blurr'\nDid you mean blur"):
        read_step("blurr")
    with pytest.raises(UsageError, match="factor must be a number of at least 0"):
        read_step("exposure=bright")
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    for fields, words in (
        ({}, "no step: name at least one"),
        ({"steps": ("blur",), "output": tmp_path / "a.png"}, "a.png: exists already"),
        ({"steps": ("blur",), "output": tmp_path / "b.jpg"}, "must end in .png"),
    ):
        with pytest.raises(UsageError, match=words):
            filter_picture(FilterRequest(image=tmp_path / "a.png", **fields))
    with pytest.raises(DataError, match=r"none\.png: no such file\n.*Check the name"):
        filter_picture(FilterRequest(image=tmp_path / "none.png", steps=("blur",), output=tmp_path / "b.png"))
    with pytest.raises(EnvironmentFault, match=r"a\.png.b\.png: cannot write"):
        filter_picture(FilterRequest(image=tmp_path / "a.png", steps=("blur",), output=tmp_path / "a.png" / "b.png"))
    with pytest.raises(ShapeError, match=r"a kernel with odd sides, got \(11, 14\) and \(3, 3\)"):
        filtered(IMAGE[..., 0], np.ones((3, 3)))
