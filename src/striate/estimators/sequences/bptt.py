"""Back-propagation through time written out step by step in numbers; the recurrent estimators leave it to torch.

Source: Werbos, 1990, "Backpropagation through time: what it does and how to do it"; the product over time after Pascanu, Mikolov and
Bengio, 2013, arXiv:1211.5063v2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.core.errors import ShapeError, UsageError


@dataclass(frozen=True, kw_only=True)
class ThroughTime:
    """The states of an Elman network on one sequence, and the gradients of a loss of its states."""

    states: np.ndarray  # (T, H)
    inputs: np.ndarray  # (T, F): by x
    input_weights: np.ndarray  # (H, F): by U
    state_weights: np.ndarray  # (H, H): by W
    bias: np.ndarray  # (H,): by b
    reach: np.ndarray  # (T,): the spectral norm of the last state's gradient by the state so many steps before


def bptt(U: Any, W: Any, b: Any, x: Any, gradients: Any, *, truncate: int | None = None) -> ThroughTime:
    r"""The states s_t = tanh(U x_t + W s_(t-1) + b) of one sequence from s_0 = 0, and the gradients of a loss E by all that made them.

        e_t = dE/ds_t + W^T d_(t+1)         d_t = (1 - s_t^2) e_t
        dE/dU = sum_t d_t x_t^T     dE/dW = sum_t d_t s_(t-1)^T     dE/db = sum_t d_t     dE/dx_t = U^T d_t
        ds_T/ds_k = product over t = T ... k+1 of diag(1 - s_t^2) W

    Args:
        U: (H, F).
        W: (H, H).
        b: (H,).
        x: (T, F).
        gradients: (T, H), what dE/ds_t is for the part of E that looks at s_t itself; for an answer at the end, 0 but in the last row.
        truncate: Steps before the end through which errors go back; None: all.

    Raises:
        ShapeError: the shapes do not fit each other.
        UsageError: truncate is below 1.

    Cost: T (F H + H^2) multiply-adds forward, twice that back, and T H^3 for `reach`.
    """
    U, W, b, x, gradients = (np.asarray(array, np.float64) for array in (U, W, b, x, gradients))
    hidden, features = U.shape if U.ndim == 2 else (0, 0)
    if W.shape != (hidden, hidden) or b.shape != (hidden,) or x.shape[1:] != (features,) or gradients.shape != (len(x), hidden):
        message = f"U (H, F), W (H, H), b (H,), x (T, F), gradients (T, H) do not fit: {U.shape}, {W.shape}, {b.shape}, {x.shape}"
        raise ShapeError(f"{message}, {gradients.shape}")
    if truncate is not None and truncate < 1:
        raise UsageError(f"truncate must be at least 1 step or None, got {truncate}")
    steps = len(x)
    states = np.zeros((steps + 1, hidden))  # the row before the first is s_0
    for t in range(steps):
        states[t] = np.tanh(U @ x[t] + W @ states[t - 1] + b)
    deltas, error = np.zeros((steps, hidden)), np.zeros(hidden)
    for t in reversed(range(max(0, steps - (truncate or steps)), steps)):
        deltas[t] = (1 - states[t] ** 2) * (gradients[t] + error)
        error = W.T @ deltas[t]
    product, reach = np.eye(hidden), np.ones(steps)
    for lag in range(1, steps):
        product = product @ ((1 - states[steps - lag] ** 2)[:, None] * W)
        reach[lag] = np.linalg.norm(product, 2)
    return ThroughTime(
        states=states[:steps],
        inputs=deltas @ U,
        input_weights=deltas.T @ x,
        state_weights=deltas.T @ states[np.arange(steps) - 1],
        bias=deltas.sum(0),
        reach=reach,
    )
