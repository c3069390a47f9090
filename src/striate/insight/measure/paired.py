"""Two classifiers on the same pictures: who is right on which, and whether that can be chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Two models on the same pictures, by McNemar's exact test."""

    first: str
    second: str
    both_right: int
    first_only: int  # right by the first alone
    second_only: int
    both_wrong: int
    accuracy_difference: float  # second - first
    p_value: float  # two-sided


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A picture on which the models differ."""

    path: str
    label: str
    answers: tuple[str, ...]


def mcnemar(first_only: int, second_only: int) -> float:
    """The two-sided p-value that two models are equally accurate, from the pictures that only one of them classifies correctly.

    With n such pictures, k of them the rarer kind:        p = min(1, 2 sum_{i <= k} C(n, i) / 2^n)

    Source: McNemar, 1947, Psychometrika 12(2); the exact binomial form, which needs no large numbers.
    """
    from scipy.stats import binomtest

    count = first_only + second_only
    return float(binomtest(first_only, count).pvalue) if count else 1.0


def paired_test(first: str, second: str, right: np.ndarray, other: np.ndarray) -> PairedTest:
    """Two models by name, with whether each is right (N,) bool on the same pictures."""
    first_only, second_only = int((right & ~other).sum()), int((other & ~right).sum())
    return PairedTest(
        first=first,
        second=second,
        both_right=int((right & other).sum()),
        first_only=first_only,
        second_only=second_only,
        both_wrong=int((~right & ~other).sum()),
        accuracy_difference=(second_only - first_only) / len(right),
        p_value=mcnemar(first_only, second_only),
    )


def differences(paths: Sequence[str], labels: np.ndarray, answers: np.ndarray, classes: Sequence[str]) -> list[Difference]:
    """The pictures on which some of the models' answers (n, N) differ, with their labels (N,), as indices of `classes`."""
    places = np.flatnonzero((answers != answers[0]).any(0)).tolist()
    return [Difference(path=paths[i], label=classes[labels[i]], answers=tuple(classes[k] for k in answers[:, i])) for i in places]
