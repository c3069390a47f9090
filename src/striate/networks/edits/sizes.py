"""Edits of the width and depth of a network."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import TYPE_CHECKING, Any

from striate.core.errors import UsageError
from striate.networks.edits.tree import edited, input_shapes, listed, parts
from striate.networks.layers import Chain, Conv, GroupNorm, Layer, Parallel
from striate.networks.layers.joins import Container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from striate.networks.layers import Shape
    from striate.networks.network import Network

WIDTHS = ("out_channels", "out_features", "hidden_size")  # the fields that say how many come out
Unit = list[tuple[str, Layer]]


def width(network: Network, factor: float) -> Network:
    """`network` with `factor` times as many channels and units between input and output.

    Equal numbers stay equal, so that sums fit: each is rounded to the nearest multiple of those numbers of groups, among the network's
    grouped convolutions, that divide it. Depthwise convolutions stay depthwise.

    Raises:
        UsageError: `factor` is not positive, nothing changes, or a convolution has a table of connections.
        ShapeError: the parts do not fit at the new widths; names the layer.
    """
    _check("width", factor)
    shapes = input_shapes(network)
    everything = {part.path: part.layer for part in parts(network)}
    groups = {layer.groups for path, layer in everything.items() if isinstance(layer, Conv) and not _depthwise(layer, shapes[path])}
    fixed = {path for name, child in _roots(network) for path in _closing(child, name)[0]}
    new: dict[str, Layer] = {}
    for path, layer in everything.items():
        changed = layer if path in fixed else _scaled(layer, shapes.get(path, ()), factor, groups, network.name, path)
        if changed != layer:
            new[path] = changed
    if not new:
        raise UsageError(f"{network.name} with width {factor:g}: no number of channels changes", "Take a factor further from 1.")
    return edited(network, f"width {factor:g}", (), new, f"scaled {listed(list(new))}")


def depth(network: Network, factor: float) -> Network:
    """`network` with `factor` times as many blocks in each row of repeated ones, rounded, at least one.

    Repeated are numbered neighbours (`block2`, `block3`, with what stands beside each) that are described alike; a first block that
    differs, because it halves the size, stays. Blocks go from the end, and new ones, like the last, come there.

    Raises:
        UsageError: `factor` is not positive, or no row of blocks changes.
        ShapeError: the parts that are left do not fit; names the layer.
    """
    _check("depth", factor)
    new: dict[str, Layer] = {}
    shapes = input_shapes(network)
    done = [text for path, root in _roots(network) for text in _deepen(root, path, factor, shapes, new)]
    if not done:
        raise UsageError(f"{network.name} with depth {factor:g}: no row of repeated blocks changes")
    return edited(network, f"depth {factor:g}", (), new, "; ".join(done))


def _check(what: str, factor: float) -> None:
    if not (math.isfinite(factor) and factor > 0):
        raise UsageError(f"{what} must be a positive factor such as 0.5, got {factor!r}")


def _roots(network: Network) -> Iterator[tuple[str, Layer]]:
    yield "", network.root
    for one in network.heads:
        yield f"heads.{one.at}", one.head


def _closing(layer: Layer, path: str) -> tuple[list[str], bool]:
    """The leaves that determine the number of output channels of `layer`, and whether its input does, too."""
    if isinstance(layer, Chain):
        found: list[str] = []
        for name, child in reversed(layer.children):
            paths, passes = _closing(child, f"{path}.{name}" if path else name)
            found += paths
            if not passes:
                return found, False
        return found, True
    if isinstance(layer, Parallel):
        ends = [_closing(child, f"{path}.{name}") for name, child in layer.branches[: 1 if layer.merge in ("first", "resize") else None]]
        return [leaf for paths, _ in ends for leaf in paths], any(passes for _, passes in ends)
    fixes = any(hasattr(layer, field) for field in WIDTHS)
    return ([path] if fixes else []), not fixes


def _depthwise(layer: Any, shape: Shape) -> bool:
    return bool(layer.groups > 1 and shape and layer.groups == shape[0])


def _scaled(layer: Any, shape: Shape, factor: float, groups: set[int], name: str, path: str) -> Layer:
    def scaled(number: int) -> int:
        grain = math.lcm(*(each for each in groups if number % each == 0))
        return max(1, math.floor(number * factor / grain + 0.5)) * grain

    if getattr(layer, "connections", None) is not None:
        raise UsageError(f"{name} with width {factor:g}: {path} has a connection table, which is not defined for other widths")
    fields = {field: scaled(getattr(layer, field)) for field in WIDTHS if hasattr(layer, field)}
    if isinstance(layer, Conv) and _depthwise(layer, shape):
        fields["groups"] = scaled(layer.groups)
    if isinstance(layer, GroupNorm) and scaled(shape[0]) % layer.groups:
        fields["groups"] = math.gcd(layer.groups, scaled(shape[0]))
    changed: Layer = dataclasses.replace(layer, **fields) if fields else layer
    return changed


def _keeps_shape(unit: Unit, path: str, shapes: dict[str, Shape]) -> bool:
    place = f"{path}.{unit[0][0]}" if path else unit[0][0]
    before = after = next(shape for leaf, shape in shapes.items() if leaf == place or leaf.startswith(f"{place}."))
    for _, child in unit:
        after = child.output_shape(after)
    return after == before


def _deepen(layer: Layer, path: str, factor: float, shapes: dict[str, Shape], new: dict[str, Layer]) -> Iterator[str]:
    """Put the containers that change into `new`; returns a description of the changes."""
    if not isinstance(layer, Container):
        return
    units = _units(layer) if isinstance(layer, Chain) else []
    words = [_described(unit) for unit in units]
    alike = [i for i in range(1, len(units)) if words[i] == words[i - 1]]
    alike = sorted({*alike, *(i - 1 for i in alike if i > 1 and _keeps_shape(units[i - 1], path, shapes))})
    target = max(1, math.floor(len(units) * factor + 0.5))
    if alike and target != len(units):
        last = alike[-1]
        drop = set(alike[len(alike) - min(len(alike), max(0, len(units) - target)) :])
        kept = [child for i, unit in enumerate(units) for child in unit if i not in drop and i <= last]
        for number in range(len(units) + 1, target + 1):
            kept += [(f"{_word(name)}{number}", child) for name, child in units[last]]
        kept += [child for unit in units[last + 1 :] for child in unit]
        members = {name for unit in units for name, _ in unit}
        first = next(i for i, (name, _) in enumerate(layer.children) if name in members)
        others = [child for child in layer.children if child[0] not in members]
        new[path] = layer.with_children((*layer.children[:first], *kept, *others[first:]))
        yield f"{path or 'the network'} has {len(units) - len(drop) + max(0, target - len(units))} blocks in place of {len(units)}"
    elif not alike:
        for name, child in layer.children:
            yield from _deepen(child, f"{path}.{name}" if path else name, factor, shapes, new)


def _units(chain: Chain) -> list[Unit]:
    """The numbered children in a row, those of one number together; stages do not count as repetitions."""
    units: dict[int, Unit] = {}
    for name, child in chain.children:
        match = re.fullmatch(r"(.*?)(\d+)", name)
        if match and not match[1].startswith("stage"):
            units.setdefault(int(match[2]), []).append((name, child))
    numbers = list(units)
    return [units[number] for number in numbers] if numbers == sorted(numbers) else []


def _word(name: str) -> str:
    return name.rstrip("0123456789")


def _described(unit: Unit) -> str:
    """A unit in words, names without numbers, whatever the rates of its stochastic depths."""
    text = json.dumps([[_word(name), child.to_data()] for name, child in unit])
    return re.sub(r'\{"type": "StochasticDepth"[^}]*\}', "depth", text)
