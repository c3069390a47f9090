"""The scanned digits that come with scikit-learn, in the split that the demos share, and a judge of generated digits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from striate.estimators.neurons.svm import KernelSVM


class Digits(NamedTuple):
    """Digits of 8 x 8 pixels in [0, 1] with their labels: three quarters for training, one quarter held out."""

    train: np.ndarray  # (1347, 64)
    labels: np.ndarray
    test: np.ndarray  # (450, 64)
    wanted: np.ndarray


def small_digits() -> Digits:
    """The same split each time, with as many of each label in both parts."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    train, test, labels, wanted = train_test_split(data.data / 16, data.target, test_size=0.25, stratify=data.target, random_state=0)
    return Digits(train, labels, test, wanted)


def judge(digits: Digits) -> KernelSVM:
    """The judge of generated digits: a support vector machine trained on the quarter that the generators have not seen (accuracy 0.97)."""
    return KernelSVM(C=10, gamma=0.05).fit(digits.test, digits.wanted)
