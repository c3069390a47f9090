"""Torch modules of the recurrent layers."""

from __future__ import annotations

from torch import Tensor, nn


class ToSequenceModule(nn.Module):
    """(N, C, H, W) to (N, H, C W), or to (N, H W, C) by `places`; (N, C, L) to (N, L, C), and back."""

    def __init__(self, of: str = "rows") -> None:
        super().__init__()
        self.of = of

    def forward(self, x: Tensor) -> Tensor:
        if self.of == "places":
            return x.flatten(2).transpose(1, 2)
        return x.transpose(1, 2).flatten(2)


class RecurrentModule(nn.Module):
    """`cells` on (N, T, F): all states of the last level (N, T, H), or its last state alone (N, H), forward before backward."""

    def __init__(self, cells: nn.RNNBase, return_sequence: bool) -> None:
        super().__init__()
        self.cells, self.return_sequence = cells, return_sequence

    def forward(self, x: Tensor) -> Tensor:
        states, last = self.cells(x)
        if self.return_sequence:
            sequence: Tensor = states
            return sequence
        hidden: Tensor = last[0] if isinstance(last, tuple) else last  # (levels x directions, N, H)
        directions = 2 if self.cells.bidirectional else 1
        return hidden[-directions:].transpose(0, 1).flatten(1)  # (N, directions x H)
