"""A trained model's predictions on training and validation pictures without augmentation: the numbers that findings rest on."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from pydantic.dataclasses import dataclass

TENTHS = 10  # groups of equal size, by confidence, whose errors are counted
SHIFTED = 0.3  # distance between brightness or contrast, from which on it may be a finding
MOST_BYTES = 2**28  # of training pictures that are compared with the validation's one by one


class Shift(NamedTuple):
    """The difference of two sets of pictures in brightness or contrast."""

    distance: float  # Kolmogorov-Smirnov: 0 (the same distribution) to 1
    p_value: float | None  # of such a distance between two samples of one distribution, times the number of measures; None: below `SHIFTED`


@dataclass(frozen=True, kw_only=True)
class Answers:
    """A model's predictions on the pictures of a split, in evaluation mode and without augmentation."""

    num_images: int
    accuracy: float
    errors: tuple[float, ...]  # share of wrong answers in each tenth of the pictures, the most confident tenth first
    counts: tuple[int, ...]  # pictures of each class
    hits: tuple[int, ...]  # of them, those with the right answer


@dataclass(frozen=True, kw_only=True)
class Exam:
    """The kept model on some training pictures and on validation pictures, and how the two sets compare."""

    train: Answers
    val: Answers
    train_counts: tuple[int, ...]  # pictures of each class, in the whole split
    val_counts: tuple[int, ...]
    shared: int | None  # validation pictures that are training pictures too, pixel by pixel; None: not counted
    shift: Shift
    input_mean: float  # of the network's input, over the training pictures: 0 if they are normalized by their own statistics
    input_std: float  # likewise: 1


def answers_of(probabilities: np.ndarray, labels: np.ndarray) -> Answers:
    """Count correct and wrong predictions.

    Args:
        probabilities: (N, K), or scores whose largest is the answer.
        labels: (N,) int64.
    """
    wrong = probabilities.argmax(1) != labels  # (N,)
    by_confidence = wrong[np.argsort(-probabilities.max(1), kind="stable")]  # the most confident first
    counts = np.bincount(labels, minlength=probabilities.shape[1])  # (K,)
    hits = np.bincount(labels[~wrong], minlength=len(counts))
    return Answers(
        num_images=len(labels),
        accuracy=float(1 - wrong.mean()),
        errors=tuple(float(part.mean()) if len(part) else 0.0 for part in np.array_split(by_confidence, TENTHS)),
        counts=tuple(counts.tolist()),
        hits=tuple(hits.tolist()),
    )


def shared_pictures(train: np.ndarray, val: np.ndarray) -> int | None:
    """The number of `val` (N, H, W, C) uint8 that are also in `train`; None if there is too much to compare."""
    if train.nbytes > MOST_BYTES:
        return None
    known = {hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=16).digest() for picture in train}
    return sum(hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=16).digest() in known for picture in val)


def shift_between(train: np.ndarray, val: np.ndarray) -> Shift:
    """The largest distance in the means of the channels and in the contrast of the pictures, (N, ..., C) each."""
    pairs = list(zip(_measures(train), _measures(val), strict=True))
    distances = [_distance(one, other) for one, other in pairs]
    distance = max(distances)  # all are of samples of the same sizes, so that it is the least probable, too
    if distance < SHIFTED:
        return Shift(distance, None)
    from scipy.stats import ks_2samp  # takes half a second

    return Shift(distance, min(1.0, float(ks_2samp(*pairs[distances.index(distance)]).pvalue) * len(pairs)))


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Kolmogorov-Smirnov's: the largest difference of the shares of two samples (N,) and (M,) that are no larger than a number."""
    numbers = np.concatenate([one, other])
    shares = [np.searchsorted(np.sort(sample), numbers, side="right") / len(sample) for sample in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def _measures(images: np.ndarray) -> list[np.ndarray]:
    """(N,) each: the mean of each channel, and the deviation over all values of a picture."""
    values = images.reshape(len(images), -1, images.shape[-1]).astype(np.float32)  # (N, places, C)
    return [*values.mean(1).T, values.std((1, 2))]
