"""A network with the auxiliary classifiers that it trains with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from striate.networks.network import AuxiliaryTask

TURNS = 4  # quarters of a whole turn


class Side(NamedTuple):
    """The scores of an auxiliary head, and what it is to learn."""

    scores: Tensor  # (N, G)
    labels: Tensor  # (N,) int64, or shares of classes (N, G)
    weight: float  # of its loss
    has_own_task: bool  # False: it learns what the network learns


class NetworkWithHeads(nn.Module):
    """`network` and the heads that read from inside it. Called, it gives the logits of the network alone."""

    network: nn.Module

    def __init__(self, network: nn.Module, heads: Sequence[tuple[str, nn.Module, float, AuxiliaryTask]]) -> None:
        super().__init__()
        self.network = network
        self.heads = nn.ModuleList(head for _, head, _, _ in heads)
        self.places = tuple(at for at, _, _, _ in heads)
        self.head_weights = tuple(weight for _, _, weight, _ in heads)
        self.tasks = tuple(task for _, _, _, task in heads)

    @property
    def has_own_tasks(self) -> bool:
        """True if a head learns something else than the network."""
        return any(task != "classes" for task in self.tasks)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits

    def forward_with_heads(self, x: Tensor, labels: Tensor, second: Tensor | None = None) -> tuple[Tensor, tuple[Side, ...]]:
        """The logits (N, K), and for each head in order its scores, with what it learns by the `labels` (N,) or class shares (N, K).

        `second` are labels (N,) int64 of their own, for heads that learn these.

        Where one learns rotations, the same pictures run once more in the same batch, each turned by 0 to 3 quarters, which are drawn by
        chance in training and are 0, 1, 2, 3, 0, ... in evaluation mode.
        """
        number, turns = len(x), None
        if "rotation" in self.tasks:
            places = torch.arange(number, device=x.device) % TURNS
            turns = torch.randint_like(places, TURNS) if self.training else places
            x = torch.cat([x, turned(x, turns)])
        logits, read = self._read(x)
        sides = []
        for head, value, weight, task in zip(self.heads, read, self.head_weights, self.tasks, strict=True):
            if task == "rotation" and turns is not None:
                sides.append(Side(head(value[number:]), turns, weight, has_own_task=True))
            elif isinstance(task, tuple):
                sides.append(Side(head(value[:number]), grouped(labels, task), weight, has_own_task=True))
            elif isinstance(task, int) and second is not None:
                sides.append(Side(head(value[:number]), second, weight, has_own_task=True))
            else:
                sides.append(Side(head(value[:number]), labels, weight, has_own_task=False))
        return logits[:number], tuple(sides)

    def _read(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits, and the outputs of the parts that the heads read."""
        seen: dict[int, Tensor] = {}

        def remember(index: int) -> nn.modules.module.RemovableHandle:  # type: ignore[name-defined]
            def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
                seen[index] = output

            return self.network.get_submodule(self.places[index]).register_forward_hook(hook)

        handles = [remember(index) for index in range(len(self.heads))]
        try:
            logits: Tensor = self.network(x)
        finally:
            for handle in handles:
                handle.remove()
        return logits, [seen[index] for index in range(len(self.heads))]


def turned(images: Tensor, turns: Tensor) -> Tensor:
    """Square pictures (N, C, H, H), each turned anticlockwise by its number of quarters `turns` (N,)."""
    result = torch.empty_like(images)
    for quarter in range(TURNS):
        chosen = turns == quarter
        result[chosen] = images[chosen].rot90(quarter, (-2, -1))
    return result


def grouped(labels: Tensor, groups: tuple[int, ...]) -> Tensor:
    """The coarser classes of `labels`: (N,) int64, or of class shares (N, K) those of the groups (N, G)."""
    table = torch.tensor(groups, device=labels.device)
    if labels.is_floating_point():
        return labels @ F.one_hot(table).to(labels.dtype)  # (N, G)
    return table[labels]
