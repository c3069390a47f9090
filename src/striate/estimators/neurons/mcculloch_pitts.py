"""The McCulloch-Pitts neuron: a weighted sum and a threshold, set by hand.

Source: McCulloch and Pitts, 1943, "A logical calculus of the ideas immanent in nervous activity".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from striate.core.errors import DataError, ShapeError, UnknownNameError
from striate.estimators.numbers import real_numbers
from striate.estimators.persistence import Saved

# fmt: off
#          weights   threshold
GATES = {
    "and":  ((1, 1),  1.5),
    "or":   ((1, 1),  0.5),
    "nand": ((-1, -1), -1.5),
    "nor":  ((-1, -1), -0.5),
    "not":  ((-1,),   -0.5),
}
# fmt: on


@dataclass(eq=False, repr=False)
class McCullochPitts(Saved, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """One neuron that fires if its weighted inputs exceed its threshold.

        o = 1 if w . x > threshold else 0

    It learns nothing: `fit` is there for pipelines only.

    Args:
        weights: (n,) one for each input.
        threshold: The value that the sum must exceed.

    Example:
        >>> McCullochPitts.gate("nor").predict([[0, 0], [0, 1], [1, 0], [1, 1]]).tolist()
        [1, 0, 0, 0]
    """

    weights: Any = (1, 1)
    threshold: float = 1.5

    @classmethod
    def gate(cls, name: str) -> Self:
        """The neuron that is the gate `name`: and, or, nand, nor, not. No single neuron is xor.

        Raises:
            UnknownNameError: there is no such gate.
        """
        if name not in GATES:
            raise UnknownNameError("gate", name, GATES, f"One neuron can be: {', '.join(GATES)}.")
        return cls(*GATES[name])

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Nothing to learn: returns itself."""
        return self

    def predict(self, X: Any) -> np.ndarray:
        """0 or 1 (n,) for each row of X (n, inputs).

        Raises:
            ShapeError: X has another number of columns than there are weights.
            DataError: X holds NaN or Inf, or no numbers.
        """
        inputs, weights = real_numbers("X", X), real_numbers("weights", self.weights)
        if weights.ndim != 1:
            raise ShapeError(f"weights must be (inputs,), got {weights.shape}")
        if inputs.ndim != 2 or inputs.shape[1:] != weights.shape:
            raise ShapeError(f"X must be (n, {len(weights)}), one column for each weight, got {inputs.shape}")
        if not np.isfinite(inputs).all():
            raise DataError("X holds NaN or Inf", "Remove these rows.")
        fires: np.ndarray = (inputs @ weights > self.threshold).astype(np.int64)
        return fires
