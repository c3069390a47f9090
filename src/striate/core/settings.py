"""Checks of settings: each names the setting that is out of its range, what was given, and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.core.errors import UsageError


def is_whole(value: Any) -> bool:
    """Return whether it is an integer, of Python or NumPy."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Return whether it is a real number, of Python or NumPy."""
    return is_whole(value) or isinstance(value, float | np.floating)


def check_counts(*, least: int = 1, **counts: Any) -> None:
    """Refuse a setting that is not an integer, or less than `least`.

    Raises:
        UsageError: names it.
    """
    for name, value in counts.items():
        if not is_whole(value):
            raise UsageError(f"{name} must be a whole number, got {value!r}")
        if value < least:
            raise UsageError(f"{name} must be at least {least}, got {value}")


def check_numbers(**numbers: Any) -> None:
    """Refuse a setting that is not a number, or NaN.

    Raises:
        UsageError: names it.
    """
    for name, value in numbers.items():
        if not is_number(value) or math.isnan(value):
            raise UsageError(f"{name} must be a number, got {value!r}")


def check_word(*, known: Sequence[str], **words: Any) -> None:
    """Refuse a setting that is none of the `known` words.

    Raises:
        UsageError: names it.
    """
    for name, value in words.items():
        if value not in known:
            raise UsageError(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, got {value!r}")


def check_rate(learning_rate: Any) -> None:
    """Refuse a learning rate that is not positive.

    Raises:
        UsageError: it is not.
    """
    check_numbers(learning_rate=learning_rate)
    if not learning_rate > 0:
        raise UsageError(f"learning_rate must be positive, got {learning_rate}")


def check_limit(max_grad_norm: Any) -> None:
    """Refuse a maximum gradient norm that is not positive; None is no limit.

    Raises:
        UsageError: it is not.
    """
    if max_grad_norm is not None:
        check_numbers(max_grad_norm=max_grad_norm)
        if not max_grad_norm > 0:
            raise UsageError(f"max_grad_norm must be positive or None, got {max_grad_norm}")


def check_betas(betas: Any) -> None:
    """Refuse values that cannot be Adam's two decay rates.

    Raises:
        UsageError: they are not two numbers from 0 to below 1.
    """
    numbers = tuple(betas) if isinstance(betas, Sequence) and not isinstance(betas, str) else ()
    if len(numbers) != 2 or not all(is_number(beta) and 0 <= beta < 1 for beta in numbers):
        raise UsageError(f"betas must be two numbers from 0 to below 1, got {betas!r}")


def sizes_of(name: str, value: Any) -> tuple[int, ...]:
    """The sizes of some layers; one number stands for one layer.

    Raises:
        UsageError: names the size that is not a whole number of at least 1.
    """
    if is_whole(value):
        check_counts(**{name: value})
        return (int(value),)
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
        raise UsageError(f"{name} must be whole numbers such as (64, 32), got {value!r}")
    check_counts(**{f"{name}[{place}]": size for place, size in enumerate(value)})
    return tuple(int(size) for size in value)
