"""Contexts of a module: its mode, its buffers and its hooks, put back at their end."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import nn
    from torch.utils.hooks import RemovableHandle


@contextlib.contextmanager
def kept_modes(model: nn.Module) -> Iterator[nn.Module]:
    """`model`; on leaving, each of its parts is in the mode, training or evaluation, that it came in."""
    modes = [(part, part.training) for part in model.modules()]
    try:
        yield model
    finally:
        for part, training in modes:
            part.training = training


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[nn.Module]:
    """`model` in evaluation mode; on leaving, each of its parts gets its own mode back.

    A part that was frozen in evaluation mode inside a training model stays frozen.
    """
    with kept_modes(model):
        yield model.eval()


@contextlib.contextmanager
def kept_buffers(model: nn.Module) -> Iterator[None]:
    """Context after which the buffers of `model`, such as running statistics, hold what they held before."""
    import torch

    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(before[name])


@contextlib.contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Context of hooks that are registered; they are removed on leaving."""
    with contextlib.ExitStack() as stack:
        for handle in handles:
            stack.enter_context(handle)
        yield
