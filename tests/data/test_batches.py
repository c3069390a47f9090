"""Batches: each picture once, changes that depend on the picture alone, and crops that are windows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from striate.core.errors import UsageError
from striate.core.seeds import mixed
from striate.data.batches import Augmentation, Batches, flipped, random_bits, shifted_crops
from striate.data.records import ImageSet

MASK = 2**64 - 1
BOTH = Augmentation(crop_padding=2, flip=True)


def image_set(count: int, height: int = 5, width: int = 7, channels: int = 3, *, images: np.ndarray | None = None) -> ImageSet:
    """Random pictures; picture k has label k % 4."""
    if images is None:
        images = np.random.default_rng(count).integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    return ImageSet("some", "train", images, np.arange(count) % 4, ("a", "b", "c", "d"), tuple(f"some/{k}" for k in range(count)))


def epoch_of(batches: Batches, epoch: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of an epoch and their places, in the order they came."""
    parts = list(batches.epoch(epoch))
    return torch.cat([part.images for part in parts]).numpy(), torch.cat([part.indices for part in parts]).numpy()


def splitmix64(state: int, count: int) -> list[int]:
    """The first numbers of SplitMix64 from `state`, in Python's whole numbers."""
    numbers = []
    for _ in range(count):
        state = state + 0x9E3779B97F4A7C15 & MASK
        mixed_state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK
        mixed_state = (mixed_state ^ mixed_state >> 27) * 0x94D049BB133111EB & MASK
        numbers.append(mixed_state ^ mixed_state >> 31)
    return numbers


def test_the_reference_generator_gives_its_published_numbers():
    """The first outputs of SplitMix64 from 1234567, as printed with many implementations of it."""
    assert splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize(("seed", "epoch", "draw"), [(0, 1, 0), (7, 3, 1), (2**63 - 1, 10**6, 2)])
def test_random_bits_are_splitmix64_of_each_index(seed: int, epoch: int, draw: int):
    """The index-th number from the state that (seed, epoch, draw) mix to, without its lowest bit."""
    indices = [0, 1, 2, 5, 99, 499]
    expected = splitmix64(mixed(seed, epoch, draw), 500)

    bits = random_bits(seed, epoch, draw, torch.tensor(indices))

    assert bits.tolist() == [expected[index] >> 1 for index in indices]


@pytest.mark.row("000-5")
@pytest.mark.parametrize("batch_size", [1, 2, 7, 8, 22, 23, 24, 1000])
@pytest.mark.parametrize("shuffle", [False, True])
def test_each_picture_comes_exactly_once_an_epoch(batch_size: int, shuffle: bool):
    pictures = image_set(23)
    batches = Batches(pictures, batch_size, shuffle=shuffle)
    for epoch in (1, 2):
        parts = list(batches.epoch(epoch))
        places = torch.cat([part.indices for part in parts])
        assert sorted(places.tolist()) == list(range(23))
        assert len(parts) == len(batches)
        for part in parts:
            np.testing.assert_array_equal(part.images, pictures.images[part.indices.numpy()])
            np.testing.assert_array_equal(part.labels, pictures.labels[part.indices.numpy()])
            assert part.images.dtype == torch.uint8 and part.labels.dtype == part.indices.dtype == torch.int64


@pytest.mark.row("000-5")
def test_the_order_changes_with_the_epoch_and_the_seed_and_nothing_else():
    pictures = image_set(60)
    orders = {
        (seed, epoch): tuple(Batches(pictures, 8, seed=seed, shuffle=True).order(epoch).tolist()) for seed in range(3) for epoch in (1, 2)
    }
    again = Batches(pictures, 13, seed=1, shuffle=True, augmentation=BOTH)
    list(again.epoch(1))

    assert len(set(orders.values())) == 6
    assert tuple(again.order(2).tolist()) == orders[1, 2]
    assert Batches(pictures, 8).order(5).tolist() == list(range(60))


@pytest.mark.row("000-5")
def test_each_picture_is_as_often_first_as_any_other():
    batches = Batches(image_set(10), 4, shuffle=True)
    firsts = Counter(int(batches.order(epoch)[0]) for epoch in range(1, 2001))
    assert chisquare([firsts[k] for k in range(10)]).pvalue > 1e-4


