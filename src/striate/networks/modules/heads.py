"""A network with the auxiliary classifiers that it trains with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence


class NetworkWithHeads(nn.Module):
    """`network` and the heads that read from inside it. Called, it gives the logits of the network alone."""

    network: nn.Module
    head_weights: tuple[float, ...]

    def __init__(self, network: nn.Module, heads: Sequence[tuple[str, nn.Module, float]]) -> None:
        super().__init__()
        self.network = network
        self.heads = nn.ModuleList(head for _, head, _ in heads)
        self.places = tuple(at for at, _, _ in heads)
        self.head_weights = tuple(weight for _, _, weight in heads)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits

    def forward_with_heads(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The logits (N, K) and those of each head, in order."""
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
        return logits, tuple(head(seen[index]) for index, head in enumerate(self.heads))
