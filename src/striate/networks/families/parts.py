"""Parts that several families share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from striate.networks.layers import (
    Activation,
    BatchNorm,
    Chain,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    Identity,
    Layer,
    Linear,
    Parallel,
    Pool,
)
from striate.networks.layers.activation import ActivationName
from striate.networks.layers.base import Size
from striate.networks.layers.windows import PaddingRule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def conv_act(
    out_channels: int, kernel_size: Size, *, stride: int = 1, padding: PaddingRule = 0, groups: int = 1, act: ActivationName = "relu"
) -> Chain:
    """A convolution with bias and an activation."""
    return Chain(conv=Conv(out_channels, kernel_size, stride=stride, padding=padding, groups=groups), act=Activation(act))


def conv_norm(
    out_channels: int,
    kernel_size: Size,
    *,
    stride: int = 1,
    padding: PaddingRule = "same",
    groups: int = 1,
    act: ActivationName | None = "relu",
    norm: BatchNorm | None = None,
) -> Chain:
    """A convolution without bias, a batch normalization and, unless `act` is None, an activation."""
    parts: dict[str, Layer] = {
        "conv": Conv(out_channels, kernel_size, stride=stride, padding=padding, groups=groups, bias=False),
        "norm": norm or BatchNorm(),
    }
    if act is not None:
        parts["act"] = Activation(act)
    return Chain(**parts)


INCEPTION_NORM = BatchNorm(eps=1e-3)
HALVE = Pool("max", 3, stride=2)


def square(out_channels: int, kernel_size: int, *, stride: int = 1, padding: int = 0) -> Chain:
    """Convolution with a square kernel, batch normalization, ReLU."""
    return conv_norm(out_channels, kernel_size, stride=stride, padding=padding, norm=INCEPTION_NORM)


def wide(out_channels: int, length: int) -> Chain:
    """Convolution with a kernel of 1 x `length` that keeps the size, batch normalization, ReLU."""
    return conv_norm(out_channels, (1, length), padding=(0, length // 2), norm=INCEPTION_NORM)


def tall(out_channels: int, length: int) -> Chain:
    """Convolution with a kernel of `length` x 1 that keeps the size, batch normalization, ReLU."""
    return conv_norm(out_channels, (length, 1), padding=(length // 2, 0), norm=INCEPTION_NORM)


def residual(body: Layer, shortcut: Layer | None = None) -> Parallel:
    """`body` plus its own input, or plus `shortcut` of it."""
    return Parallel(body=body, shortcut=shortcut or Identity(), merge="sum")


def bottleneck(width: int, out_channels: int, *, stride: int = 1, groups: int = 1, stride_first: bool = False) -> Chain:
    """1 x 1 to `width` channels, 3 x 3, 1 x 1 to `out_channels`; the stride is in the 3 x 3 or, with `stride_first`, in the first 1 x 1."""
    first, second = (stride, 1) if stride_first else (1, stride)
    return Chain(
        reduce=conv_norm(width, 1, stride=first),
        unit=conv_norm(width, 3, stride=second, groups=groups),
        expand=conv_norm(out_channels, 1, act=None),
    )


def squeeze_excitation(
    channels: int, squeezed: int, *, act: ActivationName = "silu", gate: Literal["sigmoid", "hard_sigmoid"] = "sigmoid"
) -> Parallel:
    """Each map times a number in [0, 1] that is computed from the averages of all maps."""
    weights = Chain(
        pool=GlobalPool("avg", keep_axes=True),
        reduce=Conv(squeezed, 1),
        act=Activation(act),
        expand=Conv(channels, 1),
        sigmoid=Activation(gate),
    )
    return Parallel(gate=weights, maps=Identity(), merge="multiply")


def projection(out_channels: int, stride: int) -> Chain:
    """The shortcut where shapes change, option B: 1 x 1 and batch normalization."""
    return conv_norm(out_channels, 1, stride=stride, act=None)


def blocks_with_act(blocks: Sequence[Layer]) -> Chain:
    """A stage: residual blocks, with ReLU after each sum."""
    parts: dict[str, Layer] = {}
    for i, block in enumerate(blocks, 1):
        parts |= {f"block{i}": block, f"act{i}": Activation("relu")}
    return Chain(**parts)


class Row(Protocol):
    """A table's row as `stages_with_drop` reads it: `repeats` blocks, of which only the first has `stride`."""

    @property
    def out_channels(self) -> int: ...
    @property
    def repeats(self) -> int: ...
    @property
    def stride(self) -> int: ...


RowOf = TypeVar("RowOf", bound=Row)


def stages_with_drop(in_channels: int, rows: Sequence[RowOf], block: Callable[[int, RowOf, int, float], Layer]) -> dict[str, Layer]:
    """The stages of an EfficientNet: `block(in_channels, row, stride, drop)` for each block, whose drop grows from 0 to nearly 0.2."""
    total, done = sum(row.repeats for row in rows), 0
    stages: dict[str, Layer] = {}
    for number, row in enumerate(rows, 1):
        blocks: dict[str, Layer] = {}
        for index in range(1, row.repeats + 1):
            blocks[f"block{index}"] = block(in_channels, row, row.stride if index == 1 else 1, 0.2 * done / total)
            in_channels, done = row.out_channels, done + 1
        stages[f"stage{number}"] = Chain(**blocks)
    return stages


def quartering_stem() -> Chain:
    """A 7 x 7 convolution and a maximum pooling, which together quarter the size: (64, 56, 56) of a 224 x 224 image."""
    return Chain(**dict(conv_norm(64, 7, stride=2).children), pool=Pool("max", 3, stride=2, padding=1))


def dense_layers(hidden: Sequence[int], activations: Sequence[ActivationName], num_outputs: int) -> dict[str, Layer]:
    """A linear layer and its activation for each entry of `hidden`, and a linear head."""
    parts: dict[str, Layer] = {}
    for place, (units, activation) in enumerate(zip(hidden, activations, strict=True), 1):
        parts |= {f"linear{place}": Linear(units), f"act{place}": Activation(activation)}
    return parts | {"head": Linear(num_outputs)}


def average_head(num_classes: int) -> Chain:
    """The average of each map, and a linear classifier."""
    return Chain(pool=GlobalPool("avg"), linear=Linear(num_classes))


def hidden_head(num_classes: int) -> Chain:
    """Two hidden layers of 4,096 units, each with ReLU and dropout, and a linear classifier, as AlexNet has them."""
    return Chain(
        flatten=Flatten(),
        hidden1=Linear(4096),
        act1=Activation("relu"),
        dropout1=Dropout(0.5),
        hidden2=Linear(4096),
        act2=Activation("relu"),
        dropout2=Dropout(0.5),
        linear=Linear(num_classes),
    )


def preact_conv(out_channels: int, kernel_size: int, *, stride: int = 1) -> Chain:
    """Batch normalization and ReLU before a convolution."""
    conv = Conv(out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)
    return Chain(norm=BatchNorm(), act=Activation("relu"), conv=conv)


def preact_residual(*units: Chain, shortcut: Conv | None = None) -> Parallel:
    """A body of preact_convs, plus its input or, through the projection `shortcut`, plus its input after its first norm and ReLU."""
    body = {f"unit{i}": unit for i, unit in enumerate(units, 1)}
    if shortcut is None:
        return residual(Chain(**body))
    (_, norm), (_, act), (_, conv) = units[0].children
    body["unit1"] = Chain(conv=conv)
    return Parallel(shortcut=shortcut, preact=Chain(norm=norm, act=act), body=Chain(**body), merge="sum", trunk="preact")
