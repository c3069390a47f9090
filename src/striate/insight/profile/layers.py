"""Each layer of a network timed alone, forward and backward, on the input that it gets inside the network."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from striate.core.modes import hooked, kept_buffers, kept_modes
from striate.insight.profile.clock import seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class LayerTime(NamedTuple):
    """Medians for one batch; backward is None if nothing can be differentiated."""

    forward_ms: float
    backward_ms: float | None
    may_save: bool = False  # whether kernels are known that need fewer multiply-adds than are counted: see `may_save`


def time_layers(module: nn.Module, images: Tensor, *, budget: float = 0.05) -> dict[str, list[LayerTime]]:
    """The times of the modules without children, by their path, in the order in which they run; several where one runs several times.

    Each is called alone and repeatedly, so its weights may lie in the cache: the sum over layers can be less than the whole takes.

    Args:
        module: Any; parts of it that work in place do not for as long. Its modes, buffers and `.grad` are restored.
        images: (N, C, H, W) float, one batch.
        budget: Seconds that each direction of each layer may take, at least five calls.
    """
    found: dict[str, list[LayerTime]] = {}

    def measured(path: str, part: nn.Module, inputs: tuple[Any, ...]) -> None:
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        if len(tensors) == len(inputs):
            time = _time(part, tensors, budget)
            found.setdefault(path, []).append(time._replace(may_save=may_save(part, tensors[0].device)))

    parts = [(path, part) for path, part in module.named_modules() if not any(True for _ in part.children())]
    handles = [part.register_forward_pre_hook(lambda part, x, path=path: measured(path, part, x)) for path, part in parts]
    in_place = [part for _, part in parts if getattr(part, "inplace", False) is True]
    try:
        for part in in_place:
            part.inplace = False
        with hooked(handles), torch.random.fork_rng(), kept_modes(module), kept_buffers(module), torch.no_grad():
            module.eval()(images)
    finally:
        for part in in_place:
            part.inplace = True
    return found


def may_save(part: nn.Module, device: torch.device) -> bool:
    """Return whether a layer may need fewer multiplications than are counted: a convolution with overlapping windows of one stride.

    On processors that is Winograd's way, of 3 x 3; on other devices larger ones may go by Fourier's too.

    Source: Lavin and Gray, 2016, arXiv:1509.09308v2.
    """
    if not isinstance(part, nn.Conv2d) or part.groups != 1 or tuple(part.stride) != (1, 1):
        return False
    return part.kernel_size == (3, 3) if device.type == "cpu" else max(part.kernel_size) > 1


def _time(part: nn.Module, inputs: list[Tensor], budget: float) -> LayerTime:
    device = inputs[0].device
    forward = seconds_of(lambda: part.forward(*inputs), device, budget=budget)
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_(x.is_floating_point()) for x in inputs]
        output = part.forward(*leaves)
        sources = [x for x in (*leaves, *part.parameters()) if x.requires_grad]
        if not isinstance(output, Tensor) or not output.requires_grad or not sources:
            return LayerTime(1000 * statistics.median(forward), None)
        ones = torch.ones_like(output)

        def back() -> tuple[Tensor | None, ...]:
            return torch.autograd.grad(output, sources, ones, retain_graph=True, allow_unused=True)

        backward = seconds_of(back, device, budget=budget)
    return LayerTime(1000 * statistics.median(forward), 1000 * statistics.median(backward))


def batches(module: nn.Module, input_shape: tuple[int, ...], sizes: tuple[int, ...]) -> Iterator[Tensor]:
    """A batch of each size, the same numbers every time, in the type and on the device of the module's weights."""
    weight = next(module.parameters(), torch.zeros(()))
    for size in sizes:
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(size, *input_shape, generator=generator).to(device=weight.device, dtype=weight.dtype)
        yield images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images
