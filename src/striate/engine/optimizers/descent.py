"""Optimizers whose step is proportional to the gradient or to its sign: SGD with its momenta, and Lion."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from striate.engine.optimizers.base import Optimizer, ParamGroup


class SGD(Optimizer):
    """d = g + decay w;  v = momentum v + d;  w -= rate (d + momentum v) with Nesterov, w -= rate v without.

    Source: Sutskever et al., 2013; torch's convention, in which the rate stands outside the velocity.
    """

    def __init__(self, groups: Iterable[ParamGroup], *, momentum: float = 0.0, nesterov: bool = False) -> None:
        super().__init__(groups)
        self.momentum, self.nesterov = momentum, nesterov and momentum > 0
        if momentum:
            self.velocities = self.memory("velocity")

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        torch._fused_sgd_(
            list(params),
            grads,
            self.velocities.of(params) if self.momentum else [],
            weight_decay=weight_decay,
            momentum=self.momentum,
            lr=learning_rate,
            dampening=0.0,
            nesterov=self.nesterov,
            maximize=False,
            is_first_step=False,  # a velocity of zero gives what a first step without one would
        )


class Lion(Optimizer):
    """w -= rate (sign(b1 m + (1 - b1) g) + decay w);  m = b2 m + (1 - b2) g.

    Source: Chen et al., 2023, arXiv:2302.06675, algorithm 2. Its rates are 3 to 10 times smaller than AdamW's, its decay as much larger.
    """

    def __init__(self, groups: Iterable[ParamGroup], *, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        super().__init__(groups)
        self.betas = betas
        self.means = self.memory("mean")

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        weights: list[Tensor] = list(params)
        means = self.means.of(params)
        directions = torch._foreach_sign(torch._foreach_lerp(means, grads, 1 - self.betas[0]))
        torch._foreach_mul_(weights, 1 - learning_rate * weight_decay)
        torch._foreach_add_(weights, directions, alpha=-learning_rate)
        torch._foreach_lerp_(means, grads, 1 - self.betas[1])
