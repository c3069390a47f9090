"""A network: a named description with its input shape, auxiliary heads and source, and everything that follows from it."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from striate.core.bounded import is_text, parsed_json
from striate.core.calls import call_as_in
from striate.core.errors import RefusedFileError, ShapeError, StriateError, UsageError
from striate.core.memory import need_parameters
from striate.networks.layers.base import Layer, Row, Shape, View, elements
from striate.networks.layers.joins import Chain, Container, Parallel
from striate.networks.layers.vocabulary import layer_from_data
from striate.networks.limits import refuse_absurd_sizes, refuse_too_many

if TYPE_CHECKING:
    from torch import nn

    from striate.networks.drawing import Drawing
    from striate.networks.layers.activation import ActivationName

FORMAT_VERSION = 1
MAX_DESCRIPTION_BYTES = 16_000_000  # as JSON; those of the catalogue stay under 200,000
BYTES_PER_NUMBER = 4  # float32
SMALLER = "Take a smaller network, or a machine with more memory."


AuxiliaryTask = Literal["classes", "rotation"] | int | tuple[int, ...]


class AuxiliaryHead(NamedTuple):
    """A second classifier used while training: it reads the output of the part at `at`; its loss counts `weight`.

    Its `task` is the classes, as that of the network; "rotation": by how many quarters a picture is turned, 0 to 3; coarser classes,
    the number of the group for each class; or a number: second labels that come with the pictures, of so many kinds.
    """

    at: str
    head: Layer
    weight: float
    task: AuxiliaryTask = "classes"


@dataclasses.dataclass(frozen=True)
class Network:
    """A network as data.

    Args:
        name: The catalogue name or the user's own.
        input_shape: (C, H, W), (C, L), ... without the batch.
        root: The description, a chain.
        heads: Auxiliary classifiers; not part of `params`, `macs` and the table.
        source: Where the architecture was published.
        provenance: The edits applied to it, one line each.
    """

    name: str
    input_shape: Shape
    root: Chain
    heads: tuple[AuxiliaryHead, ...] = ()
    source: str = ""
    provenance: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape: object = self.input_shape
        if not isinstance(shape, tuple | list) or not shape or any(not isinstance(n, int) or n < 1 for n in shape):
            raise UsageError(f"{self.name}: input_shape must be positive whole numbers such as (3, 32, 32), got {shape}")
        object.__setattr__(self, "input_shape", tuple(shape))
        root: object = self.root
        if not isinstance(root, Chain):
            raise UsageError(f"{self.name}: root must be a Chain, got {type(root).__name__}", "Write Network(name, shape, Chain(...)).")

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The layer table: one row per leaf and one per merge, in the order of computation.

        Raises:
            ShapeError: a layer's input does not fit; names the layer's path and both shapes.
        """
        return tuple(self.root.rows(self.input_shape, View.of_input(len(self.input_shape) - 1)))

    @property
    def output_shape(self) -> Shape:
        """The shape that comes out, without the batch: (K,) logits for a classifier."""
        return self.rows[-1].output_shape if self.rows else self.input_shape

    @property
    def params(self) -> int:
        """Trainable numbers, auxiliary heads not counted."""
        return sum(row.cost.params for row in self.rows)

    @cached_property
    def macs(self) -> int:
        """Multiply-adds of convolutions and matrix products for one sample."""
        return sum(row.cost.macs for row in self.rows)

    @property
    def flops(self) -> int:
        """Floating-point operations of the same: two per multiply-add."""
        return 2 * self.macs

    @property
    def connections(self) -> int:
        """Weights and biases used, counted once per output place, as LeCun 1998 counts them."""
        return sum(row.cost.connections for row in self.rows)

    @property
    def receptive_field(self) -> int | tuple[int, ...]:
        """The largest receptive field of a convolution or windowed pooling, in input pixels; one number where all axes agree.

        Enlarging layers do not count, as in the literature: a fully convolutional VGG-16 sees 404 pixels, whatever enlarges its scores.
        """
        windows = [row for row in self.rows if row.cost.reach is not None and min(row.cost.reach.stride, default=1) >= 1]
        sizes = [row.view.size for row in windows if not row.view.whole]
        if self.rows and self.rows[0].view.whole:  # as of what is not known, too
            sizes.append(self.input_shape[1:])
        if not sizes:
            return 1
        largest = tuple(math.ceil(max(axis)) for axis in zip(*sizes, strict=True))
        return largest[0] if len(set(largest)) == 1 else largest

    @property
    def training_memory_bytes(self) -> int:
        """Activations of one sample that training keeps for the backward pass, in float32: the input and each layer's output."""
        return BYTES_PER_NUMBER * (elements(self.input_shape) + sum(row.cost.activations for row in self.rows))

    @cached_property
    def inference_memory_bytes(self) -> int:
        """The most activations of one sample alive at once in inference, in float32: a layer's input, output, and open branches."""
        return BYTES_PER_NUMBER * _peak_elements(self.root, self.input_shape)

    def build(self, *, heads: bool = False) -> nn.Module:
        """The torch module with fresh weights: (N, C, H, W) float to (N, K) logits; with `heads`, the auxiliary ones too."""
        need_parameters(self.params, BYTES_PER_NUMBER * self.params, self.name, SMALLER)
        module = self.root.build(self.input_shape)
        if not heads or not self.heads:
            return module
        from striate.networks.modules.heads import NetworkWithHeads

        shapes = self.shapes_at([head.at for head in self.heads])
        built = [(head.at, head.head.build(shapes[head.at]), head.weight, head.task) for head in self.heads]
        return NetworkWithHeads(module, built)

    def shapes_at(self, paths: list[str]) -> dict[str, Shape]:
        """The output shape of the part at each of `paths`."""
        shapes = {}
        for path in paths:
            ends = [row.output_shape for row in self.rows if row.path == path or row.path.startswith(path + ".")]
            if not ends:
                raise UsageError(f"{self.name} has no part {path!r}")
            shapes[path] = ends[-1]
        return shapes

    def with_input(self, input_shape: Shape) -> Network:
        """The same description for another input."""
        return dataclasses.replace(self, input_shape=tuple(input_shape))

    @call_as_in("net.without('norm')")
    def without(self, what: str) -> Network:
        """The network without the parts that `what` means: a role, a kind, a name or a path; see `edits.without`."""
        from striate.networks.edits import without

        return without(self, what)

    @call_as_in("net.swap(activation='tanh')")
    def swap(
        self,
        *,
        activation: ActivationName | Layer | None = None,
        pooling: Literal["max", "avg"] | None = None,
        norm: str | Layer | None = None,
    ) -> Network:
        """The network with another activation, pooling or normalization throughout; see `edits.swap`."""
        from striate.networks.edits import swap

        return swap(self, activation=activation, pooling=pooling, norm=norm)

    def split_kernels(self, kernel: str = "3x3", *, place: str | None = None) -> Network:
        """The network with each larger square kernel as a stack of small ones; see `edits.split_kernels`."""
        from striate.networks.edits import split_kernels

        return split_kernels(self, kernel, place=place)

    def factorize(self, *, place: str | None = None) -> Network:
        """The network with each n x n kernel as 1 x n and n x 1; see `edits.factorize`."""
        from striate.networks.edits import factorize

        return factorize(self, place=place)

    def head(self, kind: str = "global-pool") -> Network:
        """The network with the averages of its last maps in place of dense layers; see `edits.head`."""
        from striate.networks.edits import head

        return head(self, kind)

    def fully_convolutional(self) -> Network:
        """The network with its dense layers as convolutions, for larger inputs; see `edits.fully_convolutional`."""
        from striate.networks.edits import fully_convolutional

        return fully_convolutional(self)

    @call_as_in("net.auxiliary('rotation', weight=0.5)")
    def auxiliary(self, task: Literal["rotation"] | int | tuple[int, ...], *, weight: float = 0.5) -> Network:
        """The network with a head for a second task to train on, whose loss counts `weight`; see `edits.auxiliary`."""
        from striate.networks.edits import auxiliary

        return dataclasses.replace(self, heads=(*self.heads, AuxiliaryHead(*auxiliary(self, task), weight, task)))

    def width(self, factor: float) -> Network:
        """The network with `factor` times as many channels; see `edits.width`."""
        from striate.networks.edits import width

        return width(self, factor)

    def depth(self, factor: float) -> Network:
        """The network with `factor` times as many repeated blocks; see `edits.depth`."""
        from striate.networks.edits import depth

        return depth(self, factor)

    def smallest_input(self) -> Shape | None:
        """The smallest square (or cubic) input that fits, found by bisection; None if no size up to 4,096 does."""
        channels, rank = self.input_shape[0], len(self.input_shape) - 1
        low, high = 0, 1
        while not self.fits((channels, *(high,) * rank)):
            low, high = high, high * 2
            if high > 4096:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.fits((channels, *(middle,) * rank)) else (middle, high)
        return (channels, *(high,) * rank)

    def fits(self, input_shape: Shape) -> bool:
        """Return whether every layer accepts its input for a network input of `input_shape`."""
        try:
            self.root.output_shape(input_shape)
        except ShapeError:
            return False
        return True

    def to_data(self) -> dict[str, Any]:
        """The network as plain data."""
        data: dict[str, Any] = {"striate_network": FORMAT_VERSION, "name": self.name, "input_shape": list(self.input_shape)}
        data["root"] = self.root.to_data()
        if self.heads:
            data["heads"] = [_head_to_data(head) for head in self.heads]
        for field in ("source", "provenance"):
            if getattr(self, field):
                data[field] = getattr(self, field)
        return data

    def to_json(self) -> str:
        """The network as JSON text: nothing but data."""
        return json.dumps(self.to_data(), allow_nan=False)

    @classmethod
    def from_data(cls, data: object) -> Network:
        """The network that `to_data` wrote.

        Raises:
            RefusedFileError: not such data; names the place.
        """
        fields = {"striate_network", "name", "input_shape", "root", "heads", "source", "provenance"}
        if not isinstance(data, dict) or data.get("striate_network") != FORMAT_VERSION:
            raise RefusedFileError(f"not a network description of format {FORMAT_VERSION}")
        if unknown := set(data) - fields:
            raise RefusedFileError(f"network description: unknown field {min(unknown)!r}")
        refuse_too_many(data)
        root, shape = layer_from_data(data.get("root")), data.get("input_shape")
        if not isinstance(root, Chain):
            raise RefusedFileError("network description: root must be a Chain")
        if not isinstance(shape, list) or not all(type(n) is int and 0 < n <= 2**20 for n in shape):
            raise RefusedFileError(f"network description: input_shape must be a list of positive whole numbers, got {shape!r}")
        name = data.get("name")
        if not isinstance(name, str) or not is_text(name):
            raise RefusedFileError("network description: name must be text")
        heads, source, provenance = data.get("heads", []), data.get("source", ""), data.get("provenance", [])
        if not isinstance(heads, list | tuple):
            raise RefusedFileError(f"network description: heads must be a list, got {heads!r}")
        if not isinstance(source, str):
            raise RefusedFileError(f"network description: source must be text, got {source!r}")
        if not isinstance(provenance, list | tuple) or not all(isinstance(line, str) for line in provenance):
            raise RefusedFileError(f"network description: provenance must be a list of lines, got {provenance!r}")
        network = cls(
            name=name,
            input_shape=tuple(shape),
            root=root,
            heads=tuple(_head_from_data(head) for head in heads),
            source=source,
            provenance=tuple(provenance),
        )
        refuse_absurd_sizes(network)
        return network

    @classmethod
    def from_json(cls, text: str) -> Network:
        """The network that `to_json` wrote.

        Raises:
            RefusedFileError: not JSON, or not such data; names the place.
        """
        return cls.from_data(parsed_json(text, "network description", any_text=True))

    @property
    def graph(self) -> Drawing:
        """The drawing, as SVG text that a notebook shows."""
        from striate.networks.drawing import Drawing, draw_svg

        return Drawing(draw_svg(self))

    def __repr__(self) -> str:
        sizes = " x ".join(map(str, self.input_shape))
        try:
            found = f"{' x '.join(map(str, self.output_shape))} outputs, {self.params:,} parameters"
        except StriateError as error:  # a description need not fit together
            found = str(error.message)
        return f"Network({self.name!r}: input {sizes}, {found}; print it for its layers)"

    def __str__(self) -> str:
        from striate.networks.table import layer_table

        return layer_table(self)


