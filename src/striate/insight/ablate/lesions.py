"""Lesions: damage to a trained network, without training it again, to measure what it can still do.

Each lesion works on a module built from a description, whose parts it finds by their paths; the module is as before when it ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from striate.core.errors import UsageError
from striate.core.modes import evaluation_mode, hooked
from striate.core.seeds import mixed
from striate.networks.modules.convolution import PartialConv2d

if TYPE_CHECKING:
    from striate.networks.network import Network

Rank = Literal["smallest", "largest", "random"]
WEIGHED = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm)


class Block(NamedTuple):
    """A part that can be dropped: the rest passes its input on (`identity`), or only the other branches are summed."""

    path: str
    identity: bool  # else the output of the part at `path` becomes zero


def blocks_of(network: Network) -> list[Block]:
    """The parts that can be dropped, from the input to the output.

    The body of each residual sum; each branch of a concatenation that does more than hand its input on; and, outside of those, each
    numbered block or unit that holds a convolution and keeps its shape.
    """
    from striate.networks.edits import parts
    from striate.networks.layers import Chain, Conv, Identity, Parallel

    found: list[Block] = []
    roofs: list[str] = []
    outputs = _shapes(network)
    for part in parts(network):
        if part.path.startswith("heads.") or any(part.path.startswith(f"{roof}.") for roof in roofs):
            continue
        layer = part.layer
        if isinstance(layer, Parallel):
            roofs.append(part.path)
            bodies = [name for name, _ in layer.branches if name == "body"]
            if layer.merge == "sum" and bodies:
                found.append(Block(f"{part.path}.{bodies[0]}", identity=False))
            elif layer.merge == "concat":
                working = [name for name, branch in layer.branches if not isinstance(branch, Identity)]
                found += [Block(f"{part.path}.{name}", identity=False) for name in working]
        elif isinstance(layer, Chain) and part.path[-1].isdigit() and not part.path.rpartition(".")[2].startswith("stage"):
            before, after = outputs[part.path]
            inner = [row.layer for row in network.rows if row.path.startswith(f"{part.path}.")]
            if before == after and any(isinstance(one, Conv) for one in inner) and not any(isinstance(one, Parallel) for one in inner):
                roofs.append(part.path)
                found.append(Block(part.path, identity=True))
    return found


def blocks_inside(module: nn.Module, shape: tuple[int, ...]) -> list[Block]:
    """The same of a network without a description: its outermost numbered parts that hold a convolution and keep their input's shape.

    Args:
        module: Maps (N, C, H, W) to logits; it runs once, in evaluation mode, on zeros.
        shape: (C, H, W).
    """
    seen: dict[str, bool] = {}

    def look(path: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def after(_part: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            first = inputs[0] if inputs else None
            seen[path] = isinstance(first, Tensor) and isinstance(output, Tensor) and first.shape == output.shape

        return after

    with contextlib.ExitStack() as stack:
        for path, part in module.named_modules():
            if path.rpartition(".")[2].isdigit() and any(isinstance(one, WEIGHED) for one in part.modules()):
                stack.callback(part.register_forward_hook(look(path)).remove)
        stack.enter_context(evaluation_mode(module))
        stack.enter_context(torch.no_grad())
        module(torch.zeros(1, *shape, device=next(module.parameters()).device))
    kept = [path for path, _ in module.named_modules() if seen.get(path)]
    return [Block(path, identity=True) for path in kept if not any(path.startswith(f"{other}.") for other in kept)]


def _shapes(network: Network) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """The input and output shape of each part."""
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    for row in network.rows:
        names = row.path.split(".")
        for end in range(1, len(names) + 1):
            place = ".".join(names[:end])
            before = shapes[place][0] if place in shapes else row.input_shape
            shapes[place] = (before, row.output_shape)
    return shapes


@contextlib.contextmanager
def dropped(module: nn.Module, blocks: Sequence[Block]) -> Iterator[None]:
    """Context in which `blocks` do nothing."""

    def hand_on(_part: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> Tensor:
        return inputs[0]

    def silence(_part: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return torch.zeros_like(output)

    handles = [module.get_submodule(block.path).register_forward_hook(hand_on if block.identity else silence) for block in blocks]
    with hooked(handles):
        yield


@contextlib.contextmanager
def shuffled(module: nn.Module, blocks: Sequence[Block], swaps: int, seed: int) -> Iterator[None]:
    """Context in which `swaps` random pairs of `blocks` with the same structure are swapped.

    Raises:
        UsageError: no two blocks are built alike.
    """
    alike: dict[str, list[str]] = {}
    for block in blocks:
        part = module.get_submodule(block.path)  # its text tells the strides, on which the shape of its output depends
        weights = [(name, tuple(weight.shape)) for name, weight in part.state_dict().items()]
        alike.setdefault(f"{part} {weights}", []).append(block.path)
    groups = [paths for paths in alike.values() if len(paths) > 1]
    if not groups:
        raise UsageError("no two blocks have the same structure: there is nothing to shuffle")
    generator = torch.Generator().manual_seed(mixed(seed))
    undo: list[tuple[str, str]] = []
    try:
        for _ in range(swaps):
            group = groups[int(torch.randint(len(groups), (), generator=generator))]
            first, second = (group[i] for i in torch.randperm(len(group), generator=generator)[:2].tolist())
            _swap(module, first, second)
            undo.append((first, second))
        yield
    finally:
        for first, second in reversed(undo):
            _swap(module, first, second)


def _swap(module: nn.Module, first: str, second: str) -> None:
    one, other = module.get_submodule(first), module.get_submodule(second)
    for path, part in ((first, other), (second, one)):
        parent, _, name = path.rpartition(".")
        module.get_submodule(parent).add_module(name, part)


def weighed(module: nn.Module) -> list[Any]:
    """The layers whose channels and filters are damaged: convolutions, or where there are none the hidden dense layers, or the only one."""
    convolutions = [part for part in module.modules() if isinstance(part, WEIGHED)]
    dense = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return convolutions or dense[:-1] or dense


@contextlib.contextmanager
def silenced_channels(module: nn.Module, share: float, rank: Rank, seed: int = 0) -> Iterator[None]:
    """Context in which this share of each convolution's channels is zero, after the normalization that follows it, if any.

    Of a network without convolutions, it is units of the hidden dense layers. They are ranked by the sum of the absolute weights of their
    filters; at least one channel stays.

    Source: Li et al., 2017, arXiv:1608.08710, section 3.1.
    """
    generator = torch.Generator().manual_seed(mixed(seed))
    hurt = set(weighed(module))  # there may be a thousand
    parts: list[Any] = [part for part in module.modules() if part in hurt or isinstance(part, NORMS)]
    handles = []
    for part, after in zip(parts, [*parts[1:], None], strict=True):
        if part in hurt:
            kernels = part.dense_weight() if isinstance(part, PartialConv2d) else part.weight  # (out, in, ...)
            score = kernels.detach().flatten(1).abs().sum(1)
            if rank == "random":
                score = torch.rand(len(score), generator=generator).to(score.device)
            order = torch.argsort(score, descending=rank == "largest", stable=True)
            gone = order[: min(round(share * len(score)), len(score) - 1)]
            follows = isinstance(after, NORMS) and after.weight is not None and len(after.weight) == len(score)
            handles.append((after if follows and after is not None else part).register_forward_hook(_without_channels(gone)))
    with hooked(handles):
        yield


def _without_channels(gone: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def cut(_part: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output.index_fill(1, gone, 0.0)

    return cut


@contextlib.contextmanager
def zeroed_filters(module: nn.Module, share: float, seed: int) -> Iterator[None]:
    """Context in which this share of all filters (one per output and input channel) is zero, drawn at random.

    Of a network without convolutions, it is weights of the hidden dense layers.
    """
    generator = torch.Generator().manual_seed(mixed(seed))
    parts = weighed(module)
    weights = [part.weight for part in parts]
    kept = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for part, weight in zip(parts, weights, strict=True):
                sides = len(getattr(part, "kernel_size", ()))
                filters = weight.shape[: weight.ndim - sides]  # (out, in), or (links,)
                left = torch.ones(filters.numel())
                left[torch.randperm(len(left), generator=generator)[: round(share * len(left))]] = 0
                weight.mul_(left.to(weight).view(*filters, *(1,) * sides))
        yield
    finally:
        with torch.no_grad():
            for weight, before in zip(weights, kept, strict=True):
                weight.copy_(before)