@pytest.mark.row("000-5")
def test_torchs_own_randomness_is_neither_read_nor_moved():
    pictures = image_set(30)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, _ = epoch_of(Batches(pictures, 8, shuffle=True, augmentation=BOTH))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second, _ = epoch_of(Batches(pictures, 8, shuffle=True, augmentation=BOTH))
    np.testing.assert_array_equal(first, second)


@pytest.mark.row("001-22")
@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [(9, 4, [4, 5]), (10, 4, [4, 4, 2]), (8, 4, [4, 4]), (1, 4, [1]), (3, 4, [3]), (3, 1, [1, 1, 1]), (5, 2, [2, 3])],
)
def test_the_last_smaller_batch_is_kept_and_one_of_a_single_picture_joins_the_one_before(count: int, batch_size: int, sizes: list[int]):
    batches = Batches(image_set(count), batch_size)
    assert [len(batch.labels) for batch in batches.epoch(1)] == sizes
    assert len(batches) == len(sizes)


def test_an_epoch_can_be_taken_up_at_any_batch():
    batches = Batches(image_set(23), 4, seed=3, shuffle=True, augmentation=BOTH)
    whole = list(batches.epoch(6))
    for start in range(len(batches) + 1):
        rest = list(batches.epoch(6, start))
        assert len(rest) == len(batches) - start
        for got, expected in zip(rest, whole[start:], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(got[:3], expected[:3], strict=True))


@pytest.mark.parametrize("augmentation", [BOTH, Augmentation(crop_padding=3, pad_mode="reflect"), Augmentation(flip=True)])
def test_what_happens_to_a_picture_depends_neither_on_the_batch_nor_on_the_order(augmentation: Augmentation):
    pictures = image_set(41)
    changed = {}
    for batch_size, shuffle in ((1, False), (5, True), (41, False), (64, True)):
        images, places = epoch_of(Batches(pictures, batch_size, seed=9, shuffle=shuffle, augmentation=augmentation), epoch=4)
        changed[batch_size] = images[np.argsort(places)]
    for images in changed.values():
        np.testing.assert_array_equal(images, changed[1])
    other_epoch, _ = epoch_of(Batches(pictures, 41, seed=9, augmentation=augmentation), epoch=5)
    other_seed, _ = epoch_of(Batches(pictures, 41, seed=10, augmentation=augmentation), epoch=4)
    assert (other_epoch != changed[1]).any() and (other_seed != changed[1]).any()


@pytest.mark.row("003-58")
@pytest.mark.parametrize("mode", ["zero", "reflect"])
@pytest.mark.parametrize(("height", "width", "channels", "pad"), [(5, 7, 3, 2), (6, 4, 1, 3), (3, 9, 2, 1)])
def test_shifted_crops_are_windows_of_the_padded_picture(mode: Any, height: int, width: int, channels: int, pad: int):
    """NumPy pads, and plain slices cut."""
    rng = np.random.default_rng(pad)
    images = rng.integers(0, 256, (11, height, width, channels), dtype=np.uint8)
    top, left = rng.integers(0, 2 * pad + 1, (2, 11))
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="constant" if mode == "zero" else "reflect")
    expected = np.stack([padded[n, t : t + height, s : s + width] for n, (t, s) in enumerate(zip(top, left, strict=True))])

    got = shifted_crops(torch.from_numpy(images), torch.from_numpy(top), torch.from_numpy(left), pad, mode)

    np.testing.assert_array_equal(got, expected)


@pytest.mark.row("003-58")
def test_a_shift_by_the_padding_itself_changes_nothing():
    images = torch.from_numpy(image_set(4).images)
    middle = torch.full((4,), 3)
    for mode in ("zero", "reflect"):
        assert torch.equal(shifted_crops(images, middle, middle, 3, mode), images)  # type: ignore[arg-type]


@pytest.mark.row("003-58")
def test_mirroring_twice_gives_the_picture_back_and_once_reverses_its_rows():
    images = torch.from_numpy(image_set(6).images)
    chosen = torch.tensor([True, False, True, True, False, False])

    once = flipped(images, chosen)

    np.testing.assert_array_equal(once[chosen], images.numpy()[chosen.numpy()][:, :, ::-1])
    assert torch.equal(once[~chosen], images[~chosen])
    assert torch.equal(flipped(once, chosen), images)


