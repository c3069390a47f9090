"""The content of a network's drawing: boxes, stacks of them, splits into branches, and repeats drawn once.

Two nodes are equal when they show the same words; the shapes in them do not count, so that layers which differ only in what comes in
(DenseNet's) are drawn once with "x 6".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from striate.networks.layers.base import Layer, Shape, per_axis
from striate.networks.layers.joins import Chain, Parallel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from striate.networks.network import AuxiliaryHead, Network

HINTS = ("norm", "act", "dropout", "drop", "flatten")  # roles that are told in the box of a neighbour
SHORT = {
    "batch_norm": "BN",
    "group_norm": "GN",
    "layer_norm": "LN",
    "instance_norm": "IN",
    "local_response_norm": "LRN",
    "global_response_norm": "GRN",
    "stochastic_depth": "drop path",
    "relu": "ReLU",
    "relu6": "ReLU6",
    "leaky_relu": "leaky ReLU",
    "prelu": "PReLU",
    "rrelu": "RReLU",
    "elu": "ELU",
    "selu": "SELU",
    "gelu": "GELU",
    "silu": "SiLU",
}
MERGES = {
    "sum": "+",
    "multiply": "×",
    "concat": "concat",
    "first": "cut to size",
    "resize": "enlarged",
    "unpool": "unpooled",
    "mixture": "mean of p",
}
COLORS = {  # role of the layer that a box is about -> name of its colour
    "conv": "convolution",
    "local": "convolution",
    "pool": "pooling",
    "linear": "fully connected",
    "rbf": "fully connected",
    "norm": "normalization, activation",
    "act": "normalization, activation",
    "resize": "resizing",
}
OTHER = "other"


@dataclass(frozen=True)
class Box:
    """A layer with the normalization, activation and dropout that belong to it; `times` in a row."""

    words: tuple[str, ...]
    color: str
    input_shape: Shape = field(compare=False)
    shape: Shape = field(compare=False)
    names: tuple[str, ...] = field(compare=False, default=())
    times: int = 1
    narrow: bool = field(compare=False, default=False)  # words on two lines


@dataclass(frozen=True)
class Wire:
    """The input, passed on."""


@dataclass(frozen=True)
class Stack:
    """One after the other."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Split:
    """Branches side by side, and how they are merged."""

    branches: tuple[Node, ...]
    words: tuple[str, ...]
    shape: Shape | None = field(compare=False, default=None)  # where it is worth telling


@dataclass(frozen=True)
class Frame:
    """A named part, drawn once for `times` equal ones in a row; `shape` comes out of the last where it differs from the first."""

    title: str = field(compare=False)
    node: Node
    times: int = 1
    shape: Shape | None = field(compare=False, default=None)


@dataclass(frozen=True)
class Aside:
    """An auxiliary classifier beside the line through a network, which goes on; `words` tell what becomes of its outputs."""

    node: Node
    words: str


Node = Box | Wire | Stack | Split | Frame | Aside
Name = TypeVar("Name", str, tuple[str, ...])


class Band(NamedTuple):
    """One outermost part of a network."""

    title: str
    node: Node
    params: int
    macs: int


class Step(NamedTuple):
    """A leaf, or a part with branches inside, and what comes into it."""

    name: str
    layer: Layer
    shape: Shape


def sketch(network: Network) -> list[Band]:
    """The outermost parts of `network` in order; those in a row that look alike and have branches in one band."""
    found: list[tuple[tuple[str, ...], Node]] = []
    leaves: list[Step] = []
    shape = network.input_shape
    for name, child in network.root.children:
        if isinstance(child, Chain | Parallel):
            found += [(box.names, box) for box in boxes(leaves)]
            found.append(((name,), node_of(child, shape, framed=True)))
            leaves = []
        else:
            leaves.append(Step(name, child, shape))
        shape = child.output_shape(shape)
    found += [(box.names, box) for box in boxes(leaves)]
    cost: dict[str, tuple[int, int]] = {}
    for row in network.rows:
        part = row.path.partition(".")[0]
        params, macs = cost.get(part, (0, 0))
        cost[part] = (params + row.cost.params, macs + row.cost.macs)
    bands = []
    for run in runs(found):
        names = tuple(name for part, _ in run for name in part)
        first, last = run[0][1], run[-1][1]
        node = first if len(run) == 1 else Frame("", first, len(run), _told(first, last))
        title = names[0] if isinstance(first, Box) else from_to(names)
        spent = [cost.get(name, (0, 0)) for name in names]
        bands.append(Band(title, node, sum(params for params, _ in spent), sum(macs for _, macs in spent)))
        bands += [_aside(network, head) for head in network.heads if head.at.partition(".")[0] in names]
    return bands


