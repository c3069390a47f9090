"""One update of a small network by back-propagation, with every number on the way.

Source: Rumelhart, Hinton and Williams, 1986, "Learning representations by back-propagating errors"; the form of one update by Han and
Kamber, "Data Mining", section 9.2, with a bias beside the weights. Other activations and losses than theirs put their own slopes in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from striate.core.errors import DataError, ShapeError
from striate.core.settings import check_rate
from striate.estimators.neurons.activations import activated, back_through, loss_of, names_of
from striate.estimators.numbers import real_numbers

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Every number of one forward and backward pass and its update; a tuple has one entry for each layer after the input.

    `nets` are weighted sums I, `outputs` what their activations make of them, `errors` the terms Err_j = -dE/dI_j. Of a forward pass
    alone, without a target, the loss is None, there are no errors, and the weights are as they were.
    """

    inputs: np.ndarray
    target: np.ndarray | None
    nets: Arrays
    outputs: Arrays
    loss: float | None  # before the update
    errors: Arrays
    coefs: Arrays  # after the update
    intercepts: Arrays

    def __str__(self) -> str:
        if self.target is None:
            lines = [f"inputs {self.inputs.tolist()}", "unit   net I        output O"]
        else:
            lines = [
                f"inputs {self.inputs.tolist()}, target {self.target.tolist()}, loss {self.loss:.6f}",
                "unit   net I        output O     error Err",
            ]
        unit = first = len(self.inputs)
        for numbers in zip(self.nets, self.outputs, *([self.errors] if self.errors else []), strict=True):
            for values in zip(*numbers, strict=True):
                unit += 1
                lines.append(f"{unit:<4}" + "".join(f"{value:13.6f}" for value in values))
        return "\n".join([*lines, *(self._updated(first) if self.target is not None else [])])

    def _updated(self, first: int) -> list[str]:
        """A line for each unit, numbered after the `first` inputs, with its new bias and weights."""
        before, after, lines = 0, first, ["after the update:"]
        for weights, biases in zip(self.coefs, self.intercepts, strict=True):
            for j in range(weights.shape[1]):
                terms = [f"w({before + i + 1},{after + j + 1}) = {weights[i, j]:.6f}" for i in range(len(weights))]
                lines.append(f"bias({after + j + 1}) = {biases[j]:.6f}  " + "  ".join(terms))
            before, after = after, after + weights.shape[1]
        return lines


def explain_step(
    coefs: Sequence[Any],
    intercepts: Sequence[Any],
    x: Any,
    target: Any = None,
    *,
    learning_rate: float = 0.1,
    activation: str | Sequence[str] = "sigmoid",
    loss: str = "mse",
) -> Step:
    """One update of a dense network by back-propagation on one sample, with every intermediate number.

        I_j = sum_i w_ij O_i + bias_j     O_j = f(I_j)
        Err_j = -f'(I_j) dE/dO_j at an output,     f'(I_j) sum_k Err_k w_jk below it;     of sigmoids f' = O_j (1 - O_j)
        w_ij += rate Err_j O_i     bias_j += rate Err_j

    Args:
        coefs: One matrix (inputs, units) for each layer.
        intercepts: One vector (units,) for each layer.
        x: (n,).
        target: (outputs,); None: the forward pass alone.
        learning_rate: The rate.
        activation: f by its name in the vocabulary of layers; or one name for each layer, the output's last.
        loss: E: "mse", half the squared error; "mae", the absolute error; "cross_entropy", of sigmoid or softmax outputs.

    Raises:
        ShapeError: the layers do not fit each other, or x or target does not fit them.
        DataError: x or target holds NaN or Inf.
        UsageError: learning_rate is not positive, or the activation or the loss is unknown, or they do not fit each other.

    Example:
        >>> step = explain_step([[[0.5, -1.0], [0.25, 2.0]]], [[0.0, 0.1]], [1.0, 2.0], activation="relu")
        >>> step.outputs[-1].tolist()
        [1.0, 3.1]
    """
    check_rate(learning_rate)
    weights, biases = [real_numbers("coefs", w) for w in coefs], [real_numbers("intercepts", b) for b in intercepts]
    check_layers(weights, biases)
    inputs, wanted = checked_sample(x, target, (weights[0].shape[0],), biases[-1].shape)
    names = names_of(activation, len(weights))
    nets, outputs = [], [inputs[None]]
    for weight, bias, name in zip(weights, biases, names, strict=True):
        nets.append(outputs[-1] @ weight + bias)
        outputs.append(activated(name, nets[-1]))
    error, errors = None, []
    if wanted is not None:
        (error,), gradient = loss_of(loss, names[-1], nets[-1], outputs[-1], wanted[None])
        errors = [-gradient]
        for layer in range(len(weights) - 1, 0, -1):
            errors.insert(0, back_through(names[layer - 1], nets[layer - 1], outputs[layer], errors[0] @ weights[layer].T))
        weights = [w + learning_rate * o.T @ e for w, o, e in zip(weights, outputs[:-1], errors, strict=True)]
        biases = [b + learning_rate * e[0] for b, e in zip(biases, errors, strict=True)]
    return Step(
        inputs=inputs,
        target=wanted,
        nets=tuple(net[0] for net in nets),
        outputs=tuple(output[0] for output in outputs[1:]),
        loss=None if error is None else float(error),
        errors=tuple(e[0] for e in errors),
        coefs=tuple(weights),
        intercepts=tuple(biases),
    )


def check_layers(weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> None:
    """Refuse layers that do not fit each other.

    Raises:
        ShapeError: gives their shapes.
    """
    shapes = [w.shape for w in weights]
    sizes = [shape[0] for shape in shapes if len(shape) == 2] + [shape[-1] for shape in shapes[-1:]]
    if not shapes or shapes != list(pairwise(sizes)) or [b.shape for b in biases] != [(size,) for size in sizes[1:]]:
        message = f"coefs must be (inputs, units) and intercepts (units,) layer by layer, got {shapes} and {[b.shape for b in biases]}"
        raise ShapeError(message)


def checked_sample(x: Any, target: Any, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    """The sample and its target, None where there is none, as arrays of these shapes.

    Raises:
        ShapeError: they have others.
        DataError: one holds NaN or Inf.
    """
    sample, wanted = np.asarray(x, float), np.zeros(outputs) if target is None else np.atleast_1d(np.asarray(target, float))
    if sample.shape != inputs or wanted.shape != outputs:
        raise ShapeError(f"x and target must be {inputs} and {outputs}, got {sample.shape} and {wanted.shape}")
    if not (np.isfinite(sample).all() and np.isfinite(wanted).all()):
        raise DataError("x and target must be finite numbers, got NaN or Inf", "Give the sample without gaps.")
    return sample, None if target is None else wanted
