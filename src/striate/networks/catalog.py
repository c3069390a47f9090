"""The catalogue: every network by name, with its source, native input and published result."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from striate.core.errors import ShapeError, UnknownNameError, UsageError
from striate.networks.families import notes
from striate.networks.network import AuxiliaryHead, Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from striate.networks.layers import Chain, Shape

RGB_224, RGB_32, GREY_28, GREY_32 = (3, 224, 224), (3, 32, 32), (1, 28, 28), (1, 32, 32)


class Entry(NamedTuple):
    """One line of the catalogue."""

    root: Callable[[int], Chain]  # number of classes -> description
    input_shape: Shape  # that it was published for
    num_classes: int
    source: str
    published: str = ""  # accuracy as published, in percent
    heads: Callable[[int], tuple[AuxiliaryHead, ...]] | None = None


# fmt: off
CATALOG: dict[str, Entry] = {
    # the networks of the notes
    "cifar_notes":        Entry(notes.cifar_notes, RGB_32, 10, "course notes"),
    "mnist_notes":        Entry(notes.mnist_notes, GREY_28, 10, "course notes, after TensorFlow-Examples"),
    "mnist_notes_fixed":  Entry(lambda k: notes.mnist_notes(k, hidden_activation=True), GREY_28, 10, "course notes, with the missing activation"),
}
# fmt: on


def network(
    name: str,
    num_classes: int | None = None,
    in_channels: int | None = None,
    input_size: int | tuple[int, ...] | None = None,
) -> Network:
    """The catalogue's network called `name`, as published unless told otherwise.

    Args:
        name: A name of `CATALOG`.
        num_classes: Outputs; as published by default.
        in_channels: Channels of the input.
        input_size: Pixels of a square input, or (H, W).

    Raises:
        UnknownNameError: no such name; gives the nearest ones.
        ShapeError: the input size does not fit; names the layer that stops it and the smallest size that would fit.
    """
    if name not in CATALOG:
        raise UnknownNameError("network", name, CATALOG, "`striate networks` lists all.")
    entry = CATALOG[name]
    channels, *extent = entry.input_shape
    if input_size is not None:
        extent = [input_size] * len(extent) if isinstance(input_size, int) else list(input_size)
    shape = (channels if in_channels is None else in_channels, *extent)
    classes = entry.num_classes if num_classes is None else num_classes
    if classes < 1 or min(shape) < 1:
        raise UsageError(f"{name}: num_classes, in_channels and input_size must be at least 1, got {classes}, {shape[0]} and {shape[1:]}")
    net = Network(name, shape, entry.root(classes), entry.heads(classes) if entry.heads else (), entry.source)
    try:
        net.root.output_shape(shape)
    except ShapeError as error:
        smallest = net.smallest_input()
        error.remedy = f"The smallest input of {name} is {' x '.join(map(str, smallest[1:]))}." if smallest else ""
        error.message = f"{name}: {error.message}"
        raise error from None
    return net