def _aside(network: Network, head: AuxiliaryHead) -> Band:
    """The band of an auxiliary classifier."""
    shape = network.shapes_at([head.at])[head.at]
    cost = head.head.cost(shape)
    task = "" if head.task == "classes" else "rotation, " if head.task == "rotation" else "coarser classes, "
    return Band("side branch", Aside(node_of(head.head, shape), f"{task}loss × {head.weight:g}, in training only"), cost.params, cost.macs)


def node_of(layer: Layer, shape: Shape, *, framed: bool = False) -> Node:
    """The drawing of `layer` for an input of `shape`; with `framed`, its parts that have branches get their names."""
    if isinstance(layer, Parallel):
        shared = tuple(node_of(child, shape) for name, child in layer.children if name == layer.trunk)
        inner, merged = layer.into_branches(shape), layer.output_shape(shape)
        branches = tuple(node_of(branch, inner) for _, branch in layer.branches)
        told = merged if layer.merge == "concat" or merged != shape else None
        split = Split(branches, (MERGES[layer.merge],), told) if len(branches) > 1 else branches[0]
        return Stack((*shared, split)) if shared else split
    nodes = _nodes(layer, shape, framed) if isinstance(layer, Chain) else list(boxes([Step("", layer, shape)]))
    return Wire() if not nodes else nodes[0] if len(nodes) == 1 else Stack(tuple(nodes))


def _nodes(chain: Chain, shape: Shape, framed: bool) -> list[Node]:
    named: list[tuple[str, Node]] = []
    leaves: list[Step] = []
    for step in [*_steps(chain, shape), None]:
        if step is not None and not isinstance(step.layer, Chain | Parallel):
            leaves.append(step)
            continue
        last = named[-1][1] if named else None
        if isinstance(last, Split) and leaves and all(leaf.layer.role in HINTS for leaf in leaves):
            words = tuple(word for leaf in leaves for word in _words(leaf))
            named[-1] = (named[-1][0], replace(last, words=(*last.words, *words)))
        else:
            named += [("", box) for box in boxes(leaves)]
        leaves = []
        if step is not None:
            named.append((step.name, node_of(step.layer, step.shape)))
    several = len(named) > 1
    nodes: list[Node] = []
    for run in runs(named):
        (name, first), (_, last) = run[0], run[-1]
        if len(run) > 1:
            nodes.append(Frame(from_to([name for name, _ in run]), first, len(run), _told(first, last)))
        elif framed and several and not isinstance(first, Box):
            nodes.append(Frame(name, first))
        else:
            nodes.append(first)
    return nodes


def _steps(chain: Chain, shape: Shape) -> Iterator[Step]:
    """Chains without branches as their leaves; parts with branches whole."""
    for name, child in chain.children:
        if isinstance(child, Chain) and not _has_branches(child):
            yield from _steps(child, shape)
        else:
            yield Step(name, child, shape)
        shape = child.output_shape(shape)


def _has_branches(layer: Layer) -> bool:
    if isinstance(layer, Parallel):
        return True
    return isinstance(layer, Chain) and any(_has_branches(child) for _, child in layer.children)


def from_to(names: Sequence[str]) -> str:
    """The names of equal parts in a row, those in between left out."""
    return ", ".join(names) if len(names) < 3 else f"{names[0]} … {names[-1]}"


def runs(named: Sequence[tuple[Name, Node]]) -> Iterator[list[tuple[Name, Node]]]:
    """Equal nodes with branches in a row together, the others alone: `boxes` has counted equal boxes."""
    run: list[tuple[Name, Node]] = []
    for name, node in named:
        if run and (not is_split(node) or node != run[-1][1]):
            yield run
            run = []
        run.append((name, node))
    if run:
        yield run


def is_split(node: Node) -> bool:
    """Return whether `node` has branches."""
    return isinstance(node, Split | Frame) or (isinstance(node, Stack) and any(map(is_split, node.nodes)))


def _told(first: Node, last: Node) -> Shape | None:
    """The shape out of `last`, where it is not that out of `first`."""
    shape = _shape_out(last)
    return shape if shape != _shape_out(first) else None


