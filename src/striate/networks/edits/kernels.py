"""Edits of convolution kernels: stacks of small ones, pairs of thin ones, removal of 1 x 1 before large ones."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from striate.core.errors import UsageError
from striate.networks.edits.tree import Part, all_lines, edited, input_shapes, listed, parts, within
from striate.networks.layers import Activation, Chain, Conv, Layer
from striate.networks.layers.base import per_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from striate.networks.edits.tree import Line
    from striate.networks.layers import Shape
    from striate.networks.network import Network


class Square(NamedTuple):
    """A convolution with a square kernel over two axes, and what follows it."""

    path: str
    layer: Conv
    kernel_size: int
    norm: Layer | None
    act: Layer


def split_kernels(network: Network, kernel: str = "3x3", *, place: str | None = None) -> Network:
    """`network` with each larger square kernel as a stack of small ones that sees the same, an activation between each two.

    Args:
        network: Any network.
        kernel: The small kernel: `3x3`; a k x k kernel becomes (k - 1) / 2 of these.
        place: Only in the parts called so.

    Returns:
        The network in which a `conv` is a chain `conv1`, (`norm1`,) `act1`, `conv2`, ...; all have the output channels of the old one;
        the last has its stride, so that size and receptive field stay. Normalization and activation are those that follow.

    Raises:
        UsageError: no kernel can be split so, or `kernel` is not one.

    Source: Simonyan and Zisserman, 2014, arXiv:1409.1556, section 2.3.
    """
    small = _square_of(kernel)

    def fits(square: Square) -> bool:
        return square.kernel_size > small and (square.kernel_size - 1) % (small - 1) == 0

    def convs(square: Square) -> list[Conv]:
        count, old = (square.kernel_size - 1) // (small - 1), square.layer
        pads = [old.padding] * count
        if isinstance(old.padding, int):
            pads = [old.padding // count + (i < old.padding % count) for i in range(count)]
        strides = [1] * (count - 1) + [old.stride]
        return [dataclasses.replace(old, kernel_size=small, padding=pad, stride=stride) for pad, stride in zip(pads, strides, strict=True)]

    return _replaced(network, f"kernels as {kernel}", fits, convs, place)


def factorize(network: Network, *, place: str | None = None) -> Network:
    """`network` with each n x n kernel as 1 x n and n x 1, an activation between; chains as `split_kernels` makes them.

    Raises:
        UsageError: there is no square kernel larger than 1 x 1.

    Source: Szegedy et al., 2015, arXiv:1512.00567, section 3.2.
    """

    def convs(square: Square) -> list[Conv]:
        old, n = square.layer, square.kernel_size
        pad, stride = old.padding, per_axis(old.stride, 2, "stride")
        first, second = ((0, pad), (pad, 0)) if isinstance(pad, int) else (pad, pad)
        across = dataclasses.replace(old, kernel_size=(1, n), padding=first, stride=(1, stride[1]))
        return [across, dataclasses.replace(old, kernel_size=(n, 1), padding=second, stride=(stride[0], 1))]

    return _replaced(network, "factorized", lambda square: square.kernel_size > 1, convs, place)


def without_bottleneck(network: Network, place: str | None = None) -> Network:
    """`network` without each 1 x 1 convolution whose output goes, through normalization and activation alone, into a larger one.

    What stands between the two goes with it. The larger convolution reads the channels that came before, and takes over the stride.

    Raises:
        UsageError: there is none; a 1 x 1 before a depthwise convolution does not count, because the groups would not fit.
    """
    shapes = input_shapes(network)
    gone: dict[str, None] = {}
    new: dict[str, Layer] = {}
    everything = {part.path: part for part in parts(network)}
    found = [(pair, everything[pair[0][0]]) for line in all_lines(network) for pair in _narrowings(line, shapes)]
    if not found:
        raise UsageError(f"{network.name} has no bottleneck: no 1 x 1 convolution precedes a larger one that would fit without it")
    kept = {part.path for part in within(network, place, [part for _, part in found])}
    for line, part in found:
        if part.path in kept:
            gone |= dict.fromkeys(path for path, _ in line[:-1])
            (_, first), (path, last) = line[0], line[-1]
            if getattr(first, "stride", 1) != 1:
                new[path] = _with_stride(last, first)
    edit = "without bottleneck" + (f"@{place}" if place else "")
    return edited(network, edit, gone.keys(), new, f"removed {listed([path for path in gone if path in kept])}")


def _with_stride(last: Any, first: Any) -> Layer:
    a, b = per_axis(first.stride, 2, "stride"), per_axis(last.stride, 2, "stride")
    both: Layer = dataclasses.replace(last, stride=(a[0] * b[0], a[1] * b[1]))
    return both


def _narrowings(line: Line, shapes: dict[str, Shape]) -> Iterator[Line]:
    """The stretches of a line from a 1 x 1 convolution to the larger one that it feeds."""
    for index, (path, layer) in enumerate(line):
        if not isinstance(layer, Conv) or layer.groups != 1 or len(shapes[path]) != 3 or set(per_axis(layer.kernel_size, 2, "")) != {1}:
            continue
        end = index + 1
        while end < len(line) and line[end][1].role in ("norm", "act", "dropout"):
            end += 1
        after = line[end][1] if end < len(line) else None
        if isinstance(after, Conv) and max(per_axis(after.kernel_size, 2, "")) > 1 and shapes[path][0] % after.groups == 0:
            yield line[index : end + 1]


def _square_of(kernel: str) -> int:
    """3 of "3x3".

    Raises:
        UsageError: it is not an odd square kernel of at least 3.
    """
    height, cross, width = kernel.partition("x")
    if not cross or height != width or not height.isdigit() or int(height) < 3 or int(height) % 2 == 0:
        raise UsageError(f"split_kernels takes an odd square kernel of at least 3x3, got {kernel!r}", 'For example: split_kernels("3x3").')
    return int(height)


def _replaced(
    network: Network, edit: str, fits: Callable[[Square], bool], convs: Callable[[Square], list[Conv]], place: str | None
) -> Network:
    shapes = input_shapes(network)
    squares = {square.path: square for line in all_lines(network) for square in _squares(line, shapes) if fits(square)}
    if not squares:
        raise UsageError(
            f"{network.name} has no kernel to replace ({edit})", "Square kernels larger than those, not dilated, are replaced."
        )
    chosen = within(network, place, [Part(path, square.layer, None) for path, square in squares.items()])
    new: dict[str, Layer] = {part.path: _stack(squares[part.path], convs(squares[part.path])) for part in chosen}
    edit += f" in {place}" if place else ""
    return edited(network, edit, (), new, f"replaced {listed(list(new))}")


def _squares(line: Line, shapes: dict[str, Shape]) -> Iterator[Square]:
    """The convolutions of a line that can be taken apart."""
    acts = [layer for _, layer in line if layer.role == "act"]
    for index, (path, layer) in enumerate(line):
        if not isinstance(layer, Conv) or len(shapes[path]) != 3 or layer.connections is not None:
            continue
        kernel = per_axis(layer.kernel_size, 2, "kernel_size")
        if kernel[0] != kernel[1] or set(per_axis(layer.dilation, 2, "dilation")) != {1} or isinstance(layer.padding, tuple):
            continue
        after = [step for _, step in line[index + 1 : index + 3]]
        norm = after[0] if after and after[0].role == "norm" else None
        later = [step for step in after if isinstance(step, Activation) and step.name not in ("softmax", "identity")]
        yield Square(path, layer, kernel[0], norm, later[0] if later else acts[0] if acts else Activation("relu"))


def _stack(square: Square, convs: list[Conv]) -> Chain:
    children: dict[str, Layer] = {}
    for number, conv in enumerate(convs, 1):
        children[f"conv{number}"] = conv
        if number < len(convs):
            children |= {f"norm{number}": square.norm} if square.norm is not None else {}
            children[f"act{number}"] = square.act
    return Chain(**children)
