"""Attacks: equal to the closed form on linear models, exact about their norms, and nothing is left behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from striate.core.errors import ShapeError, UnknownNameError, UsageError
from striate.insight import attack
from striate.insight.attack.inside import within

IMAGES = torch.rand(6, 3, 5, 7, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2  # far from 0 and 1
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 20, 28, 3), np.uint8)


def linear(num_classes: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 5 * 7, num_classes)).train()


def bent() -> nn.Sequential:
    """A network with everything that an attack meets."""
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(8 * 3 * 5, 16),
        nn.Tanh(),
        nn.Linear(16, 4),
    )
    model[1].running_var.uniform_(0.05, 0.2)
    return model


def answered(model: nn.Module) -> torch.Tensor:
    return attack.answers_of(model, IMAGES)


def nearest_boundary(model: nn.Sequential, labels: torch.Tensor) -> torch.Tensor:
    """The L2 distance to the nearest class boundary of a linear model: min |f_k - f_y| / |w_k - w_y|."""
    weight, bias = model[1].weight.detach().double(), model[1].bias.detach().double()
    logits = IMAGES.double().flatten(1) @ weight.T + bias
    far = []
    for row, label in zip(logits, labels.tolist(), strict=True):
        far.append(min(float((row[label] - row[k]) / (weight[k] - weight[label]).norm()) for k in range(len(row)) if k != label))
    return torch.tensor(far, dtype=torch.float64)


def test_fgsm_on_two_classes_steps_by_the_signs_of_the_weights():
    """With logits w_k . x, the loss of class 0 grows along sign(w_1 - w_0)."""
    model = linear(2)
    labels = torch.zeros(6, dtype=torch.int64)

    changed = attack.fgsm(model, IMAGES, labels, eps=0.1)

    direction = (model[1].weight[1] - model[1].weight[0]).sign().view(3, 5, 7)
    torch.testing.assert_close(changed, IMAGES + 0.1 * direction)
    assert all(part.training for part in model.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_fgsm_in_l2_steps_along_the_difference_of_the_weights():
    model = linear(2)
    labels = torch.ones(6, dtype=torch.int64)

    changed = attack.fgsm(model, IMAGES, labels, eps=0.1, norm="l2")

    direction = F.normalize(model[1].weight[0] - model[1].weight[1], dim=0).view(3, 5, 7)
    torch.testing.assert_close(changed, IMAGES + 0.1 * direction)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("eps", [1e-9, 0.03, 8 / 255, 0.3, 2.0])
@pytest.mark.row("004-19")
def test_norms_are_kept_exactly_and_pixels_stay_pixels(norm, eps):
    model, wild = bent(), torch.rand(6, 3, 5, 7, generator=torch.Generator().manual_seed(5))
    labels = torch.arange(6) % 4

    for changed in (
        attack.fgsm(model, wild, labels, eps=eps, norm=norm),
        attack.pgd(model, wild, labels, eps=eps, norm=norm, steps=5, restarts=2),
        attack.random_noise(wild, eps=eps, norm=norm),
    ):
        change = changed.double() - wild.double()
        size = change.abs().amax((1, 2, 3)) if norm == "linf" else change.flatten(1).norm(dim=1)
        assert (size <= eps).all()
        assert changed.min() >= 0 and changed.max() <= 1
        if 0.01 < eps < 1:
            assert (size > 0.9 * eps).all()


@pytest.mark.row("004-19")
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_fools_whatever_fgsm_fools_and_eps_0_changes_nothing(norm):
    model = bent()
    labels = answered(model)
    for eps in (0.01, 0.03, 0.1, 0.4):
        by_fgsm = answered_after(model, attack.fgsm(model, IMAGES, labels, eps=eps, norm=norm)) != labels
        by_pgd = answered_after(model, attack.pgd(model, IMAGES, labels, eps=eps, norm=norm, steps=10)) != labels
        assert (by_pgd | ~by_fgsm).all()
    assert torch.equal(attack.pgd(model, IMAGES, labels, eps=0.0, norm=norm), IMAGES)
    assert torch.equal(attack.fgsm(model, IMAGES, labels, eps=0.0, norm=norm), IMAGES)


def answered_after(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return attack.answers_of(model, images)


def test_pgd_in_l2_fools_a_linear_model_just_where_the_boundary_is_in_reach():
    """Two classes: reachable exactly when the distance is at most eps."""
    model = linear(2)
    labels = answered(model)
    far = nearest_boundary(model, labels)
    eps = float(far.median()) + 1e-4

    changed = attack.pgd(model, IMAGES, labels, eps=eps, norm="l2", steps=20)

    assert torch.equal(answered_after(model, changed) != labels, far < eps)


def test_deepfool_moves_to_the_nearest_boundary_of_a_linear_model():
    """In one step, |f| / |w| away, and 2 % beyond."""
    model = linear()
    labels = answered(model)

    changed = attack.deepfool(model, IMAGES, labels)

    far, given = attack.distances_to_fool(model, IMAGES, labels, changed)
    torch.testing.assert_close(far, 1.02 * nearest_boundary(model, labels), rtol=2e-2, atol=3e-4)
    assert (given != labels).all()
    wrong = (labels + 1) % 4
    assert torch.equal(attack.deepfool(model, IMAGES, wrong), IMAGES)  # wrong already


def test_carlini_wagner_comes_near_the_least_distance_of_a_linear_model():
    model = linear()
    labels = answered(model)

    changed = attack.carlini_wagner(model, IMAGES, labels, steps=120, searches=7)

    far, _ = attack.distances_to_fool(model, IMAGES, labels, changed)
    least = nearest_boundary(model, labels)
    assert (far >= least * (1 - 1e-4)).all()
    assert (far <= least * 1.1 + 1e-3).all()


def test_accuracy_never_rises_with_eps_and_begins_at_the_clean_one():
    model = bent()
    labels = answered(model)
    labels[0] = (labels[0] + 1) % 4  # one is wrong without help

    for name in ("noise", "fgsm", "pgd"):
        curve = attack.accuracy_curve(model, IMAGES, labels, (0.0, 0.02, 0.05, 0.1, 0.3), attack.bounded_attack(name, norm="linf"))
        assert curve.accuracies[0] == pytest.approx(5 / 6)
        assert list(curve.accuracies) == sorted(curve.accuracies, reverse=True)
        assert ((curve.answers != labels) == curve.fooled_at.isfinite()).all()
    assert curve.accuracies[-1] == 0


def test_attacks_draw_nothing_from_torchs_generator_and_repeat_themselves():
    model = bent()
    labels = answered(model)
    before = torch.get_rng_state()
    batch_norm = model[1].running_mean.clone()

    first = attack.pgd(model, IMAGES, labels, eps=0.05, restarts=2, seed=4)
    again = attack.pgd(model, IMAGES, labels, eps=0.05, restarts=2, seed=4)

    assert torch.equal(first, again)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(batch_norm, model[1].running_mean)
    assert model.training


# ---- pictures that came out badly


@pytest.mark.row("001-9")
def test_turns_equal_scipys_and_quarter_turns_are_exact():
    square = PICTURES[:, :20, :20]

    assert np.array_equal(attack.rotated(square, 90), np.rot90(square, axes=(1, 2)))
    assert np.array_equal(attack.rotated(PICTURES, 0), PICTURES)
    turned = attack.rotated(PICTURES, 30)
    by_scipy = ndimage.rotate(PICTURES.astype(float), 30, axes=(2, 1), reshape=False, order=1, mode="constant")
    mirrored = ndimage.rotate(PICTURES.astype(float), -30, axes=(2, 1), reshape=False, order=1, mode="constant")
    inner = (slice(None), slice(5, 15), slice(9, 19))
    off = [np.abs(turned[inner] - other[inner]).max() for other in (by_scipy, mirrored)]
    assert min(off) < 1.1
    corner = np.zeros((1, 21, 21, 1), np.uint8)
    corner[0, 10, 18] = 255  # to the right; counter-clockwise by 30 degrees is up
    row, column = np.unravel_index(attack.rotated(corner, 30)[0, ..., 0].argmax(), (21, 21))
    assert row < 10 and column < 18


@pytest.mark.row("001-9")
def test_shifts_leave_black_behind_and_flips_undo_themselves():
    right, up = attack.shifted(PICTURES, 3, "right"), attack.shifted(PICTURES, 2, "up")

    assert np.array_equal(right[:, :, 3:], PICTURES[:, :, :-3]) and not right[:, :, :3].any()
    assert np.array_equal(up[:, :-2], PICTURES[:, 2:]) and not up[:, -2:].any()
    assert np.array_equal(attack.shifted(PICTURES, 0, "left"), PICTURES) and not attack.shifted(PICTURES, 99, "down").any()
    for axis, reverse in (("horizontal", np.s_[:, :, ::-1]), ("vertical", np.s_[:, ::-1])):
        assert np.array_equal(attack.flipped(PICTURES, axis), PICTURES[reverse])
    with pytest.raises(UsageError, match="pixels must be 0 or more, got -1"):
        attack.shifted(PICTURES, -1, "left")


@pytest.mark.row("003-26")
def test_uneven_light_occlusion_and_clutter_by_hand():
    grey = np.stack([np.full((20, 30, 1), value, np.uint8) for value in (100, 200)])

    light, covered, clutter = (attack.corrupted(grey, name, 2, seed=1) for name in ("uneven_light", "occlusion", "clutter"))

    assert light[0].max() == 100 and light[0].min() == 50  # all of the light in one place, half of it in another
    assert ((covered == 128).sum((1, 2, 3)) == 6 * 9).all()  # 0.3 of each side
    assert covered[0].tolist() != (covered[1] - 100).tolist()  # each picture at a place of its own
    assert (clutter[0, 3:-3, 4:-4] == 100).all() and (clutter[1, 3:-3, 4:-4] == 200).all()  # 0.15 of the sides
    assert (clutter[0] == 200).sum() == (clutter[1] == 100).sum() == 20 * 30 - 14 * 22  # the frame is the other picture's


def test_corruptions_by_hand():
    grey = np.full((1, 16, 18, 1), 100, np.uint8)
    grey[0, :, 9:] = 200

    bright = attack.corrupted(grey, "brightness", 1)
    flat = attack.corrupted(grey, "contrast", 1)

    assert bright[0, 0, 0, 0] == 126 and bright[0, 0, 17, 0] == 226  # + 25.5, half up
    assert flat[0, 0, 0, 0] == 130 and flat[0, 0, 17, 0] == 170  # 150 +- 0.4 * 50
    noisy = attack.corrupted(np.full((1, 200, 210, 1), 128, np.uint8), "gaussian_noise", 1).astype(float)
    assert noisy.std() / 255 == pytest.approx(0.08, rel=0.02)


@pytest.mark.parametrize("name", list(attack.corruptions.NAMES))
def test_corruptions_grow_with_severity_and_repeat_themselves(name):
    rows = np.add.outer(np.arange(64) * 2, np.arange(80) * 1).astype(float)
    waves = np.stack([rows + 40 * np.sin(rows / (5 + c)) for c in range(3)], -1)[None]
    smooth = (waves + np.random.default_rng(1).normal(0, 8, waves.shape)).clip(0, 190).astype(np.uint8)

    changes = []
    for severity in range(6):
        changed = attack.corrupted(smooth, name, severity, seed=3)
        assert changed.shape == smooth.shape and changed.dtype == np.uint8
        assert np.array_equal(changed, attack.corrupted(smooth, name, severity, seed=3))
        changes.append(np.abs(changed.astype(float) - smooth).mean())
    assert changes[0] == 0 and changes == sorted(changes) and changes[1] > 0


def test_refusals_say_what_came_and_what_was_wanted():
    model, labels = linear(), torch.zeros(6, dtype=torch.int64)
    with pytest.raises(UsageError, match=r"images must be pixels in \[0, 1\], got .* to 5"):
        attack.fgsm(model, IMAGES.clone().index_fill_(0, torch.tensor([0]), 5.0), labels, eps=0.1)
    with pytest.raises(ShapeError, match=r"labels must be \(6,\), one per image, got \(5,\)"):
        attack.pgd(model, IMAGES, labels[:5], eps=0.1)
    with pytest.raises(UsageError, match="eps must be 0 or more, got -1"):
        attack.fgsm(model, IMAGES, labels, eps=-1)
    with pytest.raises(UsageError, match="norm must be linf or l2, got 'l1'"):
        attack.fgsm(model, IMAGES, labels, eps=0.1, norm="l1")
    with pytest.raises(UsageError, match=r"eps must grow from 0 or more, got 0.2, 0.1"):
        attack.accuracy_curve(model, IMAGES, labels, (0.2, 0.1), attack.bounded_attack("fgsm", norm="linf"))
    with pytest.raises(UnknownNameError, match="unknown corruption 'blurr'"):
        attack.corrupted(PICTURES, "blurr", 1)
    with pytest.raises(UsageError, match="severity must be 0 to 5, got 6"):
        attack.corrupted(PICTURES, "blur", 6)
    with pytest.raises(ShapeError, match="images must be uint8"):
        attack.rotated(PICTURES.astype(float), 3)


@pytest.mark.parametrize("eps", [1 / 255, 2 / 255, 4 / 255, 8 / 255, 16 / 255, 0.1, 0.2, 0.3])
def test_each_pixel_value_is_brought_within_each_usual_eps_and_soon(eps):
    """Moving by one representable number at a time took for ever where black pixels are pushed below 0."""
    images = (torch.arange(256) / 255).view(1, 1, 16, 16)
    for push in (-1.0, 1.0):
        near = within(images + push, images, eps, "linf")

        assert float((near.double() - images.double()).abs().max()) <= eps
        assert 0 <= float(near.min()) <= float(near.max()) <= 1
        assert float((near - images).abs().max()) > 0.999 * eps
