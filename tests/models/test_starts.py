"""The initialisation that the settings name is the one that a training starts from."""

from __future__ import annotations

import numpy as np
import pytest

import striate
from striate.core.images import ImageSpec
from striate.data.augmentation.record import Augmentation
from striate.data.records import ImageSet
from striate.engine.settings import TrainSettings
from striate.models.fitting import Fitting, fit_images

RNG = np.random.default_rng(0)
PICTURES = ImageSet("noise", "train", RNG.integers(0, 256, (20, 9, 8, 1), dtype=np.uint8), np.arange(20) % 3, ("a", "b", "c"), ("x",) * 20)


def start(**settings: object) -> dict[str, np.ndarray]:
    fitting = Fitting(
        network=striate.network("compact_cnn", num_classes=3, in_channels=1, input_size=(9, 8)),
        images=ImageSpec(height=9, width=8, channels=1, mean=(0.5,), std=(0.25,)),
        classes=PICTURES.classes,
        settings=TrainSettings(device="cpu", **settings),
        augmentation=Augmentation(),
    )
    return {name: tensor.numpy() for name, tensor in fit_images(fitting, PICTURES, None).state().items() if name.endswith("conv.weight")}


@pytest.mark.parametrize(("init", "scale"), [("he", None), ("xavier", None), ("orthogonal", None), ("lsuv", None), ("normal", 0.5)])
def test_each_start_differs_from_the_default_and_follows_the_seed(init, scale):
    ours, again, other, default = (
        start(init=init, init_scale=scale),
        start(init=init, init_scale=scale),
        start(init=init, init_scale=scale, seed=1),
        start(),
    )
    for name, weight in ours.items():
        assert np.array_equal(weight, again[name])
        assert not np.array_equal(weight, other[name])
        assert not np.array_equal(weight, default[name])


def test_he_has_its_variance_and_a_constant_is_one():
    he, constant = start(init="he"), start(init="constant", init_scale=0.25)

    last = he["stage3.block2.conv.weight"]  # (128, 128, 3, 3), a ReLU after it
    assert last.std() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.01)
    assert all((weight == 0.25).all() for weight in constant.values())
