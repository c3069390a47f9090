"""Normalization inside the model: three ways, each against NumPy in float64, and model files that name none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from striate.core.images import ImageSpec, Normalization
from striate.networks.modules.image import ImageModule, standardized, stretched

MEAN, STD = (0.4, 0.5, 0.3), (0.2, 0.3, 0.25)


def spec(normalization: Normalization = "dataset", channels: int = 3) -> ImageSpec:
    return ImageSpec(height=5, width=7, channels=channels, mean=MEAN[:channels], std=STD[:channels], normalization=normalization)


def pictures(channels: int = 3) -> np.ndarray:
    """Four pictures; the second is constant, the third has one value that differs by 1, the fourth is black and white."""
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 7, channels), dtype=np.uint8)
    images[1] = 77
    images[2] = 200
    images[2, 3, 4, 0] = 201
    images[3] = np.where(images[3] > 127, 255, 0)
    return images


def normalized(normalization: Normalization, images: np.ndarray) -> np.ndarray:
    module = ImageModule(nn.Identity(), spec(normalization, images.shape[3]))
    return module(torch.from_numpy(images)).numpy()  # (N, C, H, W)


@pytest.mark.row("002-2")
@pytest.mark.parametrize("channels", [1, 3])
def test_per_image_standardization_is_the_distance_to_the_mean_over_the_adjusted_deviation(channels: int):
    """(x - mean) / max(std, 1 / sqrt(N)), population deviation over all N values of a picture, in grey levels of 0 to 255."""
    images = pictures(channels)
    expected = []
    for picture in images.astype(np.float64):
        deviation = max(picture.std(), 1 / np.sqrt(picture.size))
        expected.append((picture - picture.mean()) / deviation)

    got = normalized("per_image", images)

    np.testing.assert_allclose(got.transpose(0, 2, 3, 1), np.stack(expected), rtol=1e-6, atol=1e-6)
    assert (got[1] == 0).all()
    assert abs(got[0].std() - 1) < 1e-5


@pytest.mark.row("002-2")
def test_the_deviation_of_an_almost_constant_picture_is_at_least_one_over_the_root_of_its_size():
    """One value of 105 differs by d: the deviation d sqrt(104) / 105 is below 1 / sqrt(105) for d below 1.005, and above for d = 2."""
    for step, floor_holds in ((1.0, True), (2.0, False)):
        x = torch.full((1, 3, 5, 7), 50.0, dtype=torch.float64)
        x[0, 1, 2, 3] += step
        got = standardized(x)
        deviation = 105**-0.5 if floor_holds else step * 104**0.5 / 105
        assert got[0, 1, 2, 3].item() == pytest.approx(step * 104 / 105 / deviation, rel=1e-12)


@pytest.mark.row("002-2")
def test_standardization_takes_any_leading_axes_and_keeps_the_dtype():
    x = torch.randn(2, 4, 3, 5, 7)
    torch.testing.assert_close(standardized(x).view(8, 3, 5, 7), standardized(x.view(8, 3, 5, 7)), rtol=0, atol=0)
    assert standardized(x.bfloat16()).dtype == torch.bfloat16
    assert standardized(x[0, 0]).shape == (3, 5, 7)


def test_min_max_brings_each_picture_to_0_and_1_and_a_constant_one_to_0():
    images = pictures()
    got = normalized("min_max", images).transpose(0, 2, 3, 1)
    for picture, result in zip(images.astype(np.float64), got, strict=True):
        spread = picture.max() - picture.min()
        np.testing.assert_allclose(result, (picture - picture.min()) / (spread or 1), rtol=0, atol=1e-7)
    assert (got[1] == 0).all()
    torch.testing.assert_close(stretched(torch.tensor([[[[2.0, 4.0, 3.0]]]])), torch.tensor([[[[0.0, 1.0, 0.5]]]]))


def test_the_data_sets_mean_and_deviation_are_the_default():
    images = pictures()
    expected = (images / 255 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(normalized("dataset", images).transpose(0, 2, 3, 1), expected, rtol=1e-5, atol=1e-6)
    assert spec() == ImageSpec(height=5, width=7, channels=3, mean=MEAN, std=STD)


@pytest.mark.parametrize("normalization", ["dataset", "per_image", "min_max"])
def test_a_picture_is_normalized_alike_in_any_company(normalization: Normalization):
    images = pictures()
    alone = np.concatenate([normalized(normalization, images[n : n + 1]) for n in range(4)])
    np.testing.assert_allclose(normalized(normalization, images), alone, rtol=1e-6, atol=1e-6)


def test_a_description_without_the_word_is_read_and_an_unknown_word_is_not():
    adapter = TypeAdapter(ImageSpec)
    data = json.loads(adapter.dump_json(spec("per_image")))
    assert data["normalization"] == "per_image" and adapter.validate_python(data) == spec("per_image")
    del data["normalization"]
    assert adapter.validate_python(data).normalization == "dataset"
    with pytest.raises(ValidationError, match="'dataset', 'per_image' or 'min_max'"):
        adapter.validate_python({**data, "normalization": "zca"})


def test_a_model_file_carries_its_normalization(tmp_path: Path):
    """Predictions do not change with contrast: 2 x - 40 has the same standardized values as x."""
    from striate.models.loading import load
    from striate.networks.catalog import network
    from striate.networks.model_file import save_model

    net = network("mnist_notes", num_classes=4, in_channels=3, input_size=28)
    images = ImageSpec(height=28, width=28, channels=3, mean=MEAN, std=STD, normalization="per_image")
    save_model(tmp_path / "a.safetensors", net, net.build().state_dict(), classes=tuple("abcd"), images=images, info={})
    model = load(tmp_path / "a.safetensors")
    dark = np.random.default_rng(1).integers(20, 148, (3, 28, 28, 3), dtype=np.uint8)

    assert model.images.normalization == "per_image"
    np.testing.assert_allclose(model.probabilities(2 * dark - 40), model.probabilities(dark), atol=1e-5)
    assert model.probabilities(dark).std(0).max() > 1e-4  # it does tell them apart
