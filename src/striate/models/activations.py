"""The output of every part of a network, recorded while it runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from striate.core.modes import evaluation_mode, hooked


def activations_of(network: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Path of each part of `network` -> its output (N, ...) for `inputs` (N, ...), in the order in which the parts finish.

    In evaluation mode and without gradients; the last output of a part that runs several times. A part that gives no tensor is left out.
    A block and its last layer, which give the same tensor, share it.
    """
    paths = {part: path for path, part in network.named_modules() if path}
    seen: dict[str, Tensor] = {}
    copies: dict[int, tuple[Tensor, Tensor]] = {}  # what follows works on a copy: a ReLU in place would overwrite what is recorded

    def record(part: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
        if not isinstance(output, Tensor):
            return None
        recorded, copy = copies.get(id(output), (output, None))
        if copy is None or copy._version:  # noqa: SLF001  # new, or changed in place
            recorded, copy = output.detach(), output.clone()  # a class token is a weight itself
            copies[id(copy)] = recorded, copy
        seen[paths[part]] = recorded
        return copy

    with evaluation_mode(network), hooked([part.register_forward_hook(record) for part in paths]), torch.no_grad():
        network(inputs)
    return seen
