"""Optimizers, step for step equal to torch's.

They call torch's fused kernels directly, because the first use of `torch.optim` imports the compiler, which takes longer than training
the first epochs of a small network.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.engine.settings import TrainSettings


class Group(NamedTuple):
    """Parameters that share their decay."""

    name: str
    params: list[nn.Parameter]
    weight_decay: float


class Optimizer:
    """What the three share: groups of parameters, each of one dtype on one device, as CUDA's kernels need it."""

    needs_closure = False  # whether `step` computes the gradient itself, by calling a function

    def __init__(self, groups: Iterable[Group]) -> None:
        self.groups = [part for group in groups for part in _by_dtype(group)]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.groups:
            for param in group.params:
                param.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update each parameter that has a gradient."""
        for group in self.groups:
            params = [param for param in group.params if param.grad is not None]
            if params:
                self.update(params, [_gradient(param) for param in params], learning_rate, group.weight_decay)

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        """One step of one group."""
        raise NotImplementedError


def _by_dtype(group: Group) -> list[Group]:
    parts: dict[tuple[torch.dtype, torch.device], list[nn.Parameter]] = defaultdict(list)
    for param in group.params:
        parts[param.dtype, param.device].append(param)
    return [group._replace(params=params) for params in parts.values()]


def _gradient(param: nn.Parameter) -> Tensor:
    """The gradient laid out in memory as its parameter is: the kernels go through both as through one line of numbers."""
    grad = param.grad
    if grad is None or grad.stride() != param.stride():
        grad = torch.empty_like(param).copy_(torch.zeros_like(param) if grad is None else grad)
    return grad


class Memory(dict[nn.Parameter, Tensor]):
    """One tensor for each parameter, zero at first."""

    def __missing__(self, param: nn.Parameter) -> Tensor:
        self[param] = torch.zeros_like(param)
        return self[param]

    def of(self, params: list[nn.Parameter]) -> list[Tensor]:
        """The tensors of `params`."""
        return [self[param] for param in params]


class SGD(Optimizer):
    """d = g + decay w;  v = momentum v + d;  w -= rate (d + momentum v) with Nesterov, w -= rate v without.

    Source: Sutskever et al., 2013; torch's convention, in which the rate stands outside the velocity.
    """

    def __init__(self, groups: Iterable[Group], *, momentum: float = 0.0, nesterov: bool = False) -> None:
        super().__init__(groups)
        self.momentum, self.nesterov = momentum, nesterov and momentum > 0
        self.velocities = Memory()

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


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g;  s = b2 s + (1 - b2) g^2;  w -= rate m_hat / (sqrt(s_hat) + eps), both corrected for their start at 0.

    With `decoupled`, the decay is rate decay w, apart from the gradient (AdamW); else it is added to the gradient (L2).

    Source: Kingma and Ba, 2015, arXiv:1412.6980; Loshchilov and Hutter, 2019, arXiv:1711.05101.
    """

    def __init__(
        self, groups: Iterable[Group], *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, decoupled: bool = False
    ) -> None:
        super().__init__(groups)
        self.betas, self.eps, self.decoupled = betas, eps, decoupled
        self.means, self.squares = Memory(), Memory()
        self.steps_done: dict[nn.Parameter, int] = defaultdict(int)  # of each parameter: one without a gradient stands still

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        for param in params:
            self.steps_done[param] += 1
        counts = [self.steps_done[param] for param in params]
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


def optimizer_of(settings: TrainSettings, model: nn.Module) -> Optimizer:
    """The optimizer that `settings` name, for the trainable parameters of `model`; biases and norms are not decayed."""
    trainable = [param for param in model.parameters() if param.requires_grad]
    decayed = [param for param in trainable if param.ndim > 1 or settings.decay_all]
    kept = [param for param in trainable if not (param.ndim > 1 or settings.decay_all)]
    groups = (Group("decayed", decayed, settings.weight_decay), Group("kept", kept, 0.0))
    if settings.optimizer == "sgd":
        return SGD(groups, momentum=settings.momentum, nesterov=settings.nesterov)
    return Adam(groups, decoupled=settings.optimizer == "adamw")
