"""Optimizers, step for step equal to torch's.

They are written on torch's multi-tensor operations because the first use of `torch.optim` imports the compiler, which takes longer
than training the first epochs of a small network.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.engine.settings import TrainSettings


class Group(NamedTuple):
    """Parameters that share their decay."""

    params: list[nn.Parameter]
    weight_decay: float


class Optimizer:
    """What the three share: groups of parameters, and the number of steps done."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self.groups = [group for group in groups if group.params]
        self.steps_done = 0

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.groups:
            for param in group.params:
                param.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update each parameter that has a gradient."""
        self.steps_done += 1
        for group in self.groups:
            params = [param for param in group.params if param.grad is not None]
            if params:
                grads = [param.grad for param in params if param.grad is not None]
                self.update(params, grads, learning_rate, group.weight_decay)

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        """One step of one group."""
        raise NotImplementedError

    def _state(self, name: str, params: list[nn.Parameter]) -> list[Tensor]:
        """The tensors called `name` that belong to `params`, zero at first."""
        memory: dict[nn.Parameter, Tensor] = self.__dict__.setdefault(name, {})
        for param in params:
            if param not in memory:
                memory[param] = torch.zeros_like(param)
        return [memory[param] for param in params]


class SGD(Optimizer):
    """d = g + decay w;  v = momentum v + d;  w -= rate (d + momentum v) with Nesterov, w -= rate v without.

    Source: Sutskever et al., 2013; torch's convention, in which the rate stands outside the velocity.
    """

    def __init__(self, groups: Iterable[Group], *, momentum: float = 0.0, nesterov: bool = False) -> None:
        super().__init__(groups)
        self.momentum, self.nesterov = momentum, nesterov

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        if weight_decay:
            grads = list(torch._foreach_add(grads, list(params), alpha=weight_decay))
        if self.momentum:
            velocities = self._state("velocity", params)
            torch._foreach_mul_(velocities, self.momentum)
            torch._foreach_add_(velocities, grads)
            grads = list(torch._foreach_add(grads, velocities, alpha=self.momentum)) if self.nesterov else velocities
        torch._foreach_add_(params, grads, alpha=-learning_rate)


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g;  s = b2 s + (1 - b2) g^2;  w -= rate m_hat / (sqrt(s_hat) + eps), both corrected for their start at 0.

    With `decoupled`, the decay is rate decay w, apart from the gradient (AdamW); else it is added to the gradient (L2).

    Source: Kingma and Ba, 2015, arXiv:1412.6980; Loshchilov and Hutter, 2019, arXiv:1711.05101.
    """

    def __init__(self, groups: Iterable[Group], *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, decoupled: bool = False) -> None:
        super().__init__(groups)
        self.betas, self.eps, self.decoupled = betas, eps, decoupled

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        if weight_decay and self.decoupled:
            torch._foreach_mul_(params, 1 - learning_rate * weight_decay)
        elif weight_decay:
            grads = list(torch._foreach_add(grads, list(params), alpha=weight_decay))
        beta1, beta2 = self.betas
        means, squares = self._state("mean", params), self._state("square", params)
        torch._foreach_lerp_(means, grads, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, (1 - beta2**self.steps_done) ** 0.5)
        torch._foreach_add_(roots, self.eps)
        torch._foreach_addcdiv_(params, means, roots, -learning_rate / (1 - beta1**self.steps_done))


def optimizer_of(settings: TrainSettings, model: nn.Module) -> Optimizer:
    """The optimizer that `settings` name, for the trainable parameters of `model`; biases and norms are not decayed."""
    trainable = [param for param in model.parameters() if param.requires_grad]
    decayed = [param for param in trainable if param.ndim > 1 or settings.decay_all]
    kept = [param for param in trainable if not (param.ndim > 1 or settings.decay_all)]
    groups = (Group(decayed, settings.weight_decay), Group(kept, 0.0))
    if settings.optimizer == "sgd":
        return SGD(groups, momentum=settings.momentum, nesterov=settings.nesterov)
    return Adam(groups, decoupled=settings.optimizer == "adamw")
