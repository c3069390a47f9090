"""Edits: functions from a network to another network, over the tree of its description.

An edit first selects parts, then removes or replaces them, then checks that what is left fits together. An edit that selects nothing
is an error. What was done stands in the provenance of the edited network; names and paths of the parts that stay do not change.
"""

from __future__ import annotations

import dataclasses
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from striate.core.errors import ShapeError, UnknownNameError, UsageError
from striate.networks.layers import (
    Activation,
    BatchNorm,
    Chain,
    GroupNorm,
    Identity,
    InstanceNorm,
    Layer,
    LayerNorm,
    LocalResponseNorm,
    Parallel,
    Pool,
    StochasticDepth,
    Subsample,
    View,
)
from striate.networks.layers.activation import ActivationName
from striate.networks.layers.joins import Container
from striate.networks.layers.vocabulary import LEAVES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from striate.networks.layers import Shape
    from striate.networks.network import AuxiliaryHead, Network

PoolingName = Literal["max", "avg"]
LONG_WORDS = {"activation": "act", "normalization": "norm", "pooling": "pool"}  # for the roles
NORMS: dict[str, Callable[[int], Layer]] = {  # number of channels -> layer
    "batch": lambda _: BatchNorm(),
    "group": lambda channels: GroupNorm(num_groups(channels)),
    "instance": lambda _: InstanceNorm(affine=True),
    "layer": lambda _: LayerNorm(),
    "response": lambda _: LocalResponseNorm(),
}


class Part(NamedTuple):
    """A layer or container of a description and where it stands; the parts of an auxiliary head at X stand under `heads.X`."""

    path: str
    layer: Layer
    parent: Container | None


def without(network: Network, what: str) -> Network:
    """`network` with some parts taken away.

    Args:
        network: Any network.
        what: A role or kind of layer (`norm`, `dropout`, `relu`, `batch_norm`); `shortcut`, which also means each branch that hands its
            input on to a sum or concatenation; a part's name (`branch5x5`); or a path or the end of one, `*` standing for any name
            (`stage3.block2`, `stage3.*`).

    Returns:
        The network without these parts. A convolution that had no bias because of a normalization gets one when that goes; a body that
        loses its shortcut stays, its stochastic depth goes; a join with one branch left becomes a chain; an auxiliary head goes with
        the part that it reads from.

    Raises:
        UnknownNameError: no part is called so; gives the nearest names.
        UsageError: the network has no such part, or nothing would be left.
        ShapeError: the parts that stay do not fit together; names the layer.
    """
    gone = dict.fromkeys(part.path for part in select(network, what))  # a set in the order of the description
    gone |= dict.fromkeys(_idle_depths(network, gone.keys()))
    new = {path: _with_bias(layer) for path, layer in _owed_biases(network, gone.keys())}
    return _edited(network, f"without {what}", gone.keys(), new, f"removed {_listed(_topmost(gone.keys()))}")


def swap(
    network: Network,
    *,
    activation: ActivationName | Layer | None = None,
    pooling: PoolingName | None = None,
    norm: str | Layer | None = None,
) -> Network:
    """`network` with every layer of a role replaced.

    Args:
        network: Any network.
        activation: What replaces each activation: a name such as "tanh", or a layer such as `Activation("leaky_relu", slope=0.2)`. A
            sigmoid that closes a branch of a product (a gate), softmax and identity stay.
        pooling: "max" or "avg" for each pooling over windows; global pooling stays.
        norm: "batch", "group", "instance", "layer", "response", or a layer, for each normalization. "group" takes the largest number of
            groups up to 32 that leaves at least two channels in each.

    Raises:
        UnknownNameError: no such activation, pooling or normalization; gives the nearest names.
        UsageError: nothing asked for, or nothing to replace.
        ShapeError: the new layers do not fit; names the layer.
    """
    if activation is None and pooling is None and norm is None:
        raise UsageError("swap needs one of activation, pooling, norm", 'For example: swap(activation="tanh").')
    if activation is not None:
        network = _swap_activation(network, activation)
    if pooling is not None:
        network = _swap_pooling(network, pooling)
    if norm is not None:
        network = _swap_norm(network, norm)
    return network


