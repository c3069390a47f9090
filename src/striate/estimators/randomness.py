"""The random numbers of estimators: scikit-learn's `random_state`, and NumPy's newer generators beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

MOST = 2**31 - 1


def random_state_of(random_state: Any) -> np.random.RandomState:
    """The random generator: for None, an integer or a RandomState as in scikit-learn; for a Generator, one seeded from it."""
    if isinstance(random_state, np.random.Generator):
        return np.random.RandomState(int(random_state.integers(MOST)))
    drawing: np.random.RandomState = check_random_state(random_state)
    return drawing


def seed_of(random_state: Any) -> int:
    """A seed for torch, or for a generator of NumPy."""
    return int(random_state_of(random_state).randint(MOST))
