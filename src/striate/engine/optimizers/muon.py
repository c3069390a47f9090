"""Muon: momentum whose step is made orthogonal, for matrices; AdamW for the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from striate.engine.optimizers.adaptive import Adam
from striate.engine.optimizers.base import ParamGroup

QUINTIC = (3.4445, -4.7750, 2.0315)  # of Jordan's iteration, steep at 0
ITERATIONS = 5
EPS = 1e-7


class Muon(Adam):
    """m = momentum m + (1 - momentum) g;  d = (1 - momentum) g + momentum m with Nesterov, m without;  w -= rate (decay w + k orth(d)).

    orth is five steps X <- a X + (b X X^T + c (X X^T)^2) X in bfloat16, which take every singular value near 1. For an (A, B) matrix
    k = sqrt(max(1, A / B)) (Jordan, 2024), or with `match_adamw` 0.2 sqrt(max(A, B)), which gives the steps AdamW's root mean square,
    so that one rate and one decay serve both (Liu et al., 2025, arXiv:2502.16982).

    torch.optim.Muon takes matrices only. Here the kernels of a convolution (out, in, h, w) are one matrix (out, in h w), as in Jordan's
    code, and biases and norms are AdamW's.
    """

    def __init__(
        self,
        groups: Iterable[ParamGroup],
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        match_adamw: bool = False,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(groups, betas=betas, eps=eps, decoupled=True)
        self.momentum, self.nesterov, self.match_adamw = momentum, nesterov, match_adamw
        self.momenta = self.memory("momentum")

    def slots_of(self, param: nn.Parameter) -> list[str]:
        return ["momentum"] if param.ndim > 1 else ["mean", "square", "steps"]

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        vectors = [index for index, param in enumerate(params) if param.ndim < 2]
        if vectors:
            super().update([params[index] for index in vectors], [grads[index] for index in vectors], learning_rate, weight_decay)
        for param, grad in zip(params, grads, strict=True):
            if param.ndim > 1:
                self.update_matrix(param, grad, learning_rate, weight_decay)

    def update_matrix(self, param: nn.Parameter, grad: Tensor, learning_rate: float, weight_decay: float) -> None:
        """One step of one parameter of two axes or more."""
        momentum = self.momenta[param].lerp_(grad, 1 - self.momentum)
        direction = grad.lerp(momentum, self.momentum) if self.nesterov else momentum
        matrix = orthogonalized(direction.flatten(1))  # (A, B)
        rows, columns = matrix.shape
        factor = 0.2 * math.sqrt(max(rows, columns)) if self.match_adamw else math.sqrt(max(1, rows / columns))
        param.mul_(1 - learning_rate * weight_decay)
        param.add_(matrix.reshape(param.shape), alpha=-learning_rate * factor)


def orthogonalized(matrix: Tensor) -> Tensor:
    """(A, B), bfloat16: `matrix` with its singular values brought near 1 (0.7 to 1.2) by the quintic Newton-Schulz iteration."""
    a, b, c = QUINTIC
    x = matrix.to(torch.bfloat16, copy=True)
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    x.div_(x.norm().clamp(min=EPS))
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if is_tall else x
