"""Erasing, mix-up and cut-mix: areas, shares of labels and their distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import beta, chisquare

from striate.data.augmentation.draws import Draws
from striate.data.augmentation.mixing import erased, mixed_labels, mixed_pictures, partners

AREA, RATIO = (0.02, 0.4), (0.3, 1 / 0.3)


def some(count: int, epoch: int = 1) -> Draws:
    return Draws(4, epoch, torch.arange(count))


def box_of(changed: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, height and width of what is true in (H, W); all of the rectangle must be."""
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    top, left, tall, wide = rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert changed[top : top + tall, left : left + wide].all() and changed.sum() == tall * wide
    return top, left, tall, wide


@pytest.mark.row("003-58")
def test_erasing_takes_one_rectangle_of_the_area_and_ratio_from_the_share_of_pictures_asked_for():
    images = torch.full((2000, 30, 40, 3), 255, dtype=torch.uint8)

    got = erased(images, some(2000), 0.25, AREA, RATIO, "zero").numpy()

    changed = (got == 0).all(3)
    assert ((got == 0).any(3) == changed).all()
    hit = changed.any((1, 2))
    assert abs(hit.sum() - 500) < 4 * (2000 * 0.25 * 0.75) ** 0.5
    boxes = np.array([box_of(picture) for picture in changed[hit]])
    area, ratio = boxes[:, 2] * boxes[:, 3] / 1200, boxes[:, 2] / boxes[:, 3]
    assert area.min() > 0.015 and area.max() < 0.42 and area.max() > 0.35
    assert ratio.min() > 0.25 and ratio.max() < 4.0
    assert len({tuple(box) for box in boxes}) > 400
    assert abs(boxes[:, 0] + boxes[:, 2] / 2 - 15).mean() > 2  # not always in the middle
    assert abs((boxes[:, 0] + boxes[:, 2] / 2).mean() - 15) < 1 and abs((boxes[:, 1] + boxes[:, 3] / 2).mean() - 20) < 1.5


@pytest.mark.row("003-58")
def test_erased_pixels_become_noise_of_all_grey_levels_and_the_others_stay():
    images = torch.full((400, 30, 40, 2), 7, dtype=torch.uint8)
    got = erased(images, some(400), 1.0, (0.3, 0.3), (1.0, 1.0), "noise").numpy()
    noise = got[(got != 7).any(3)]
    assert len(noise) / (400 * 1200) == pytest.approx(0.3, abs=0.01)
    counts = np.bincount(noise.reshape(-1), minlength=256)
    assert chisquare(np.delete(counts, 7)).pvalue > 1e-4  # where both are 7 it does not show
    assert abs(np.corrcoef(noise.T.astype(float))[0, 1]) < 0.02
    assert len(np.unique(got, axis=0)) == 400


def test_nothing_is_erased_with_probability_0_and_what_cannot_fit_is_left_out():
    images = torch.full((50, 6, 9, 1), 255, dtype=torch.uint8)
    assert torch.equal(erased(images, some(50), 0.0, AREA, RATIO, "zero"), images)
    assert torch.equal(erased(images, some(50), 1.0, (0.9, 0.9), (9.0, 9.0), "zero"), images)


@pytest.mark.row("003-58")
@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_is_the_weighted_mean_with_weights_from_beta(alpha: float):
    rng = np.random.default_rng(0)
    images, others = (torch.from_numpy(rng.integers(0, 256, (3000, 2, 3, 1), dtype=np.uint8)) for _ in range(2))

    got, shares = mixed_pictures(images, others, some(3000), mixup=alpha, cutmix=0.0)

    weight = shares.double().numpy()[:, None, None, None]
    expected = weight * images.numpy() + (1 - weight) * others.numpy()
    assert got.dtype == torch.uint8 and np.abs(got.numpy() - expected).max() <= 0.5 + 1e-9
    for share in (0.01, 0.1, 0.3, 0.5, 0.8, 0.99):  # they come in steps of 1/4096, which are coarse at the ends
        assert abs((shares.numpy() <= share).mean() - beta(alpha, alpha).cdf(share)) < 4 * (0.25 / 3000) ** 0.5


@pytest.mark.row("003-58")
def test_cutmix_takes_a_rectangle_from_the_other_picture_and_counts_its_pixels():
    images, others = torch.zeros(2000, 20, 30, 2, dtype=torch.uint8), torch.full((2000, 20, 30, 2), 255, dtype=torch.uint8)

    got, shares = mixed_pictures(images, others, some(2000), mixup=0.0, cutmix=1.0)

    taken = (got == 255).all(3).numpy()
    np.testing.assert_allclose(1 - shares.numpy(), taken.mean((1, 2)), atol=1e-6)
    boxes = [box_of(picture) for picture in taken if picture.any()]
    whole = np.array([(tall, wide) for top, left, tall, wide in boxes if top > 0 and left > 0 and top + tall < 20 and left + wide < 30])
    assert len(whole) > 100 and np.abs(whole[:, 1] / 30 - whole[:, 0] / 20).max() < 0.06  # both sides are cut by one factor
    sides = np.array([max(tall / 20, wide / 30) for _, _, tall, wide in boxes])
    assert sides.max() > 0.9
    # with alpha 1 the area before it is cut at the border is evenly spread: by the source, 1 - l; a corner's share is 1 - l / 4 or more
    assert 0.25 < taken.mean() < 0.45


def test_with_both_each_picture_is_mixed_in_one_way_half_of_them_in_each():
    images, others = torch.zeros(2000, 16, 16, 1, dtype=torch.uint8), torch.full((2000, 16, 16, 1), 200, dtype=torch.uint8)
    got, shares = mixed_pictures(images, others, some(2000), mixup=1.0, cutmix=1.0)
    flat = got.view(2000, -1)
    constant = (flat == flat[:, :1]).all(1)
    blended = constant & (flat[:, 0] > 0) & (flat[:, 0] < 200)
    assert abs(int(blended.sum()) - 1000) < 100
    assert set(flat[~constant].unique().tolist()) == {0, 200}
    expected = flat.double().mean(1) / 200
    assert ((1 - shares.double()) - expected).abs().max() < 0.003


def test_labels_become_shares_of_classes_that_sum_to_one():
    labels, others = torch.tensor([0, 2, 1, 1]), torch.tensor([1, 2, 0, 3])
    shares = torch.tensor([0.75, 0.5, 1.0, 0.0])
    got = mixed_labels(labels, others, shares, 5)
    expected = [[0.75, 0.25, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]
    assert got.dtype == torch.float32 and got.tolist() == expected
    targets = mixed_labels(torch.tensor([2.0, 4.0]), torch.tensor([4.0, 0.0]), torch.tensor([0.25, 0.5]), 1)
    assert targets.tolist() == [3.5, 2.0]
    rows = mixed_labels(torch.eye(2), torch.ones(2, 2), torch.tensor([0.5, 1.0]), 2)
    assert rows.tolist() == [[1.0, 0.5], [0.0, 1.0]]


def test_partners_are_any_of_the_set():
    chosen = partners(some(10_000), 7)
    assert chisquare(np.bincount(chosen, minlength=7)).pvalue > 1e-4
