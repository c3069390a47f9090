"""Optimizers, step for step equal to torch's.

They call torch's kernels directly, because the first use of `torch.optim` imports the compiler, which takes longer than training the
first epochs of a small network.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from striate.engine.optimizers.adaptive import Adagrad, Adam, NAdam, RAdam, RMSprop
from striate.engine.optimizers.base import Optimizer, ParamGroup
from striate.engine.optimizers.descent import SGD, Lion
from striate.engine.optimizers.groups import groups_of
from striate.engine.optimizers.lbfgs import LBFGS
from striate.engine.optimizers.lookahead import Lookahead
from striate.engine.optimizers.muon import Muon
from striate.engine.settings import OptimizerName, TrainSettings

__all__ = [
    "LBFGS",
    "SGD",
    "Adagrad",
    "Adam",
    "Lion",
    "Lookahead",
    "Muon",
    "NAdam",
    "Optimizer",
    "ParamGroup",
    "RAdam",
    "RMSprop",
    "groups_of",
    "optimizer_of",
]


def optimizer_of(settings: TrainSettings, model: nn.Module) -> Optimizer:
    """The optimizer that `settings` name, for the trainable parameters of `model`; biases and norms are not decayed.

    `gd` is SGD without momentum: that its batch is the whole set is the caller's to see to. `muon` gives matrices steps of the size that
    AdamW's have, since both share one rate.

    Raises:
        UnknownNameError: `layer_rates` names a part that is not there.
        UsageError: the optimizer cannot have rates for parts, and they are set.
    """
    optimizer = MAKERS[settings.optimizer](settings, groups_of(settings, model))
    if settings.lookahead is not None:
        return Lookahead(optimizer, every=settings.lookahead, share=settings.lookahead_share)
    return optimizer


def _adam_family(kind: type[Adam | NAdam | RAdam]) -> Callable[[TrainSettings, list[ParamGroup]], Optimizer]:
    return lambda settings, groups: kind(groups, betas=settings.betas or (0.9, 0.999), eps=settings.eps or 1e-8)


MAKERS: dict[OptimizerName, Callable[[TrainSettings, list[ParamGroup]], Optimizer]] = {
    "gd": lambda _, groups: SGD(groups),
    "sgd": lambda settings, groups: SGD(groups, momentum=settings.momentum, nesterov=settings.nesterov),
    "adagrad": lambda settings, groups: Adagrad(groups, eps=settings.eps or 1e-10),
    "rmsprop": lambda settings, groups: RMSprop(groups, momentum=settings.momentum, eps=settings.eps or 1e-8),
    "adam": _adam_family(Adam),
    "nadam": _adam_family(NAdam),
    "adamw": lambda settings, groups: Adam(groups, betas=settings.betas or (0.9, 0.999), eps=settings.eps or 1e-8, decoupled=True),
    "radam": _adam_family(RAdam),
    "lion": lambda settings, groups: Lion(groups, betas=settings.betas or (0.9, 0.99)),
    "muon": lambda settings, groups: Muon(
        groups,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        match_adamw=True,
        betas=settings.betas or (0.9, 0.999),
        eps=settings.eps or 1e-8,
    ),
    "lbfgs": lambda _, groups: LBFGS(groups),
}
