"""Augmentation as a whole: what holds for each change and for all of them together."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from striate.core.errors import UsageError
from striate.data.augmentation.draws import PLACES, Draw, Draws, betas, ratios, slopes, turns
from striate.data.augmentation.policy import CHANGES, trivially_changed
from striate.data.augmentation.record import Augmentation
from striate.data.batches import Batches
from striate.data.records import ImageSet

EVERYTHING: dict[str, dict[str, Any]] = {
    "alternating": {"flip": True, "flip_mode": "alternating"},
    "resized": {"resized_crop": (0.08, 1.0)},
    "rotation": {"rotation": 30.0},
    "rotation, mirrored": {"rotation": 170.0, "pad_mode": "reflect"},
    "shear": {"shear": 25.0},
    "shift": {"shift": 0.3},
    "elastic": {"elastic": 34.0, "elastic_sigma": 3.0},
    "brightness": {"brightness": 1.0},
    "contrast": {"contrast": 1.0},
    "saturation": {"saturation": 1.0},
    "hue": {"hue": 0.5},
    "channels": {"channel_shift": 60.0},
    "pca": {"pca_colour": 0.5},
    "policy": {"policy": "trivial"},
    "erasing": {"erasing": 0.5},
    "erasing, black": {"erasing": 0.9, "erasing_fill": "zero"},
    "mixup": {"mixup": 0.8},
    "cutmix": {"cutmix": 1.0},
    "all": {
        "crop_padding": 2,
        "pad_mode": "reflect",
        "flip": True,
        "resized_crop": (0.3, 1.0),
        "rotation": 10.0,
        "shear": 5.0,
        "shift": 0.1,
        "elastic": 8.0,
        "brightness": 0.4,
        "contrast": 0.4,
        "saturation": 0.4,
        "hue": 0.1,
        "channel_shift": 5.0,
        "pca_colour": 0.1,
        "policy": "trivial",
        "erasing": 0.25,
        "mixup": 0.2,
        "cutmix": 1.0,
    },
}


def image_set(count: int, channels: int = 3, height: int = 9, width: int = 13) -> ImageSet:
    images = np.random.default_rng(count).integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    return ImageSet("some", "train", images, np.arange(count) % 4, ("a", "b", "c", "d"), tuple(f"some/{k}" for k in range(count)))


def in_place(batches: Batches, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The pictures and the labels of an epoch, in the order of the set."""
    parts = list(batches.epoch(epoch))
    order = torch.cat([part.indices for part in parts]).argsort()
    return torch.cat([part.images for part in parts])[order], torch.cat([part.labels for part in parts])[order]


