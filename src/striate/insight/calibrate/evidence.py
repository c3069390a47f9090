"""Calibration with few pictures: a temperature with a prior, and the uncertainty of it and of a threshold."""

from __future__ import annotations

import math

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.errors import DataError
from striate.insight.calibrate.temperature import checked

SHARPEST, BLUNTEST = 0.1, 10.0  # temperatures that are given at all
USUAL = math.log(2)  # deviation of log T between trained networks: a factor of 2 either way
POINTS = 481  # of log T that are tried
MOST_LOGITS = 2**22
ENOUGH = 100  # pictures, below which a temperature is called uncertain


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """A temperature, and the pictures it was estimated from."""

    value: float
    interval: tuple[float, float]  # in which it lies with 95 % probability, given the pictures
    num_images: int
    num_wrong: int

    @property
    def is_uncertain(self) -> bool:
        """True if it was estimated from few pictures."""
        return self.num_images < ENOUGH


def held_back_temperature(logits: np.ndarray, labels: np.ndarray) -> Temperature:
    """The most probable temperature T under a prior of usual values, limited by what so many pictures can show.

    With log T ~ N(0, log 2) before the pictures are seen, it maximizes

        sum over images of log softmax(z / T)_label - (log T / log 2)^2 / 2

    so that a thousand pictures decide alone, and two say next to nothing. Where that makes the network surer of itself (T < 1), it does so
    no further than to a mean confidence of (r + 1) / (N + 2), with r of N right: Laplace's rule of succession, the share of right answers
    that is to be expected of new pictures. So a network that makes no mistake in two pictures is not called sure.

    Of more than 2^22 logits it takes every n-th picture, as ten thousand of as many classes would take minutes.

    Args:
        logits: (N, K) float, of images that the model was not trained on.
        labels: (N,) int in [0, K).

    Raises: as `fit_temperature`.
    """
    every = max(1, math.ceil(np.asarray(logits).size / MOST_LOGITS))
    logits, labels = checked(logits[::every], labels[::every])
    logits = logits - logits.max(1, keepdims=True)
    log_t = np.linspace(math.log(SHARPEST), math.log(BLUNTEST), POINTS)
    gains = np.array([_log_likelihood(logits, labels, math.exp(t)) for t in log_t]) - (log_t / USUAL) ** 2 / 2
    right = int((logits[np.arange(len(labels)), labels] == 0).sum())  # the largest logit of each is 0 now
    best = min(BLUNTEST, max(SHARPEST, math.exp(_refined(log_t, gains))))
    value = _no_sharper(logits, best, (right + 1) / (len(labels) + 2)) if best < 1 else best
    shares = np.exp(gains - gains.max())
    cumulated = np.cumsum(shares) / shares.sum()
    low, high = (math.exp(float(np.interp(edge, cumulated, log_t))) for edge in (0.025, 0.975))
    return Temperature(value=value, interval=(min(low, value), max(high, value)), num_images=len(labels), num_wrong=len(labels) - right)


def _log_likelihood(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    scaled = logits / temperature
    return float((scaled[np.arange(len(labels)), labels] - np.log(np.exp(scaled).sum(1))).sum())


def _refined(places: np.ndarray, values: np.ndarray) -> float:
    """The maximum of the parabola through the largest of evenly spaced values and its neighbours."""
    best = int(values.argmax())
    if best in (0, len(values) - 1):
        return float(places[best])
    before, here, after = values[best - 1 : best + 2]
    return float(places[best] + (places[1] - places[0]) * (before - after) / (2 * (before - 2 * here + after)))


def _no_sharper(logits: np.ndarray, temperature: float, most: float) -> float:
    """The least temperature from `temperature` to 1 at which the mean confidence is at most `most`; 1 if there is none."""
    low, high = temperature, 1.0
    if _confidence(logits, low) <= most:
        return low
    if _confidence(logits, high) >= most:
        return high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _confidence(logits, middle) <= most else (middle, high)
    return high


def _confidence(logits: np.ndarray, temperature: float) -> float:
    return float((1 / np.exp(logits / temperature).sum(1)).mean())


def coverage_interval(answered: int, count: int) -> tuple[float, float]:
    """Of pictures like `count` others, the share that scores at least as much as the lowest of the `answered` best: 95 % interval.

    The share above an order statistic of `count` draws, whatever their distribution, is Beta(answered, count + 1 - answered).

    Source: Vovk, 2012, arXiv:1209.2673, proposition 2a (coverage of conformal predictors given their calibration set).
    """
    from scipy.stats import beta

    low, high = beta.ppf((0.025, 0.975), answered, count + 1 - answered)
    return float(low), float(high)


def refuse_few(count: int, coverage: float) -> None:
    """Refuse a threshold that cannot be estimated from so few pictures.

    Raises:
        DataError: none of `count` pictures lies below a threshold that answers the share `coverage` of them.
    """
    needed = math.ceil(round(1 / (1 - coverage), 9)) if coverage < 1 else 1
    if count >= needed:
        return
    low, high = coverage_interval(count, count)
    pictures = "1 picture" if count == 1 else f"{count:,} pictures"
    message = f"{pictures} of val cannot show which score {coverage:.0%} of others reach: {low:.0%} to {high:.0%} reach the lowest"
    raise DataError(message, f"Give at least {needed:,} labelled pictures by `data`, better ten times as many; or leave `coverage` out.")