def _head_to_data(head: AuxiliaryHead) -> dict[str, Any]:
    data = {"at": head.at, "head": head.head.to_data(), "weight": head.weight}
    return data if head.task == "classes" else {**data, "task": head.task}


def _head_from_data(data: object) -> AuxiliaryHead:
    if not isinstance(data, dict) or set(data) - {"task"} != {"at", "head", "weight"} or not isinstance(data["at"], str):
        raise RefusedFileError("network description: each of heads must have the fields at, head, weight")
    if not isinstance(data["weight"], int | float) or not math.isfinite(data["weight"]):
        raise RefusedFileError(f"network description: a head's weight must be a finite number, got {data['weight']!r}")
    layer = layer_from_data(data["head"], f"head at {data['at']}")
    return AuxiliaryHead(data["at"], layer, float(data["weight"]), _task_from_data(data.get("task", "classes")))


def _task_from_data(task: object) -> AuxiliaryTask:
    if task == "classes":
        return "classes"
    if task == "rotation":
        return "rotation"
    if type(task) is int and 1 < task < 2**20:
        return task
    if isinstance(task, list | tuple) and task and all(type(group) is int and 0 <= group < 2**20 for group in task):
        return tuple(task)
    message = (
        f"network description: a head's task must be classes, rotation, a number of kinds, or that of a group for each class, got {task!r}"
    )
    raise RefusedFileError(message)


def _peak_elements(layer: Layer, shape: Shape) -> int:
    """The most elements alive while `layer` works on an input of `shape`, that input and the output counted."""
    if isinstance(layer, Chain):
        peak = elements(shape)
        for _, child in layer.children:
            peak = max(peak, _peak_elements(child, shape))
            shape = child.output_shape(shape)
        return peak
    if isinstance(layer, Parallel):
        finished, peak = 0, 0
        if layer.trunk is not None:
            peak, shape = _peak_elements(dict(layer.children)[layer.trunk], shape), layer.into_branches(shape)
        for _, child in layer.branches:
            peak = max(peak, finished + _peak_elements(child, shape))
            is_view = not isinstance(child, Container) and child.cost(shape).activations == 0
            finished += 0 if is_view else elements(child.output_shape(shape))
        return max(peak, elements(shape) + finished + elements(layer.output_shape(shape)))
    return elements(shape) + layer.cost(shape).activations