@pytest.mark.row("003-58")
def test_half_of_the_pictures_are_mirrored_and_shifts_are_even():
    """A column counter tells the shift to the side, a row counter the shift down; 4,000 pictures, 9 places each way."""
    counter = np.stack(np.meshgrid(np.arange(1, 17), np.arange(1, 21), indexing="ij"), -1).astype(np.uint8)  # (16, 20, 2): row, column
    pictures = image_set(4000, images=np.broadcast_to(counter, (4000, 16, 20, 2)).copy())

    shifted, _ = epoch_of(Batches(pictures, 500, augmentation=Augmentation(crop_padding=4)))
    mirrored, _ = epoch_of(Batches(pictures, 500, augmentation=Augmentation(flip=True)))

    down, across = shifted[:, 8, 10, 0].astype(int) - 9, shifted[:, 8, 10, 1].astype(int) - 11
    assert set(down) == set(across) == set(range(-4, 5))
    assert chisquare(np.bincount(down + 4)).pvalue > 1e-4
    assert chisquare(np.bincount(across + 4)).pvalue > 1e-4
    assert chisquare(np.bincount((down + 4) * 9 + across + 4)).pvalue > 1e-4  # the two are independent
    num_mirrored = int((mirrored[:, 0, 0, 1] == 20).sum())
    assert abs(num_mirrored - 2000) < 4 * (4000 / 4) ** 0.5  # four standard deviations


@pytest.mark.row("003-58")
def test_changes_of_a_picture_in_successive_epochs_are_independent():
    pictures = image_set(3000, 1, 2, 1, images=np.tile(np.array([[[0], [1]]], np.uint8), (3000, 1, 1, 1)))
    batches = Batches(pictures, 1000, augmentation=Augmentation(flip=True))
    first, second = (epoch_of(batches, epoch)[0][:, 0, 0, 0] for epoch in (1, 2))
    assert chisquare(np.bincount(2 * first.astype(int) + second, minlength=4)).pvalue > 1e-4


@pytest.mark.row("003-58")
def test_without_augmentation_pictures_come_as_they_are_and_the_set_is_never_written_to():
    pictures = image_set(20)
    kept = pictures.images.copy()
    plain, _ = epoch_of(Batches(pictures, 6))
    list(Batches(pictures, 6, augmentation=BOTH).epoch(1))
    for batch in Batches(pictures, 6).epoch(1):
        batch.images.zero_()
    np.testing.assert_array_equal(plain, kept)
    np.testing.assert_array_equal(pictures.images, kept)


def test_a_map_of_a_file_and_a_read_only_array_give_the_same_batches(tmp_path: Path):
    pictures = image_set(25)
    pictures.images.tofile(tmp_path / "pixels")
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "r", shape=pictures.images.shape)
    frozen = pictures.images.copy()
    frozen.flags.writeable = False
    expected, _ = epoch_of(Batches(pictures, 8, shuffle=True, augmentation=BOTH))
    for images in (mapped, frozen, np.asfortranarray(pictures.images)):
        got, _ = epoch_of(Batches(image_set(25, images=images), 8, shuffle=True, augmentation=BOTH, device="cpu"))
        np.testing.assert_array_equal(got, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["zero", "reflect"])
def test_a_gpu_gives_the_same_batches(mode: Any):
    pictures = image_set(25)
    augmentation = Augmentation(crop_padding=2, pad_mode=mode, flip=True)
    here, there = (
        list(Batches(pictures, 8, shuffle=True, augmentation=augmentation, device=device).epoch(2)) for device in ("cpu", "cuda")
    )
    for one, other in zip(here, there, strict=True):
        assert other.images.is_cuda and other.labels.is_cuda
        assert all(torch.equal(a, b.cpu()) for a, b in zip(one, other, strict=True))


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="crop_padding must not be negative, got -1"):
        Augmentation(crop_padding=-1)
    with pytest.raises(UsageError, match="pad_mode must be 'zero' or 'reflect', got 'wrap'"):
        Augmentation(pad_mode="wrap")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="batch_size must be at least 1, got 0"):
        Batches(image_set(3), 0)
    with pytest.raises(UsageError, match="crop_padding 5 reflects more pixels than a picture of 5 x 7 has"):
        Batches(image_set(3), 2, augmentation=Augmentation(crop_padding=5, pad_mode="reflect"))
