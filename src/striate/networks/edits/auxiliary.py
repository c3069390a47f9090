"""A second task to train on, beside the one of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from striate.core.errors import UsageError
from striate.networks.layers import Chain, GlobalPool, Layer, Linear

if TYPE_CHECKING:
    from striate.networks.network import Network

TURNS = 4  # quarters that a picture can be turned by


def auxiliary(network: Network, task: Literal["rotation"] | int | tuple[int, ...]) -> tuple[str, Layer]:
    """The head for a second task, and the path of the part that it reads: a linear layer on what the network's last layer reads.

    The two share all layers before, so that these learn from both tasks.

    Args:
        network: Any network with at least two layers with weights.
        task: "rotation": by how many quarters, 0 to 3, a square picture is turned; for each class, the number of its group from 0; or
            the number of kinds of second labels, which come with the pictures.

    Raises:
        UsageError: the pictures are not square, there are fewer than two groups or not one for each class, or no layer is shared.

    Source: Caruana, 1997, Machine Learning 28; for rotations Gidaris, Singh and Komodakis, 2018, arXiv:1803.07728.
    """
    if task == "rotation" and (len(network.input_shape) != 3 or network.input_shape[1] != network.input_shape[2]):
        remedy = "Give pictures that are as wide as high, or a task of coarser classes."
        raise UsageError(f"{network.name}: rotation turns square pictures, but the input is {network.input_shape}", remedy)
    if isinstance(task, tuple) and len(task) != network.output_shape[0]:
        raise UsageError(f"{network.name}: {len(task)} groups are given for {network.output_shape[0]} classes", "Give each class one.")
    groups = TURNS if task == "rotation" else task if isinstance(task, int) else len(set(task))
    if groups < 2 or (isinstance(task, tuple) and set(task) != set(range(groups))):
        raise UsageError(f"{network.name}: an auxiliary task needs two groups or more, numbered from 0, got {task}", "Name another.")
    at = _read_by_the_last(network)
    maps = len(network.shapes_at([at])[at]) > 1
    head: Layer = Chain(pool=GlobalPool("avg"), linear=Linear(groups)) if maps else Chain(linear=Linear(groups))
    return at, head


def _read_by_the_last(network: Network) -> str:
    """The path of the part whose output the last layer with weights reads, dropout left out."""
    rows = network.rows
    weighted = [place for place, row in enumerate(rows) if row.cost.params and row.layer.role != "norm"]
    before = [row for row in rows[: weighted[-1]] if row.layer.role != "dropout"] if len(weighted) > 1 else []
    if not before:
        remedy = "Take a network with a hidden layer."
        raise UsageError(f"{network.name} has no layer that two tasks could share", remedy)
    return before[-1].path
