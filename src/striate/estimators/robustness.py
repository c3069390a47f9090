"""Curves of a fitted estimator's score: against noise in its inputs, and against the loss of weights or units.

Sources: McClelland, Rumelhart and Hinton, 1986, "The appeal of parallel distributed processing", for graceful degradation.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from torch import Tensor, nn

from striate.core.errors import ShapeError, UsageError
from striate.core.seeds import mixed
from striate.core.settings import check_counts

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
WEIGHTS = {  # attributes that hold the weights of estimators, here and in scikit-learn, with the axis of the units that send through them
    "coef_": -1,
    "coefs_": 0,
    "components_": 0,
    "weights_": 0,
    "sums_": 0,
    "patterns_": 0,
    "templates_": 0,
    "cluster_centers_": 0,
    "excitatory_": 0,
    "encoder_": 0,
    "decoder_": 0,
}


class Endurance(NamedTuple):
    """The score that is left as noise or damage grows."""

    sizes: tuple[float, ...]  # of the noise, or shares that were removed
    scores: tuple[float, ...]  # means over the draws
    deviations: tuple[float, ...]  # of the scores over the draws; 0 for one


def noise_curve(
    estimator: Any, X: Any, y: Any = None, *, noises: Sequence[float] = SHARES, draws: int = 3, random_state: int = 0
) -> Endurance:
    """The score of a fitted estimator against noise in its inputs.

    Where X has two values, such as 0 and 1, `noise` is the probability that an entry changes to the other one. Else Gaussian noise is
    added, with a deviation of `noise` times the range of X, and the sum is held in that range.

    Args:
        estimator: A fitted estimator, or a pipeline of scikit-learn that ends in one; it is left as it is.
        X: Inputs of any shape, as `predict` takes them.
        y: Classes or numbers; of an associative memory the patterns to recall, by default X itself.
        noises: 0 or more each.
        draws: Times that each noise is drawn anew.
        random_state: Seed of the noise.

    Returns:
        The mean scores: accuracy of a classifier, R^2 of a regressor, the share of entries recalled rightly of a memory, and of a map or
        of clusters the accuracy where each is named after the class that most rows of X have in it without noise.

    Raises:
        UsageError: it gives no answers, or a setting is out of its range.
        ShapeError: the answers have another shape than y.

    Example:
        >>> from striate.estimators import Hopfield
        >>> patterns = np.sign(np.random.default_rng(0).normal(size=(3, 100))).astype(int)
        >>> noise_curve(Hopfield().fit(patterns), patterns, noises=(0.0, 0.1)).scores
        (1.0, 1.0)
    """
    inputs, score = _asked(estimator, X, y)
    _check(noises, draws, "noises", most=float("inf"))

    def under(noise: float, draw: int) -> float:
        return score(estimator, _noisy(inputs, noise, np.random.default_rng(mixed(random_state, draw))))

    return _curve(noises, draws, under)


def lesion_curve(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    of: Literal["weights", "units"] = "weights",
    shares: Sequence[float] = SHARES,
    draws: int = 3,
    random_state: int = 0,
) -> Endurance:
    """The score of a fitted estimator against the share of its weights or units that is removed at random; nothing is trained again.

    A removed weight is 0. A removed unit sends nothing: in every layer all weights from it are 0; inputs count as units. In maps and
    machines, where units keep what they learned, those of a removed unit are.

    Args:
        estimator: A fitted estimator with weights, or a pipeline of such; it is left as it is.
        X: As of `noise_curve`.
        y: As of `noise_curve`.
        of: What is removed.
        shares: 0 to 1 each, of all weights or of the units of each layer.
        draws: Times that each share is drawn anew.
        random_state: Seed of the draws.

    Returns:
        The mean scores, as of `noise_curve`.

    Raises:
        UsageError: it has no weights or gives no answers, or a setting is out of its range.
        ShapeError: the answers have another shape than y.

    Example:
        >>> from striate.estimators import Hopfield
        >>> patterns = np.sign(np.random.default_rng(0).normal(size=(3, 100))).astype(int)
        >>> lesion_curve(Hopfield().fit(patterns), patterns, shares=(0.0, 0.3)).scores
        (1.0, 1.0)
    """
    inputs, score = _asked(estimator, X, y)
    _check(shares, draws, "shares", most=1)
    if of not in ("weights", "units"):
        raise UsageError(f"of must be weights or units, got {of!r}")
    if not any(True for _ in weights_of(estimator)):
        raise UsageError(f"{type(estimator).__name__}: has no weights that can be removed", "Fit it first, or choose a network.")

    def after(share: float, draw: int) -> float:
        damaged = copy.deepcopy(estimator)
        _remove(damaged, share, of, np.random.default_rng(mixed(random_state, draw)))
        return score(damaged, inputs)

    return _curve(shares, draws, after)


def weights_of(estimator: Any) -> Iterator[tuple[np.ndarray | Tensor, int]]:
    """The arrays and tensors of weights that answers are computed with, to be changed in place; each with the axis of its sending units."""
    for _, part in getattr(estimator, "steps", ()):
        yield from weights_of(part)
    held = vars(estimator)
    for name, value in held.items():
        module = getattr(value, "module", None)
        if isinstance(module, nn.Module):
            yield from ((weight.detach(), 1) for weight in module.parameters() if weight.ndim > 1)
        elif name in WEIGHTS and not (name == "patterns_" and "sums_" in held) and not (name == "weights_" and "sums_" in held):
            yield from _arrays(value, WEIGHTS[name])


def _arrays(value: Any, axis: int) -> Iterator[tuple[np.ndarray, int]]:
    """The arrays of two or more axes, and single vectors of weights, in an attribute; those of torch send along their second axis."""
    if isinstance(value, dict):
        for part in value.values():
            yield from ((array, 1) for array, _ in _arrays(part, 1) if array.ndim > 1)
    elif isinstance(value, list):
        for part in value:
            yield from _arrays(part, axis)
    elif isinstance(value, np.ndarray):
        yield value, axis


def _remove(estimator: Any, share: float, of: str, generator: np.random.Generator) -> None:
    """Set a share of the weights to 0, in place."""
    for weights, axis in weights_of(estimator):
        shape = tuple(weights.shape)
        units = [size if place == axis % len(shape) else 1 for place, size in enumerate(shape)]
        lost = np.broadcast_to(_drawn(shape if of == "weights" else units, share, generator), shape)
        weights[torch.from_numpy(lost.copy()) if isinstance(weights, Tensor) else lost] = 0
    if "sums_" in vars(estimator):  # a Hopfield network recalls by its patterns as well as by its weights
        vars(estimator).pop("patterns_", None)


def _drawn(shape: Sequence[int], share: float, generator: np.random.Generator) -> np.ndarray:
    """True in `share` of all places, to the nearest whole number."""
    size = int(np.prod(shape))
    lost = np.zeros(size, bool)
    lost[generator.permutation(size)[: round(share * size)]] = True
    return lost.reshape(shape)


def _noisy(X: np.ndarray, noise: float, generator: np.random.Generator) -> np.ndarray:
    values = np.unique(X)
    if len(values) == 2:
        return np.where(generator.random(X.shape) < noise, values.sum() - X, X).astype(X.dtype)
    low, high = float(values[0]), float(values[-1])
    noisy = (X + generator.normal(0, 1, X.shape) * noise * (high - low)).clip(low, high)
    return noisy.round().astype(X.dtype) if np.issubdtype(X.dtype, np.integer) else noisy.astype(X.dtype)


def _curve(sizes: Sequence[float], draws: int, score: Callable[[float, int], float]) -> Endurance:
    scores = [[score(size, draw) for draw in range(draws if size else 1)] for size in sizes]
    means, deviations = ([float(part(each)) for each in scores] for part in (np.mean, np.std))
    return Endurance(tuple(map(float, sizes)), tuple(means), tuple(deviations))


def _asked(estimator: Any, X: Any, y: Any) -> tuple[np.ndarray, Callable[[Any, np.ndarray], float]]:
    """The inputs, and what scores an estimator on them after a change of either."""
    if not isinstance(estimator, BaseEstimator) or not hasattr(estimator, "predict"):
        raise UsageError(f"{type(estimator).__name__}: gives no answers that could be right or wrong", "Give an estimator with predict.")
    inputs, wanted = np.asarray(X), np.asarray(X if y is None else y)
    if is_classifier(estimator) or is_regressor(estimator):
        return inputs, lambda one, changed: float(one.score(changed, wanted))
    first = np.asarray(estimator.predict(inputs))
    if first.shape != wanted.shape:
        raise ShapeError(f"the answers have shape {first.shape}, y has {wanted.shape}", "Give y, one class per row or one pattern per row.")
    if first.ndim > 1:
        return inputs, lambda one, changed: float((one.predict(changed) == wanted).mean())
    names = {answer: _commonest(wanted[first == answer]) for answer in np.unique(first)}
    return inputs, lambda one, changed: float(np.mean([names.get(a) == c for a, c in zip(one.predict(changed), wanted, strict=True)]))


def _commonest(classes: np.ndarray) -> Any:
    values, counts = np.unique(classes, return_counts=True)
    return values[counts.argmax()]


def _check(sizes: Sequence[float], draws: int, name: str, *, most: float) -> None:
    check_counts(draws=draws)
    if not len(sizes) or not all(0 <= size <= most for size in sizes):
        raise UsageError(f"{name} must be 0 {'to 1' if most == 1 else 'or more'} each, got {tuple(sizes)}")