@pytest.mark.row("003-58")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EVERYTHING)
def test_each_change_is_a_function_of_seed_epoch_and_sample_to_the_bit(name: str, channels: int):
    """Batches of 1 in order and of 16 shuffled give the same; so does a second time; another epoch or seed gives something else."""
    pictures = image_set(45, channels)
    augmentation = Augmentation(**EVERYTHING[name])

    def run(batch_size: int, *, shuffle: bool = False, seed: int = 9, epoch: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
        return in_place(Batches(pictures, batch_size, shuffle=shuffle, seed=seed, augmentation=augmentation), epoch)

    images, labels = run(1)

    assert images.dtype == torch.uint8 and images.shape == pictures.images.shape
    for other in (run(16, shuffle=True), run(64), run(7)):
        assert torch.equal(images, other[0]) and torch.equal(labels, other[1])
    colourless = channels == 1 and name in ("saturation", "hue")  # a grey picture has no colours
    assert torch.equal(images, torch.from_numpy(pictures.images)) == colourless
    assert torch.equal(run(16, epoch=5)[0], images) == colourless
    assert torch.equal(run(16, seed=8)[0], images) == colourless
    if augmentation.mixes:
        assert labels.shape == (45, 4) and labels.dtype == torch.float32
        torch.testing.assert_close(labels.sum(1), torch.ones(45))
    else:
        np.testing.assert_array_equal(labels, pictures.labels)


@pytest.mark.row("003-58")
def test_without_changes_and_with_their_smallest_the_pictures_stay_as_they_are():
    """Off is the identity, bit for bit; and a strength that is too small for a grey level or a pixel is so too."""
    pictures = image_set(40)
    kept = torch.from_numpy(pictures.images.copy())
    moves, colours = (
        ("rotation", "shear", "shift", "elastic"),
        ("brightness", "contrast", "saturation", "hue", "channel_shift", "pca_colour"),
    )
    tiny = dict.fromkeys((*moves, *colours, "erasing"), 1e-9)
    for augmentation in (Augmentation(), Augmentation(**tiny), Augmentation(resized_crop=(1.0, 1.0), crop_ratio=(13 / 9, 13 / 9))):
        images, _ = in_place(Batches(pictures, 16, augmentation=augmentation), 1)
        assert torch.equal(images, kept)
    assert np.array_equal(pictures.images, kept)


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_pictures_stay_within_their_range(value: int):
    """What would wrap around would turn white into black."""
    pictures = dataclasses.replace(image_set(60), images=np.full((60, 9, 13, 3), value, np.uint8))
    for name in ("brightness", "contrast", "saturation", "hue"):
        images, _ = in_place(Batches(pictures, 60, augmentation=Augmentation(**EVERYTHING[name])), 1)
        assert (images == value).all() if name != "brightness" or value == 0 else images.amin() < 250
    images, _ = in_place(Batches(pictures, 60, augmentation=Augmentation(channel_shift=60.0)), 1)
    assert (images.int() - value).abs().max() <= 60


@pytest.mark.row("003-58")
def test_alternating_mirrors_half_the_pictures_and_the_other_half_in_the_next_epoch():
    pictures = image_set(1000, 1, 2, 3)
    batches = Batches(pictures, 250, seed=1, augmentation=Augmentation(flip=True, flip_mode="alternating"))
    turned = []
    for epoch in (1, 2, 3):
        images, _ = in_place(batches, epoch)
        plain = (images.numpy() == pictures.images).all((1, 2, 3))
        mirrored = (images.numpy() == pictures.images[:, :, ::-1]).all((1, 2, 3))
        assert (plain | mirrored).all()
        turned.append(mirrored & ~plain)
    ambiguous = (pictures.images == pictures.images[:, :, ::-1]).all((1, 2, 3))
    assert (turned[0] ^ turned[1] | ambiguous).all() and (turned[0] == turned[2]).all()
    assert abs(turned[0].sum() - 500) < 4 * (1000 / 4) ** 0.5


@pytest.mark.row("003-58")
def test_a_mixed_pictures_label_says_which_pictures_are_in_it():
    """Pictures of class k have the constant value 60 k: the mean value of a mixed one is the mean of its classes."""
    values = (np.arange(200) % 4 * 60).astype(np.uint8)
    pictures = dataclasses.replace(image_set(200), images=np.broadcast_to(values[:, None, None, None], (200, 9, 13, 3)).copy())
    for kind in ({"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}):
        images, labels = in_place(Batches(pictures, 32, shuffle=True, augmentation=Augmentation(**kind)), 3)
        expected = labels @ torch.arange(4.0) * 60
        assert (images.float().mean((1, 2, 3)) - expected).abs().max() <= 0.51
        assert len(labels.unique(dim=0)) > 50


@pytest.mark.row("003-58")
def test_the_partner_is_augmented_too():
    """With weights of 1/2 each (a large alpha) and mirrored pictures of two kinds, all four pairs come."""
    pair = np.zeros((2, 1, 2, 1), np.uint8)
    pair[0, 0, 0], pair[1, 0, 0] = 200, 200
    pictures = ImageSet("pair", "train", np.repeat(pair, 200, 0), np.zeros(400, np.int64), ("a", "b"), ("x",) * 400)
    images, _ = in_place(Batches(pictures, 50, augmentation=Augmentation(flip=True, mixup=1e6)), 1)
    left, right = images[:, 0, 0, 0].int(), images[:, 0, 1, 0].int()
    both, only_left, only_right = ((left - 100).abs() < 5), left > 190, right > 190
    assert (both | only_left | only_right).all()
    assert abs(int(both.sum()) - 200) < 60 and abs(int(only_left.sum()) - 100) < 50


# ---- the policy


def test_the_policy_takes_each_change_as_often_as_any_other_and_strength_0_is_no_change():
    images = torch.from_numpy(image_set(40, 3, 20, 30).images)
    assert len(CHANGES) == 14
    zeros = torch.zeros(40, dtype=torch.int64)
    for name, change in CHANGES.items():
        same = torch.equal(change(images, zeros, "zero"), images)
        assert same == (name not in ("stretched", "equalized")), name  # these two have no strength
    kinds = Draws(0, 1, torch.arange(14_000)).bits(Draw.POLICY) % 14
    assert chisquare(np.bincount(kinds)).pvalue > 1e-4


@pytest.mark.parametrize("name", [name for name in CHANGES if name not in ("identity", "stretched", "equalized")])
def test_a_change_of_the_policy_grows_with_its_strength_and_goes_both_ways(name: str):
    down, across = np.mgrid[0:24, 0:30]
    wave = 120 + 60 * np.sin(down / 3) + 50 * np.cos(across / 4)
    picture = np.stack([wave, 0.8 * wave, 255 - wave], -1).astype(np.uint8)
    images = torch.from_numpy(picture).expand(4, -1, -1, -1)
    distances = (CHANGES[name](images, torch.tensor([3, 10, -10, 30]), "reflect").int() - images.int()).abs().float().mean((1, 2, 3))
    if name not in ("turned", "pushed_right", "pushed_down"):  # far turns and shifts may come near the picture again
        assert distances[0] <= distances[1] <= distances[3]
    assert distances[3] > 0.5
    one, other = CHANGES[name](images, torch.tensor([10, -10, 10, -10]), "reflect")[:2]
    assert torch.equal(one, other) == (name in ("solarized", "posterized"))


def test_the_policy_changes_each_picture_by_its_own_draw():
    picture = torch.from_numpy(image_set(1, 3, 16, 20).images).expand(300, -1, -1, -1)
    changed = trivially_changed(picture, Draws(2, 1, torch.arange(300)), "zero")
    assert 150 < len(changed.unique(dim=0)) <= 300
    same = (changed == picture).all((1, 2, 3)).float().mean()
    assert 1 / 14 - 0.05 < same < 1 / 14 + 1 / 14 + 0.05


# ---- the tables of random numbers


def test_tables_hold_the_functions_of_evenly_spread_numbers():
    cosines, sines = turns(40.0).unbind(1)
    torch.testing.assert_close(cosines**2 + sines**2, torch.ones(PLACES, dtype=torch.float64))
    assert sines[0] == pytest.approx(-np.sin(np.radians(40)), abs=1e-4) and sines[-1] == pytest.approx(np.sin(np.radians(40)), abs=1e-4)
    assert slopes(45.0)[-1] == pytest.approx(1, abs=1e-4)
    low, high = ratios(0.3, 1 / 0.3)[[0, -1]]
    assert low == pytest.approx(0.3, rel=1e-3) and high == pytest.approx(1 / 0.3, rel=1e-3)
    assert ratios(0.3, 1 / 0.3).log().mean() == pytest.approx(0, abs=1e-9)
    for alpha in (0.1, 0.2, 1.0, 8.0):
        table = betas(alpha)
        assert table.mean() == pytest.approx(0.5, abs=1e-6) and table.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=1e-3)


# ---- the record


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rotation": -1}, "rotation must not be negative, got -1"),
        ({"rotation": 181}, "rotation must be at most 180, got 181"),
        ({"brightness": 1.5}, "brightness must be at most 1, got 1.5"),
        ({"hue": 0.6}, "hue must be at most 0.5, got 0.6"),
        ({"erasing": "often"}, "erasing must be a number, got 'often'"),
        ({"mixup": float("nan")}, "mixup must be a number, got nan"),
        ({"mixup": True}, "mixup must be a number, got True"),
        ({"crop_padding": 1.5}, "crop_padding must be a whole number of pixels, got 1.5"),
        ({"elastic_sigma": 0}, "elastic_sigma must be above 0, got 0"),
        ({"flip": "yes"}, "flip must be False or True, got 'yes'"),
        ({"flip_mode": "never"}, "flip_mode must be 'random' or 'alternating', got 'never'"),
        ({"policy": "rand"}, "policy must be None or 'trivial', got 'rand'"),
        ({"resized_crop": 0.5}, "resized_crop must be two numbers, minimum and maximum, got 0.5"),
        ({"resized_crop": (0.5, 2)}, r"resized_crop must be two numbers above 0 and at most 1, the smaller first, got \(0.5, 2\)"),
        ({"erasing_ratio": (2, 1)}, r"erasing_ratio must be two numbers above 0, the smaller first, got \(2, 1\)"),
        ({"crop_ratio": None}, "crop_ratio must be two numbers, minimum and maximum, got None"),
    ],
)
def test_fields_out_of_their_range_are_refused(fields: dict[str, Any], words: str):
    with pytest.raises(UsageError, match=words):
        Augmentation(**fields)


def test_a_list_is_as_good_as_a_pair():
    assert Augmentation(resized_crop=[0.3, 1]) == Augmentation(resized_crop=(0.3, 1.0))  # type: ignore[arg-type]
    assert not Augmentation().mixes and Augmentation(mixup=0.1).mixes and Augmentation(cutmix=1).mixes


@pytest.mark.gpu
@pytest.mark.parametrize("name", EVERYTHING)
def test_a_gpu_makes_the_same_changes(name: str):
    pictures = image_set(50)
    here, there = (
        list(Batches(pictures, 16, shuffle=True, augmentation=Augmentation(**EVERYTHING[name]), device=device).epoch(2))
        for device in ("cpu", "cuda")
    )
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.images, other.images.cpu())
        torch.testing.assert_close(one.labels, other.labels.cpu())
