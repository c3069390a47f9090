"""Limits on a description from a file: the layers, numbers and memory that a trained network can plausibly have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate.core.errors import RefusedFileError, ShapeError
from striate.networks.layers.base import View, elements

if TYPE_CHECKING:
    from striate.networks.network import Network

MAX_LAYERS = 50_000  # the catalogue's largest has 4,805 rows
MAX_ELEMENTS = 2**34  # numbers that one layer gives for one picture: 64 GiB in float32
MIN_ABSURD = 2**30  # bytes of activations, below which any network may have them
ABSURD_RATIO = 2**16  # of the bytes of activations to those of weights


def refuse_too_many(data: Any) -> None:
    """Refuse the data of a description with more layers than any network has, before one is made.

    Raises:
        RefusedFileError: it has.
    """
    count, open_parts = 0, [data]
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, dict):
            count += "type" in part
            open_parts += part.values()
        elif isinstance(part, list):
            open_parts += part
        if count > MAX_LAYERS:
            raise RefusedFileError(f"network description: more than {MAX_LAYERS:,} layers")


def refuse_absurd_sizes(network: Network) -> None:
    """Refuse a description in which a single layer gives more than any machine can hold; other misfits are not checked.

    Raises:
        RefusedFileError: names the layer.
    """
    where, shape = "input", network.input_shape
    try:
        rows = network.root.rows(shape, View.of_input(len(shape) - 1))
        while elements(shape) <= MAX_ELEMENTS:
            row = next(rows, None)
            if row is None:
                return
            where, shape = row.path, row.output_shape
    except ShapeError:
        return
    except OverflowError:
        shape = ()
    size = f"{elements(shape):,} numbers" if shape and elements(shape).bit_length() < 200 else "too many numbers to print"
    raise RefusedFileError(f"network description: {where}: {size} for one picture, but at most {MAX_ELEMENTS:,} are allowed")


def refuse_absurd_memory(network: Network, weight_bytes: int) -> None:
    """Refuse a network that takes gigabytes for a picture, and has next to no weights to do anything with them.

    Raises:
        RefusedFileError: it does.
    """
    needed = network.inference_memory_bytes
    if needed > max(MIN_ABSURD, ABSURD_RATIO * weight_bytes):
        message = f"one picture takes {needed / 2**20:,.0f} MiB of memory, in a network of {weight_bytes:,} bytes of weights"
        raise RefusedFileError(message, "No trained network is like this; do not use the file.")
