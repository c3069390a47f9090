"""The parts of a description: finding them by words, and replacing them."""

from __future__ import annotations

import dataclasses
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple, get_args

from striate.core.errors import ShapeError, UnknownNameError, UsageError
from striate.core.text import command
from striate.networks.layers import Chain, Identity, Layer, Parallel, View
from striate.networks.layers.activation import ActivationName
from striate.networks.layers.joins import Container
from striate.networks.layers.vocabulary import LEAVES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from striate.networks.layers import Shape
    from striate.networks.network import AuxiliaryHead, Network

LONG_WORDS = {"activation": "act", "normalization": "norm", "pooling": "pool"}  # for the roles


class Part(NamedTuple):
    """A layer or container of a description and where it stands; the parts of an auxiliary head at X stand under `heads.X`."""

    path: str
    layer: Layer
    parent: Container | None


def parts(network: Network) -> Iterator[Part]:
    """Every part of a network, containers before what they hold, auxiliary heads last."""
    for name, child in network.root.children:
        yield from _walk(child, name, network.root)
    for head in network.heads:
        yield from _walk(head.head, _head_path(head), None)


def select(network: Network, what: str) -> list[Part]:
    """The parts that `what` names, as `without` explains it; never empty.

    Raises:
        UnknownNameError: no part is called so; gives the nearest names.
        UsageError: the network has no such part.
    """
    everything = list(parts(network))
    what, at, place = what.partition("@")
    word = LONG_WORDS.get(what, what)
    found = [part for part in everything if _is_called(part, word)]
    if found and at:
        return within(network, place, found)
    if found:
        return found
    if what.startswith("branch="):
        branches = sorted({part.path.rpartition(".")[2] for part in everything if _is_branch(part)})
        told = f"Its branches are: {', '.join(branches)}." if branches else "It has no branches."
        raise UsageError(f"{network.name} has no branch {what[7:]}", told)
    words = {"shortcut", *LONG_WORDS, *(layer.role for layer in LEAVES.values()), *get_args(ActivationName)}
    if what in words:
        has = sorted({part.layer.role for part in everything if not isinstance(part.layer, Container)})
        raise UsageError(f"{network.name} has no {what}", f"Its layers are: {', '.join(has)}.")
    names = {part.path.rpartition(".")[2] for part in everything}
    known = words | names | ({part.path for part in everything} if "." in what else set())
    top = ", ".join(dict.fromkeys(part.path for part in everything if "." not in part.path))
    listing = command("striate", "show", network.name)
    raise UnknownNameError("part", what, known, f"{network.name} consists of: {top}; `{listing}` lists what is in them.")


def within(network: Network, place: str | None, among: Sequence[Part]) -> list[Part]:
    """Those of `among` that are or lie in a part called `place`; all if it is None; never empty.

    Raises:
        UnknownNameError: no part is called so; gives the nearest names.
        UsageError: none of them lies there.
    """
    if place is None:
        return list(among)
    roofs = [part.path for part in select(network, place)]
    found = [part for part in among if any(part.path == roof or part.path.startswith(f"{roof}.") for roof in roofs)]
    if not found:
        raise UsageError(
            f"{network.name}: none of the parts to edit lies in {place}", f"They are: {listed([part.path for part in among])}."
        )
    return found


def _is_called(part: Part, word: str) -> bool:
    if word.startswith("branch="):
        return _is_branch(part) and part.path.rpartition(".")[2] in (f"branch{word[7:]}", f"branch_{word[7:]}")
    hands_on = isinstance(part.layer, Identity) and isinstance(part.parent, Parallel) and part.parent.merge in ("sum", "concat")
    if word == "shortcut" and hands_on:
        return True
    if not isinstance(part.layer, Container) and word in (part.layer.role, part.layer.kind):
        return True
    names, wanted = part.path.split("."), word.split(".")
    return len(names) >= len(wanted) and all(map(fnmatchcase, names[-len(wanted) :], wanted))


def _is_branch(part: Part) -> bool:
    return isinstance(part.parent, Parallel) and part.path.rpartition(".")[2].startswith("branch")


def _walk(layer: Layer, path: str, parent: Container | None) -> Iterator[Part]:
    yield Part(path, layer, parent)
    if isinstance(layer, Container):
        for name, child in layer.children:
            yield from _walk(child, f"{path}.{name}", layer)


def _head_path(head: AuxiliaryHead) -> str:
    return f"heads.{head.at}"


Line = list[tuple[str, Layer]]  # leaves and parallels, one after the other


def all_lines(network: Network) -> Iterator[Line]:
    """The lines of a network: its root's, its branches' and its auxiliary heads'."""
    for name, child in (("", network.root), *((_head_path(head), head.head) for head in network.heads)):
        yield from _lines(child, name)


def _lines(layer: Layer, path: str) -> Iterator[Line]:
    """Chains inside chains as one line; then the lines of each branch of each parallel on it, each with what the branches share before."""
    line = list(line_of(layer, path))
    yield line
    for place, part in line:
        if isinstance(part, Parallel):
            shared = [step for name, child in part.children if name == part.trunk for step in line_of(child, f"{place}.{name}")]
            for name, branch in part.branches:
                first, *others = _lines(branch, f"{place}.{name}")
                yield from ([*shared, *first], *others)


def line_of(layer: Layer, path: str) -> Iterator[tuple[str, Layer]]:
    """The sequence of parts in `layer`: leaves and parallels, with nested chains flattened."""
    if not isinstance(layer, Chain):
        yield path, layer
        return
    for name, child in layer.children:
        yield from line_of(child, f"{path}.{name}" if path else name)


def input_shapes(network: Network) -> dict[str, Shape]:
    """The shape that goes into each leaf."""
    shapes = {row.path: row.input_shape for row in network.rows}
    for head in network.heads:
        shape = network.shapes_at([head.at])[head.at]
        rows = head.head.rows(shape, View.of_input(len(shape) - 1), _head_path(head))
        shapes |= {row.path: row.input_shape for row in rows}
    return shapes


def edited(network: Network, edit: str, gone: Collection[str], new: dict[str, Layer], done: str) -> Network:
    """`network` without the parts at the paths `gone` and with those in `new`, checked, and with a line in its provenance."""
    whole = new.get("", network.root)
    children = [
        (name, _rewritten(child, name, gone, new)) for name, child in (whole if isinstance(whole, Chain) else network.root).children
    ]
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
        input_shapes(edited)
    except ShapeError as error:
        error.message = f"{network.name} {edit}: {error.message}"
        fewer = "The parts that stay must still fit together: select fewer parts, or more; @ and a place, as in norm@stage1, select some."
        other = "Choose another layer to put there."
        error.remedy = fewer if gone else error.remedy or other
        raise error from None
    return edited


def _rewritten(layer: Layer, path: str, gone: Collection[str], new: dict[str, Layer]) -> Layer | None:
    """`layer` after the edit; None if nothing is left of it."""
    if path in gone:
        return None
    if path in new or not isinstance(layer, Container):
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


def topmost(paths: Collection[str]) -> list[str]:
    """Without those that lie inside others of them."""
    return [path for path in paths if not any(path[:end] in paths for end, letter in enumerate(path) if letter == ".")]


def listed(paths: list[str]) -> str:
    """Number and names; the middle of a long list is left out."""
    shown = paths if len(paths) <= 6 else [*paths[:3], "...", *paths[-2:]]
    return f"{len(paths)} part{'s' if len(paths) != 1 else ''} ({', '.join(shown)})"
