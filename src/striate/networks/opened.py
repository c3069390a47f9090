"""The drawing of a network without a description: the torch modules inside, by their places and in the order in which they run.

How their outputs are joined is not known: a shortcut inside a block is not drawn.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from striate.networks.layers.base import Row, Shape
from striate.networks.sketch import COLORS, OTHER, Band, Box, Frame, Node, Stack, from_to

ROLES = (("conv", "conv"), ("linear", "linear"), ("pool", "pool"), ("norm", "norm"))  # in a class name -> the role that colours the box
STARTS = ("conv", "linear", "pool")  # of a box; what follows is told in it, up to the next


class Place(NamedTuple):
    """A module without children: where it stands in its parents, and its row of the table."""

    path: tuple[str, ...]
    row: Row


def opened_bands(rows: Sequence[Row]) -> list[Band]:
    """A band for each outermost module of a foreign network, whose rows all begin with one name; modules that do nothing are left out."""
    places = [Place(tuple(row.path.split("."))[1:] or (row.path,), row) for row in rows if row.layer.kind != "identity"]
    bands = []
    for title, group in itertools.groupby(places, key=lambda place: place.path[0]):
        members = [place._replace(path=place.path[1:]) for place in group]
        spent = [member.row.cost for member in members]
        bands.append(Band(title, _stack(members), sum(cost.params for cost in spent), sum(cost.macs for cost in spent)))
    return bands


def _stack(places: Sequence[Place]) -> Node:
    nodes = list(_nodes(places))
    return nodes[0] if len(nodes) == 1 else Stack(tuple(nodes))


def _nodes(places: Sequence[Place]) -> Iterator[Node]:
    """Boxes of the modules that stand here, and parts of those that stand deeper; equal ones in a row once."""
    named: list[tuple[str, Node]] = []
    for deeper, group in itertools.groupby(_flat(places), key=lambda place: place.path[0] if len(place.path) > 1 else ""):
        members = list(group)
        if deeper:
            named.append((deeper, _stack([member._replace(path=member.path[1:]) for member in members])))
        else:
            named += [(box.names[0], box) for box in _boxes(members)]
    for _, equal in itertools.groupby(named, key=lambda pair: pair[1]):
        run = list(equal)
        first = run[0][1]
        if len(run) == 1:
            yield first
        elif isinstance(first, Box) and first.times == 1:
            yield replace(first, times=len(run))
        else:
            yield Frame(from_to([name for name, _ in run]), first, len(run))


def _flat(places: Sequence[Place]) -> Iterator[Place]:
    """The places; those of a part without a convolution, product or pooling, such as a normalization with its activation, stand here."""
    for name, group in itertools.groupby(places, key=lambda place: place.path[0] if place.path else ""):
        members = list(group)
        small = not any(_role(member) in STARTS for member in members)
        yield from (member._replace(path=(name,)) if small else member for member in members)


def _boxes(places: Sequence[Place]) -> Iterator[Box]:
    """A box for each convolution, product and pooling with what follows it."""
    held: list[Place] = []
    for place in places:
        if held and (_role(place) in STARTS):
            yield _box(held)
            held = []
        held.append(place)
    if held:
        yield _box(held)


def _box(places: Sequence[Place]) -> Box:
    first, last = places[0].row, places[-1].row
    names = tuple(place.path[-1] if place.path else place.row.path.rpartition(".")[2] for place in places)
    return Box(tuple(map(_words, places)), COLORS.get(_role(places[0]), OTHER), first.input_shape, last.output_shape, names)


def _role(place: Place) -> str:
    kind = place.row.layer.kind
    return next((role for part, role in ROLES if part in kind), "act" if place.row.cost.params == 0 else OTHER)


def _words(place: Place) -> str:
    """The class of a module, its channels where they are its own choice, and its stride."""
    row = place.row
    words = [str(row.layer)]
    if _role(place) in ("conv", "linear"):
        words.append(str(row.output_shape[0]))
    if (stride := _stride(row.input_shape, row.output_shape)) > 1:
        words.append(f"/{stride}")
    return " ".join(words)


def _stride(before: Shape, after: Shape) -> int:
    """The factor by which a module reduces a map; 1 if it is not a map, or grows."""
    return round(before[-1] / after[-1]) if len(before) == len(after) > 1 and after[-1] else 1
