"""The base of every layer of a description: its output shape, its cost, its torch module, its JSON form.

A shape leaves the batch out: an image is (C, H, W), a signal (C, L), a volume (C, D, H, W), a vector (F,), a sequence (T, F).
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, TypeVar, cast, dataclass_transform

import pydantic.dataclasses
from pydantic import ConfigDict, Field, ValidationError

from striate.core.errors import ShapeError, StriateError, UsageError
from striate.core.refusals import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

Shape = tuple[int, ...]
Count = Annotated[int, Field(ge=1)]  # a whole number of at least 1
Size = Count | tuple[Count, ...]  # one number for all axes, or one for each
Padding = Annotated[int, Field(ge=0)] | tuple[Annotated[int, Field(ge=0)], ...]
Probability = Annotated[float, Field(ge=0, le=1)]

LEAF = ConfigDict(extra="forbid", allow_inf_nan=False)
AnyLeaf = TypeVar("AnyLeaf")


@dataclass_transform(frozen_default=True)
def leaf(cls: type[AnyLeaf]) -> type[AnyLeaf]:
    """Make `cls` a leaf of the vocabulary: a frozen dataclass with checked fields. A field that is wrong raises UsageError."""
    record: Any = pydantic.dataclasses.dataclass(frozen=True, config=LEAF)(cls)
    checked_init = record.__init__

    @functools.wraps(checked_init)
    def init(self: Any, *args: Any, **fields: Any) -> None:
        try:
            checked_init(self, *args, **fields)
        except ValidationError as error:
            raise _usage_error(record, error) from None

    record.__init__ = init
    return cast("type[AnyLeaf]", record)


def _usage_error(record: Any, error: ValidationError) -> StriateError:
    """The error in a field of `record`, under the name that its author uses."""
    names = tuple(field.name for field in dataclasses.fields(record))
    found = refusal(error, names)
    return found.cause or UsageError(f"{record.__name__}: {found}", f"{found.remedy} The fields are {', '.join(names)}.".strip())


class Reach(NamedTuple):
    """The input places that one output place of a layer sees, per axis.

    With r, j, c the receptive field, stride and centre before the layer: r + (kernel - 1) j, stride * j, c + shift * j after it.
    """

    kernel: tuple[float, ...]  # input places from the first to the last that one output place sees, at most
    stride: tuple[float, ...]  # input places from one output place to the next; 1/2 where the layer doubles the size
    shift: tuple[float, ...]  # input places from place 0 to the centre of what output place 0 sees; enlarging: the mean over places
    whole: bool = False  # every output place sees the whole input

    @classmethod
    def of_window(cls, kernel: Shape, stride: Shape, pad_before: Shape) -> Reach:
        """The reach of a window of `kernel` places (dilation included), moved by `stride` over padded input."""
        return cls(kernel, stride, tuple((k - 1) / 2 - p for k, p in zip(kernel, pad_before, strict=True)))

    @classmethod
    def of_everything(cls, extent: Shape) -> Reach:
        """The reach of a layer whose every output sees all `extent` input places."""
        return cls(extent, (1,) * len(extent), tuple((n - 1) / 2 for n in extent), whole=True)


class Cost(NamedTuple):
    """The cost of a layer for one sample."""

    params: int = 0  # trainable numbers
    macs: int = 0  # multiply-adds of convolutions and matrix products; FLOPs are twice as many
    activations: int = 0  # output elements that training keeps; 0 if the output is a view of the input
    connections: int = 0  # weights and biases used, counted once per output place (LeCun 1998)
    reach: Reach | None = None  # None: each output place sees just its own input place


class Row(NamedTuple):
    """One line of a layer table, as a walk over a description yields it. Fields are per sample."""

    path: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    cost: Cost
    view: View


class View(NamedTuple):
    """The receptive field at one place of a network, per axis, in input pixels."""

    size: tuple[float, ...]
    stride: tuple[float, ...]
    centre: tuple[float, ...]  # of output place 0; the first input pixel is 0.0
    whole: bool = False

    @classmethod
    def of_input(cls, rank: int) -> View:
        return cls((1,) * rank, (1,) * rank, (0,) * rank)

    def through(self, reach: Reach | None) -> View:
        """The view after a layer with `reach`."""
        if reach is None:
            return self
        if len(reach.kernel) != len(self.size):  # the layer works on other axes than the image's
            return self._replace(whole=self.whole or reach.whole)
        axes = range(len(self.size))
        return View(
            tuple(self.size[a] + (reach.kernel[a] - 1) * self.stride[a] for a in axes),
            tuple(self.stride[a] * reach.stride[a] for a in axes),
            tuple(self.centre[a] + reach.shift[a] * self.stride[a] for a in axes),
            self.whole or reach.whole,
        )


class Layer:
    """Base of the vocabulary. A leaf is a frozen pydantic dataclass that derives from it.

    `role` is the name that a chain gives to a layer of this kind by default.
    """

    role: ClassVar[str] = "layer"

    @property
    def kind(self) -> str:
        """The kind in a table, such as `conv` or `batch_norm`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    def output_shape(self, shape: Shape) -> Shape:
        """The shape that comes out when `shape` goes in.

        Raises:
            ShapeError: `shape` does not fit; names the layer's path, the shape that came and the shape it needs.
        """
        return shape

    def cost(self, shape: Shape) -> Cost:
        """The cost of the layer for one sample of `shape`."""
        return Cost(activations=elements(self.output_shape(shape)))

    def build(self, shape: Shape) -> nn.Module:
        """The torch module for input of `shape`, with fresh weights."""
        raise NotImplementedError

    def rows(self, shape: Shape, view: View, path: str = "") -> Iterator[Row]:
        """The table rows of this layer and, for a container, of all below it."""
        try:
            output_shape, cost = self.output_shape(shape), self.cost(shape)
        except ShapeError as error:
            raise error.within(path) if path else error from None
        yield Row(path, self, shape, output_shape, cost, view.through(cost.reach))

    def to_data(self) -> dict[str, Any]:
        """The layer as plain data: its type and the fields that differ from their defaults."""
        return {"type": type(self).__name__, **changed_fields(self)}

    def __str__(self) -> str:
        """The layer as one would write it: `Conv(64, 3, stride=2)`."""
        values = changed_fields(self)
        words, positional = [], True
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # every concrete layer is a dataclass
            if field.name in values and positional:
                words.append(_word(values[field.name]))
            elif field.name in values:
                words.append(f"{field.name}={_word(values[field.name])}")
            else:
                positional = False
        return f"{type(self).__name__}({', '.join(words)})"


