"""Activations and losses of dense layers in NumPy, with the way back through each; torch computes the activations that are not here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax

from striate.core.errors import UsageError
from striate.networks.layers import Activation

Way = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of net and output (N, units)
FORWARD: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda net: net,
    "sigmoid": expit,
    "tanh": np.tanh,
    "relu": lambda net: np.maximum(net, 0),
    "softmax": lambda net: softmax(net, axis=1),
}
SLOPES: dict[str, Way] = {
    "identity": lambda net, _out: np.ones_like(net),
    "sigmoid": lambda _net, out: out * (1 - out),
    "tanh": lambda _net, out: 1 - out**2,
    "relu": lambda net, _out: (net > 0).astype(float),
}
LOSSES = ("cross_entropy", "mse", "mae")


def activated(name: str, net: np.ndarray) -> np.ndarray:
    """The outputs of units with weighted sums `net` (N, units)."""
    if name in FORWARD:
        return FORWARD[name](net)
    with torch.no_grad():
        outputs: np.ndarray = _module(name, net)(torch.from_numpy(net)).numpy()
    return outputs


def back_through(name: str, net: np.ndarray, out: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The gradient of the loss by `net`, from that by the outputs: all (N, units)."""
    if name in SLOPES:
        return gradient * SLOPES[name](net, out)
    sums = torch.from_numpy(net).requires_grad_()
    (found,) = torch.autograd.grad(_module(name, net)(sums), sums, torch.from_numpy(gradient))
    by_net: np.ndarray = found.numpy()
    return by_net


def _module(name: str, net: np.ndarray) -> torch.nn.Module:
    return Activation(name).build(net.shape[1:]).double().eval()  # type: ignore[arg-type]  # the leaf checks the name


def loss_of(loss: str, name: str, net: np.ndarray, out: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each sample (N,), and its gradient by `net` (N, outputs), behind the last activation.

        mse: sum (T - O)^2 / 2     mae: sum |T - O|     cross_entropy: -sum T log O, of sigmoids also -sum (1 - T) log (1 - O)

    Raises:
        UsageError: an unknown loss, or cross-entropy of outputs that are no shares.
    """
    if loss == "mse":
        return ((target - out) ** 2).sum(1) / 2, back_through(name, net, out, out - target)
    if loss == "mae":
        return np.abs(target - out).sum(1), back_through(name, net, out, np.sign(out - target))
    if loss != "cross_entropy":
        raise UsageError(f"loss must be {', '.join(LOSSES[:-1])} or {LOSSES[-1]}, got {loss!r}")
    tiny = np.finfo(float).tiny
    if name == "softmax":
        return -(target * np.log(np.maximum(out, tiny))).sum(1), out * target.sum(1, keepdims=True) - target
    if name == "sigmoid":
        missed = (1 - target) * np.log(np.maximum(1 - out, tiny))
        return -(target * np.log(np.maximum(out, tiny)) + missed).sum(1), out - target
    raise UsageError(f"cross_entropy is a loss of sigmoid or softmax outputs, got {name!r}", 'Use loss="mse".')


def names_of(activation: str | Sequence[str], count: int) -> tuple[str, ...]:
    """The activation of each of `count` layers; one name stands for all.

    Raises:
        UsageError: there are more or fewer names than layers, or one is unknown.
    """
    names: tuple[Any, ...] = (activation,) * count if isinstance(activation, str) else tuple(activation)
    if len(names) != count:
        raise UsageError(f"activation must be one name, or one for each of the {count} layers, got {activation!r}")
    for name in (*names, *([activation] if isinstance(activation, str) else [])):
        Activation(name)  # the leaf checks the name
    return names
