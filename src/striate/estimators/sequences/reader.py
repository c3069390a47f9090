"""The network of the recurrent estimators: cells that read sequences of unequal lengths, and a readout of their last states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from striate.core.errors import UsageError
from striate.networks.layers import Linear
from striate.networks.layers.recurrent import Recurrent
from striate.networks.modules.recurrent import RecurrentModule


class SequenceReader(nn.Module):
    """Recurrent cells, and a linear readout of their last states."""

    def __init__(self, layer: Recurrent, num_features: int, num_outputs: int) -> None:
        super().__init__()
        built = layer.build((1, num_features))
        if not isinstance(built, RecurrentModule):
            raise UsageError(f"{layer.kind} is not a recurrent layer")
        self.cells = built.cells
        self.readout = Linear(num_outputs).build(layer.output_shape((1, num_features)))

    def forward(self, x: Tensor, lengths: Tensor, truncate: int | None = None) -> Tensor:
        """The outputs (N, K) of sequences x (N, T, F), filled up behind their lengths (N,); see the estimators for `truncate`."""
        state = None
        if truncate is not None and int(lengths.max()) > truncate:
            before = (lengths - truncate).clamp(min=0)
            with torch.no_grad():
                state = started(self.run(x, before.clamp(min=1), None)[1], before > 0)
            steps = before[:, None] + torch.arange(truncate)  # (N, truncate)
            x = x.gather(1, steps.clamp(max=x.shape[1] - 1)[:, :, None].expand(-1, -1, x.shape[2]).to(x.device))
            lengths = lengths.clamp(max=truncate)
        last = self.run(x, lengths, state)[1]
        hidden = last[0] if isinstance(last, tuple) else last  # (levels x directions, N, H)
        directions = 2 if self.cells.bidirectional else 1
        outputs: Tensor = self.readout(hidden[-directions:].transpose(0, 1).flatten(1))
        return outputs

    def run(self, x: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """All states of the last level (N, T, H), and each sequence's last state of all levels."""
        if int(lengths.min()) == x.shape[1]:
            states, last = self.cells(x, state)
            return states, last
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, last = self.cells(packed, state)
        return pad_packed_sequence(states, batch_first=True)[0], last


def started(state: Any, which: Tensor) -> Any:
    """The state (levels, N, H), or a pair of them, with 0 in those rows that have not started."""
    if isinstance(state, tuple):
        return tuple(started(part, which) for part in state)
    return state * which.to(state)[None, :, None]


def set_forget_bias(cells: nn.RNNBase, value: float) -> None:
    """Initialize forget gates at sigmoid(value). torch has two biases, of the gates i, f, g, o in turn: one takes it all."""
    with torch.no_grad():
        for name, bias in cells.named_parameters():
            if name.startswith("bias"):
                bias[cells.hidden_size : 2 * cells.hidden_size] = value if name.startswith("bias_ih") else 0.0