def _word(value: object) -> str:
    if isinstance(value, tuple) and len(value) > 4:
        return "(...)"
    return str(value) if isinstance(value, int | float | tuple) else f'"{value}"'


def changed_fields(record: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, in order."""
    changed = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if field.default is dataclasses.MISSING or value != field.default:
            changed[field.name] = value
    return changed


def elements(shape: Shape) -> int:
    """The number of elements of a tensor of `shape`."""
    count = 1
    for extent in shape:
        count *= extent
    return count


def per_axis(value: int | tuple[int, ...], rank: int, what: str) -> Shape:
    """`value` for each of `rank` axes.

    Raises:
        ShapeError: `value` lists another number of axes.
    """
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        raise ShapeError(f"{what} {value} has {len(value)} entries, but the input has {rank} spatial axes")
    return value


def spatial(shape: Shape, layer: str, ranks: tuple[int, ...] = (1, 2, 3)) -> Shape:
    """The spatial extents of a feature map `shape` (C, ...).

    Raises:
        ShapeError: `shape` has no channel axis followed by as many axes as one of `ranks`.
    """
    if len(shape) - 1 not in ranks:
        wanted = " or ".join({1: "(C, L)", 2: "(C, H, W)", 3: "(C, D, H, W)"}[rank] for rank in ranks)
        raise ShapeError(f"{layer} needs a shape {wanted}, got {shape}")
    return shape[1:]