def num_groups(channels: int) -> int:
    """The largest number of groups up to 32 that divides `channels` and leaves at least two channels in each; 1 where none does."""
    return max(groups for groups in range(1, 33) if channels % groups == 0 and (groups == 1 or channels // groups >= 2))


def parts(network: Network) -> Iterator[Part]:
    """Every part of a network, containers before what they hold, auxiliary heads last."""
    for name, child in network.root.children:
        yield from _walk(child, name, network.root)
    for head in network.heads:
        yield from _walk(head.head, _head_path(head), None)


def select(network: Network, what: str) -> list[Part]:
    """The parts that `what` means, as `without` explains it; never none.

    Raises:
        UnknownNameError: no part is called so; gives the nearest names.
        UsageError: the network has no such part.
    """
    everything = list(parts(network))
    word = LONG_WORDS.get(what, what)
    found = [part for part in everything if _is_called(part, word)]
    if found:
        return found
    words = {"shortcut", *LONG_WORDS, *(layer.role for layer in LEAVES.values()), *get_args(ActivationName)}
    if what in words:
        has = sorted({part.layer.role for part in everything if not isinstance(part.layer, Container)})
        raise UsageError(f"{network.name} has no {what}", f"Its layers are: {', '.join(has)}.")
    names = {part.path.rpartition(".")[2] for part in everything}
    known = words | names | ({part.path for part in everything} if "." in what else set())
    raise UnknownNameError("part", what, known, "`striate show` lists the parts of a network.")


def _is_called(part: Part, word: str) -> bool:
    hands_on = isinstance(part.layer, Identity) and isinstance(part.parent, Parallel) and part.parent.merge in ("sum", "concat")
    if word == "shortcut" and hands_on:
        return True
    if not isinstance(part.layer, Container) and word in (part.layer.role, part.layer.kind):
        return True
    names, wanted = part.path.split("."), word.split(".")
    return len(names) >= len(wanted) and all(map(fnmatchcase, names[-len(wanted) :], wanted))


def _walk(layer: Layer, path: str, parent: Container | None) -> Iterator[Part]:
    yield Part(path, layer, parent)
    if isinstance(layer, Container):
        for name, child in layer.children:
            yield from _walk(child, f"{path}.{name}", layer)


def _head_path(head: AuxiliaryHead) -> str:
    return f"heads.{head.at}"


def _idle_depths(network: Network, gone: Collection[str]) -> Iterator[str]:
    """The stochastic depths of bodies that stand alone once `gone` is gone: they would drop the whole signal."""
    for part in parts(network):
        if isinstance(part.layer, Parallel) and part.layer.merge == "sum":
            left = [(name, child) for name, child in part.layer.branches if f"{part.path}.{name}" not in gone]
            if len(left) == 1 < len(part.layer.branches):
                yield from _depths(left[0][1], f"{part.path}.{left[0][0]}")


def _depths(layer: Layer, path: str) -> Iterator[str]:
    if isinstance(layer, StochasticDepth):
        yield path
    elif isinstance(layer, Container) and not (isinstance(layer, Parallel) and layer.merge == "sum"):
        for name, child in layer.children:
            yield from _depths(child, f"{path}.{name}")


def _owed_biases(network: Network, gone: Collection[str]) -> Iterator[tuple[str, Layer]]:
    """The layers that had no bias because of a normalization in `gone`: the one before it, or, where it came first, the one after it."""
    for line in _all_lines(network):
        for index, (path, layer) in enumerate(line):
            if getattr(layer, "bias", True):
                continue
            after = line[index + 1] if index + 1 < len(line) else None
            if after is not None and after[1].role == "norm":
                owed = after[0] in gone
            else:
                before = [step for step in line[:index] if step[1].role not in ("act", "dropout")]
                owed = bool(before) and before[-1][1].role == "norm" and before[-1][0] in gone
            if owed:
                yield path, layer


Line = list[tuple[str, Layer]]  # leaves and parallels, one after the other


def _all_lines(network: Network) -> Iterator[Line]:
    for name, child in (("", network.root), *((_head_path(head), head.head) for head in network.heads)):
        yield from _lines(child, name)


def _lines(layer: Layer, path: str) -> Iterator[Line]:
    """Chains inside chains as one line; then the lines of each branch of each parallel on it, each with what the branches share before."""
    line = list(_line(layer, path))
    yield line
    for place, part in line:
        if isinstance(part, Parallel):
            shared = [step for name, child in part.children if name == part.trunk for step in _line(child, f"{place}.{name}")]
            for name, branch in part.branches:
                first, *others = _lines(branch, f"{place}.{name}")
                yield from ([*shared, *first], *others)


def _line(layer: Layer, path: str) -> Iterator[tuple[str, Layer]]:
    if not isinstance(layer, Chain):
        yield path, layer
        return
    for name, child in layer.children:
        yield from _line(child, f"{path}.{name}" if path else name)


def _with_bias(layer: Any) -> Layer:
    biased: Layer = dataclasses.replace(layer, bias=True)
    return biased


def _swap_activation(network: Network, activation: ActivationName | Layer) -> Network:
    if isinstance(activation, str) and activation not in get_args(ActivationName):
        raise UnknownNameError("activation", activation, get_args(ActivationName))
    layer = Activation(activation) if isinstance(activation, str) else activation
    stay = set(_gates(network))
    new: dict[str, Layer] = {}
    for part in parts(network):
        hidden = isinstance(part.layer, Activation) and part.layer.name not in ("softmax", "identity") and part.path not in stay
        if hidden and part.layer != layer:
            new[part.path] = layer
    return _swapped(network, "activation", layer, new)


def _gates(network: Network) -> Iterator[str]:
    """The sigmoids that close a branch of a product."""
    for part in parts(network):
        if isinstance(part.layer, Parallel) and part.layer.merge == "multiply":
            for name, branch in part.layer.branches:
                for path, layer in list(_line(branch, f"{part.path}.{name}"))[-1:]:
                    if layer.kind in ("sigmoid", "hard_sigmoid"):
                        yield path


def _swap_pooling(network: Network, how: PoolingName) -> Network:
    if how not in get_args(PoolingName):
        raise UnknownNameError("pooling", how, get_args(PoolingName), "Poolings are: max, avg.")
    new: dict[str, Layer] = {}
    for part in parts(network):
        if isinstance(part.layer, Subsample):
            new[part.path] = Pool(how, part.layer.kernel_size)
        elif isinstance(part.layer, Pool) and part.layer.how != how:
            new[part.path] = dataclasses.replace(part.layer, how=how)
    return _swapped(network, "pooling", how, new)


def _swap_norm(network: Network, norm: str | Layer) -> Network:
    if isinstance(norm, str) and norm not in NORMS:
        raise UnknownNameError("normalization", norm, NORMS, f"Normalizations are: {', '.join(NORMS)}.")
    shapes = _input_shapes(network)
    new: dict[str, Layer] = {}
    shiftless = set()
    for part in parts(network):
        if part.layer.role != "norm" or isinstance(part.layer, Container):
            continue
        shape = shapes[part.path]
        layer = NORMS[norm](shape[0]) if isinstance(norm, str) else norm
        if layer != part.layer:
            new[part.path] = layer
            if part.layer.cost(shape).params and not layer.cost(shape).params:
                shiftless.add(part.path)
    biased = {path: _with_bias(layer) for path, layer in _owed_biases(network, shiftless)}
    return _swapped(network, "norm", norm, new, biased)


def _input_shapes(network: Network) -> dict[str, Shape]:
    """The shape that goes into each leaf."""
    shapes = {row.path: row.input_shape for row in network.rows}
    for head in network.heads:
        shape = network.shapes_at([head.at])[head.at]
        rows = head.head.rows(shape, View.of_input(len(shape) - 1), _head_path(head))
        shapes |= {row.path: row.input_shape for row in rows}
    return shapes


def _swapped(network: Network, role: str, to: object, new: dict[str, Layer], adapted: dict[str, Layer] | None = None) -> Network:
    if not new:
        raise UsageError(f"{network.name} has no {role} to replace by {to}")
    return _edited(network, f"with {role} {to}", (), new | (adapted or {}), f"replaced {_listed(list(new))}")


def _edited(network: Network, edit: str, gone: Collection[str], new: dict[str, Layer], done: str) -> Network:
    """`network` without the parts at the paths `gone` and with those in `new`, checked, and with a line in its provenance."""
    children = [(name, _rewritten(child, name, gone, new)) for name, child in network.root.children]
    left = tuple((name, child) for name, child in children if child is not None)
    if not left:
        raise UsageError(f"{network.name} {edit}: nothing would be left")
    root = network.root.with_children(left)
    heads = []
    for head in network.heads:
        layer = _rewritten(head.head, _head_path(head), gone, new)
        if layer is not None and _has(root, head.at):
            heads.append(head._replace(head=layer))
    edited = dataclasses.replace(network, root=root, heads=tuple(heads), provenance=(*network.provenance, f"{edit}: {done}"))
    try:
        _input_shapes(edited)
    except ShapeError as error:
        error.message = f"{network.name} {edit}: {error.message}"
        fewer, other = "The parts that stay must still fit together: select fewer parts, or more.", "Choose another layer to put there."
        error.remedy = error.remedy or (fewer if gone else other)
        raise error from None
    return edited


def _rewritten(layer: Layer, path: str, gone: Collection[str], new: dict[str, Layer]) -> Layer | None:
    """`layer` after the edit; None where nothing is left of it."""
    if path in gone:
        return None
    if not isinstance(layer, Container):
        return new.get(path, layer)
    kept = []
    for name, child in layer.children:
        place = f"{path}.{name}"
        edited = _rewritten(child, place, gone, new)
        if edited is None and place not in gone and isinstance(layer, Parallel) and name != layer.trunk:
            edited = Identity()  # a branch that was emptied still hands its input on
        if edited is not None:
            kept.append((name, edited))
    if tuple(kept) == layer.children:
        return layer
    if not kept:
        return None
    if isinstance(layer, Parallel) and sum(name != layer.trunk for name, _ in kept) < 2:
        return Chain(**dict(sorted(kept, key=lambda child: child[0] != layer.trunk)))  # the trunk runs first, wherever it stands
    return layer.with_children(tuple(kept))


def _has(root: Chain, path: str) -> bool:
    layer: Layer | None = root
    for name in path.split("."):
        layer = dict(layer.children).get(name) if isinstance(layer, Container) else None
    return layer is not None


def _topmost(paths: Collection[str]) -> list[str]:
    """Without those that lie inside others of them."""
    return [path for path in paths if not any(path[:end] in paths for end, letter in enumerate(path) if letter == ".")]


def _listed(paths: list[str]) -> str:
    """How many, and which; the middle of a long list left out."""
    shown = paths if len(paths) <= 6 else [*paths[:3], "...", *paths[-2:]]
    return f"{len(paths)} part{'s' if len(paths) != 1 else ''} ({', '.join(shown)})"
