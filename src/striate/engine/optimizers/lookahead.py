"""Lookahead: slow weights behind the fast ones of any other optimizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from striate.engine.optimizers.base import Closure, Optimizer


class Lookahead(Optimizer):
    """After every k steps of `inner`: slow += share (w - slow);  w = slow. The state of `inner` is kept.

    The slow weights start as the weights before the first step.

    Source: Zhang et al., 2019, arXiv:1907.08610, algorithm 1.
    """

    def __init__(self, inner: Optimizer, *, every: int = 5, share: float = 0.5) -> None:
        super().__init__(inner.groups)
        self.inner, self.every, self.share = inner, every, share
        self.needs_closure = inner.needs_closure
        self.slow = self.memory("slow")
        self.steps_done = self.numbers("since")  # steps since the weights last met, of each parameter: one may stand still

    @torch.no_grad()
    def step(self, learning_rate: float, closure: Closure | None = None) -> None:
        params = [param for group in self.groups for param in group.params]
        for param in params:
            if param not in self.slow:
                self.slow[param] = param.detach().clone()
        self.inner.step(learning_rate, closure)
        for param in params:
            if param.grad is None:
                continue
            self.steps_done[param] += 1
            if self.steps_done[param] == self.every:
                self.steps_done[param] = 0
                param.copy_(self.slow[param].lerp_(param, self.share))

    def state(self) -> dict[str, Tensor]:
        for param in self.slow:
            self.steps_done.setdefault(param, 0)
        return self.inner.state() | super().state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        own = {name: tensor for name, tensor in state.items() if name.endswith((".slow", ".since"))}
        super().load_state(own)
        self.inner.load_state({name: tensor for name, tensor in state.items() if name not in own})
