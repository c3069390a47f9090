"""Optimizers that divide each step by the size of past gradients: Adagrad, RMSprop and the Adam family."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from striate.engine.optimizers.base import Optimizer, ParamGroup, decayed


class Adagrad(Optimizer):
    """s = s + g^2;  w -= rate g / (sqrt(s) + eps).

    Source: Duchi, Hazan and Singer, 2011, with the diagonal of the matrix only.
    """

    def __init__(self, groups: Iterable[ParamGroup], *, eps: float = 1e-10) -> None:
        super().__init__(groups)
        self.eps = eps
        self.squares = self.memory("square")

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        grads, squares = decayed(params, grads, weight_decay), self.squares.of(params)
        torch._foreach_addcmul_(squares, grads, grads)
        sizes = torch._foreach_sqrt(squares)
        torch._foreach_add_(sizes, self.eps)
        torch._foreach_addcdiv_(list(params), grads, sizes, -learning_rate)


class RMSprop(Optimizer):
    """s = alpha s + (1 - alpha) g^2;  v = momentum v + g / (sqrt(s) + eps);  w -= rate v.

    Source: Tieleman and Hinton, 2012, lecture 6.5; eps outside the root and the rate outside the velocity, as torch has them.
    """

    def __init__(self, groups: Iterable[ParamGroup], *, alpha: float = 0.99, momentum: float = 0.0, eps: float = 1e-8) -> None:
        super().__init__(groups)
        self.alpha, self.momentum, self.eps = alpha, momentum, eps
        self.squares = self.memory("square")
        if momentum:
            self.velocities = self.memory("velocity")

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        grads, squares = decayed(params, grads, weight_decay), self.squares.of(params)
        torch._foreach_mul_(squares, self.alpha)
        torch._foreach_addcmul_(squares, grads, grads, 1 - self.alpha)
        sizes = torch._foreach_sqrt(squares)
        torch._foreach_add_(sizes, self.eps)
        if self.momentum:
            velocities = self.velocities.of(params)
            torch._foreach_mul_(velocities, self.momentum)
            torch._foreach_addcdiv_(velocities, grads, sizes)
            torch._foreach_add_(list(params), velocities, alpha=-learning_rate)
        else:
            torch._foreach_addcdiv_(list(params), grads, sizes, -learning_rate)


class Moments(Optimizer):
    """m = b1 m + (1 - b1) g;  s = b2 s + (1 - b2) g^2, and how many steps t each parameter has done: what the Adam family shares."""

    def __init__(self, groups: Iterable[ParamGroup], *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        super().__init__(groups)
        self.betas, self.eps = betas, eps
        self.means, self.squares, self.steps_done = self.memory("mean"), self.memory("square"), self.numbers("steps")

    def count(self, params: list[nn.Parameter]) -> list[int]:
        """The step t that each is at now."""
        for param in params:
            self.steps_done[param] += 1
        return [int(self.steps_done[param]) for param in params]

    def advance(self, params: list[nn.Parameter], grads: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Both moments, with these gradients in them."""
        means, squares = self.means.of(params), self.squares.of(params)
        torch._foreach_lerp_(means, grads, 1 - self.betas[0])
        torch._foreach_mul_(squares, self.betas[1])
        torch._foreach_addcmul_(squares, grads, grads, 1 - self.betas[1])
        return means, squares


class Adam(Moments):
    """w -= rate m_hat / (sqrt(s_hat) + eps), where m_hat = m / (1 - b1^t) and s_hat = s / (1 - b2^t) correct for the start at 0.

    With `decoupled`, the decay is rate decay w, apart from the gradient (AdamW); else it is added to the gradient (L2).

    Source: Kingma and Ba, 2015, arXiv:1412.6980; Loshchilov and Hutter, 2019, arXiv:1711.05101.
    """

    def __init__(
        self, groups: Iterable[ParamGroup], *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, decoupled: bool = False
    ) -> None:
        super().__init__(groups, betas=betas, eps=eps)
        self.decoupled = decoupled

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        counts = self.count(params)
        steps = {count: torch.tensor(float(count), device=params[0].device) for count in set(counts)}
        kernel = torch._fused_adamw_ if self.decoupled else torch._fused_adam_
        kernel(
            list(params),
            grads,
            self.means.of(params),
            self.squares.of(params),
            [],
            [steps[count] for count in counts],
            lr=learning_rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=weight_decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )


class NAdam(Moments):
    """Adam with Nesterov's look ahead: with b_t = b1 (1 - 0.96^(0.004 t) / 2) and B_t the product of b_1 to b_t,

        w -= rate ((1 - b_t) / (1 - B_t) g + b_{t+1} / (1 - B_{t+1}) m) / (sqrt(s_hat) + eps).

    Source: Dozat, 2016; the warm-up of b as torch has it. The products are kept in float64, torch's in its default dtype.
    """

    def __init__(self, groups: Iterable[ParamGroup], *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        super().__init__(groups, betas=betas, eps=eps)
        self.products = self.numbers("product", 1.0)

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        counts, grads = self.count(params), decayed(params, grads, weight_decay)
        means, squares = self.advance(params, grads)
        now, ahead = [], []
        for param, t in zip(params, counts, strict=True):
            beta, beta_next = (self.betas[0] * (1 - 0.5 * 0.96 ** (step * 0.004)) for step in (t, t + 1))
            self.products[param] *= beta
            now.append(-learning_rate * (1 - beta) / (1 - self.products[param]))
            ahead.append(-learning_rate * beta_next / (1 - self.products[param] * beta_next))
        sizes = torch._foreach_div(squares, [1 - self.betas[1] ** t for t in counts])
        torch._foreach_sqrt_(sizes)
        torch._foreach_add_(sizes, self.eps)
        torch._foreach_addcdiv_(list(params), grads, sizes, now)
        torch._foreach_addcdiv_(list(params), means, sizes, ahead)


class RAdam(Moments):
    """Adam whose first steps are not divided: with r = 2 / (1 - b2) - 1 and r_t = r - 2 t b2^t / (1 - b2^t),

        w -= rate m_hat c_t sqrt(1 - b2^t) / (sqrt(s) + eps)  where r_t > 5, else  w -= rate m_hat,
        c_t = sqrt((r_t - 4) (r_t - 2) r / ((r - 4) (r - 2) r_t)).

    Source: Liu et al., 2020, arXiv:1908.03265, algorithm 2; the threshold of 5 and the place of eps are torch's.
    """

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        counts = self.count(params)
        means, squares = self.advance(params, decayed(params, grads, weight_decay))
        corrections = [self.correction(t) for t in counts]
        sizes = torch._foreach_sqrt(squares)
        torch._foreach_add_(sizes, self.eps)
        divisors = [torch.ones_like(size) if factor is None else size for size, factor in zip(sizes, corrections, strict=True)]
        rates = [-learning_rate * (factor or 1.0) / (1 - self.betas[0] ** t) for t, factor in zip(counts, corrections, strict=True)]
        torch._foreach_addcdiv_(list(params), means, divisors, rates)

    def correction(self, t: int) -> float | None:
        """c_t sqrt(1 - b2^t), or None if too little is known of the size yet."""
        beta = self.betas[1]
        most = 2 / (1 - beta) - 1
        length = most - 2 * t * beta**t / (1 - beta**t)
        if length <= 5:
            return None
        return math.sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length) * (1 - beta**t))
