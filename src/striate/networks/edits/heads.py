"""Edits of the end of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.core.errors import UsageError
from striate.networks.edits.tree import edited, input_shapes, line_of, listed
from striate.networks.layers import Flatten, GlobalPool, Layer, Linear

if TYPE_CHECKING:
    from striate.networks.network import Network

HEADS = ("global-pool",)


def head(network: Network, kind: str = "global-pool") -> Network:
    """`network` with another head.

    Args:
        network: A network whose last maps are flattened into dense layers.
        kind: `global-pool`: the average of each map in place of the flattening, and of the dense layers only the last.

    Raises:
        UsageError: no such kind, or the network has no dense head behind its maps.

    Source: Lin, Chen and Yan, 2013, arXiv:1312.4400, section 3.2.
    """
    if kind not in HEADS:
        raise UsageError(f"head must be one of {', '.join(HEADS)}, got {kind!r}")
    line, shapes = list(line_of(network.root, "")), input_shapes(network)
    flat = next((i for i, (path, layer) in enumerate(line) if isinstance(layer, Flatten) and len(shapes[path]) > 1), None)
    dense = [i for i, (_, layer) in enumerate(line) if flat is not None and i > flat and isinstance(layer, Linear)]
    if flat is None or not dense:
        raise UsageError(f"{network.name} has no dense head to replace: its last maps are not flattened into linear layers")
    paths = [path for path, _ in line]
    gone = paths[flat + 1 : dense[-1]]
    new: dict[str, Layer] = {paths[flat]: GlobalPool("avg")}
    pooled = [paths[flat - 1]] if flat and line[flat - 1][1].kind.startswith("adaptive") else []
    done = f"replaced {paths[flat]}" + (f", removed {listed([*pooled, *gone])}" if gone or pooled else "")
    return edited(network, f"head {kind}", (*pooled, *gone), new, done)