def _shape_out(node: Node) -> Shape | None:
    if isinstance(node, Stack):
        return _shape_out(node.nodes[-1])
    return None if isinstance(node, Wire | Aside) else node.shape


def boxes(leaves: Sequence[Step]) -> Iterator[Box]:
    """A box for each layer that is not a mere hint, and one for equal boxes in a row."""
    groups: list[list[Step]] = []
    for leaf in leaves:
        if leaf.layer.role != "identity" and groups and _joins(leaf, groups[-1]):
            groups[-1].append(leaf)
        elif leaf.layer.role != "identity":
            groups.append([leaf])
    held: Box | None = None
    for group in groups:
        box = _box(group)
        if held is not None and held == replace(box, times=held.times):
            held = replace(held, times=held.times + 1, shape=box.shape, names=(*held.names, *box.names))
        else:
            if held is not None:
                yield held
            held = box
    if held is not None:
        yield held


def _joins(leaf: Step, group: list[Step]) -> bool:
    """Return whether a leaf joins the box of those before it: hints do; a convolution does after hints alone (pre-activation)."""
    hints = [step.layer.role in HINTS for step in group]
    if leaf.layer.role in HINTS:
        return all(hints) or not (hints[0] and leaf.layer.role == "norm")  # a second normalization opens the next pre-activated layer
    return all(hints) and leaf.layer.role in ("conv", "linear")


def _box(group: list[Step]) -> Box:
    core = next((leaf for leaf in group if leaf.layer.role not in HINTS), group[0])
    words = tuple(word for leaf in group for word in _words(leaf))
    shape = group[-1].layer.output_shape(group[-1].shape)
    names = (core.name, *(leaf.name for leaf in group if leaf is not core))
    return Box(words, COLORS.get(core.layer.role, OTHER), group[0].shape, shape, names)


def _words(leaf: Step) -> tuple[str, ...]:
    """The text of a layer in a box: "3×3 conv 64", "/2" for a stride of 2, "·2" for dilation."""
    kind, values = leaf.layer.kind, vars(leaf.layer)
    if kind in SHORT:
        return (SHORT[kind],)
    if kind == "dropout":
        return (f"dropout {values['p']:g}",)
    if kind == "global_pool":
        return (f"global {_how(values['how'])} pool",)
    if kind == "channel_chunk":
        return (f"part {values['index'] + 1} of {values['chunks']} of the channels",)
    if kind == "scale":
        return (f"times {values['factor']:g}",)
    rank = max(len(leaf.shape) - 1, 1)
    if kind == "adaptive_pool":
        return (f"average pool to {_by(values['size'], rank)}",)
    what = {"pool": f"{_how(values.get('how', ''))} pool", "subsample": "sub-sampling", "conv_transpose": "transposed conv"}.get(
        kind, kind.replace("_", " ")
    )
    if kind == "conv" and values["groups"] == leaf.shape[0] > 1:
        what = "depthwise conv"
    words = [f"{_by(values['kernel_size'], rank)} {what}" if "kernel_size" in values else what]
    words += [str(values[name]) for name in ("out_channels", "out_features", "num_classes", "hidden_size") if name in values]
    if kind == "conv" and 1 < values["groups"] < leaf.shape[0]:
        words.append(f"in {values['groups']} groups")
    if values.get("connections") is not None:
        words.append("partly connected")
    if (stride := values.get("stride")) is not None and set(per_axis(stride, rank, "stride")) != {1}:
        words.append(("up " if kind == "conv_transpose" else "/") + _by(stride, rank, same="{}"))
    elif kind == "pool" and stride is None:
        words.append("/" + _by(values["kernel_size"], rank, same="{}"))
    if (dilation := values.get("dilation", 1)) != 1:
        words.append(f"dilated {_by(dilation, rank, same='{}')}")
    if kind == "interpolate":
        extent = values["size"] if values["scale"] is None else values["scale"]
        axes = "×".join(f"{n:g}" for n in (extent if isinstance(extent, tuple) else (extent,)))
        words.append(f"{values['mode']} {'to' if values['scale'] is None else 'up'} {axes}")
    return (" ".join(words),)


def _how(how: str) -> str:
    return {"avg": "average"}.get(how, how)


def _by(value: int | tuple[int, ...], rank: int, same: str = "") -> str:
    """`3×3`, or `3` in the manner of `same` where all axes agree and that is enough."""
    axes = per_axis(value, rank, "size")
    return same.format(axes[0]) if same and len(set(axes)) == 1 else "×".join(map(str, axes))
