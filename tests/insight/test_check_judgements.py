"""Flaws, labels that hardly fit, and what gives a label away, on made data whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from striate.core.images import ImageSpec
from striate.insight.check.labels import suspects
from striate.insight.check.looks import look_at
from striate.insight.check.quality import flaws_of, loss_of
from striate.insight.check.shortcuts import shortcuts
from striate.models.linear_head import head_folds, out_of_fold


def test_suspects_follow_the_confident_joint_by_hand():
    """Means of own probabilities: 0.7 for class 0, 0.6 for class 1. Row 2 reaches that of class 1; row 5 reaches none but its own."""
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.1, 0.9], [0.35, 0.65], [0.75, 0.25]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    found = suspects(probs, labels)

    assert [(one.place, one.suggested) for one in found] == [(5, 0), (2, 1)]
    assert [one.margin for one in found] == pytest.approx([0.5, 0.4])


def test_flipped_labels_of_separate_clouds_are_the_suspects():
    rng = np.random.default_rng(0)
    truth = np.arange(120) % 3
    features = rng.normal(size=(120, 8)) + 6 * np.eye(8)[truth]
    labels = truth.copy()
    labels[[5, 40, 77]] = (labels[[5, 40, 77]] + 1) % 3

    folds = head_folds(labels, [str(place) for place in range(120)], "abc", seed=0)
    found = suspects(out_of_fold(features, labels, 3, folds=folds).shares, labels)

    assert {one.place for one in found} == {5, 40, 77}
    assert all(one.suggested == truth[one.place] for one in found)


def test_each_flaw_is_told_by_a_picture_that_has_it():
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (100, 120, 3)).astype(np.uint8)
    spot = np.zeros_like(sharp)
    spot[40:60, 40:60] = 255
    pictures = {
        (): sharp,
        ("blank",): np.full_like(sharp, 90),
        ("dark",): sharp // 4,
        ("light",): 243 + sharp // 20,
        ("blurred",): (127 + 100 * np.sin(np.arange(100) / 15)[:, None] * np.cos(np.arange(120) / 15)).astype(np.uint8)[..., None],
        ("empty",): spot,
        ("odd_shape",): sharp[:30],
    }
    assert {flaws: flaws_of(look_at(pixels), *pixels.shape[:2]) for flaws, pixels in pictures.items()} == {
        flaws: flaws for flaws in pictures
    }


def test_a_border_of_one_colour_is_measured_on_each_side():
    picture = np.random.default_rng(0).integers(0, 256, (50, 40, 3)).astype(np.uint8)
    picture[:10] = 0
    picture[:, -4:] = 0
    assert look_at(picture).border == (0.2, 0.0, 0.0, 0.1)


@pytest.mark.parametrize(("fit", "expected"), [("crop", (0.5, 0, 1)), ("pad", (0, 0.5, 1)), ("stretch", (0, 0, 2))])
def test_what_a_fit_takes_from_a_picture_twice_as_wide_as_high(fit, expected):
    spec = ImageSpec(height=50, width=50, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3, fit=fit)
    assert loss_of(100, 200, spec) == pytest.approx(expected)


def test_a_property_of_one_class_is_told_with_the_class_and_noise_is_not():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    properties = {"file format": (labels == 2)[:, None].astype(float), "size": labels[:, None] * 10.0, "noise": rng.normal(size=(200, 1))}

    found = {one.property: one for one in shortcuts(properties, labels, frozenset())}

    assert found.keys() == {"file format", "size"}
    assert found["file format"].classes == (2,) and found["file format"].accuracy == pytest.approx(0.5, abs=0.13)
    assert found["size"].accuracy == 1.0 and found["size"].classes == (0, 1, 2, 3) and found["size"].chance == 0.25
