"""The catalogue: every network by name, with its source, native input and published result."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from striate.core.errors import ShapeError, UnknownNameError, UsageError
from striate.networks.families import compact, alexnet, fcn, googlenet, inception, lenet, nin, notes, vgg
from striate.networks.network import AuxiliaryHead, Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from striate.networks.layers import Chain, Shape

RGB_500, RGB_299, RGB_227, RGB_224, RGB_32 = (3, 500, 500), (3, 299, 299), (3, 227, 227), (3, 224, 224), (3, 32, 32)
GREY_28, GREY_32 = (1, 28, 28), (1, 32, 32)
LENET = "LeCun et al., 1998, Proc. IEEE 86"
NIN = "Lin et al., 2014, arXiv:1312.4400"
VGG = "Simonyan and Zisserman, 2015, arXiv:1409.1556"
GOOGLENET = "Szegedy et al., 2015, arXiv:1409.4842"
BN_INCEPTION = "Ioffe and Szegedy, 2015, arXiv:1502.03167"
INCEPTION = "Szegedy et al., 2016, arXiv:1512.00567"
FCN = "Long et al., 2015, arXiv:1411.4038"


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
    # a small network for small pictures
    "compact_cnn":        Entry(compact.compact_cnn, RGB_32, 10, "Striate's own, after VGG and batch normalization"),
    # the networks of the notes
    "cifar_notes":        Entry(notes.cifar_notes, RGB_32, 10, "course notes"),
    "mnist_notes":        Entry(notes.mnist_notes, GREY_28, 10, "course notes, after TensorFlow-Examples"),
    "mnist_notes_fixed":  Entry(lambda k: notes.mnist_notes(k, hidden_activation=True), GREY_28, 10, "course notes, with the missing activation"),
    # LeCun 1998 to Szegedy 2016
    "lenet5":             Entry(lenet.lenet5, GREY_32, 10, LENET, "99.05 MNIST (LeNet-5 as published)"),
    "lenet5_paper":       Entry(lenet.lenet5_paper, GREY_32, 10, LENET, "99.05 MNIST, 99.2 with distortions"),
    "alexnet":            Entry(alexnet.alexnet, RGB_224, 1000, "Krizhevsky, 2014, arXiv:1404.5997", "56.52 top-1, 79.07 top-5 (torchvision)"),
    "alexnet_paper":      Entry(alexnet.alexnet_paper, RGB_227, 1000, "Krizhevsky et al., 2012, NIPS 25", "59.3 top-1, 81.8 top-5"),
    "nin":                Entry(nin.nin, RGB_224, 1000, NIN),
    "nin_cifar":          Entry(nin.nin_cifar, RGB_32, 10, NIN, "91.19 CIFAR-10 with flips, 89.59 without"),
    "vgg11":              Entry(lambda k: vgg.vgg(k, 11), RGB_224, 1000, VGG, "69.02 top-1, 88.63 top-5 (torchvision)"),
    "vgg13":              Entry(lambda k: vgg.vgg(k, 13), RGB_224, 1000, VGG, "69.93 top-1, 89.25 top-5 (torchvision)"),
    "vgg16":              Entry(lambda k: vgg.vgg(k, 16), RGB_224, 1000, VGG, "71.59 top-1, 90.38 top-5 (torchvision)"),
    "vgg19":              Entry(lambda k: vgg.vgg(k, 19), RGB_224, 1000, VGG, "72.38 top-1, 90.88 top-5 (torchvision)"),
    "vgg11_bn":           Entry(lambda k: vgg.vgg(k, 11, norm=True), RGB_224, 1000, VGG, "70.37 top-1, 89.81 top-5 (torchvision)"),
    "vgg13_bn":           Entry(lambda k: vgg.vgg(k, 13, norm=True), RGB_224, 1000, VGG, "71.59 top-1, 90.37 top-5 (torchvision)"),
    "vgg16_bn":           Entry(lambda k: vgg.vgg(k, 16, norm=True), RGB_224, 1000, VGG, "73.36 top-1, 91.52 top-5 (torchvision)"),
    "vgg19_bn":           Entry(lambda k: vgg.vgg(k, 19, norm=True), RGB_224, 1000, VGG, "74.22 top-1, 91.84 top-5 (torchvision)"),
    "googlenet":          Entry(googlenet.googlenet, RGB_224, 1000, GOOGLENET, "69.78 top-1, 89.53 top-5 (torchvision)", googlenet.googlenet_heads),
    "googlenet_paper":    Entry(googlenet.googlenet_paper, RGB_224, 1000, GOOGLENET, "89.93 top-5", googlenet.googlenet_paper_heads),
    "bn_inception":       Entry(inception.bn_inception, RGB_224, 1000, BN_INCEPTION, "73.5 top-1, 91.6 top-5 (released weights)"),
    "bn_inception_paper": Entry(inception.bn_inception_paper, RGB_224, 1000, BN_INCEPTION, "74.8 top-1, 92.18 top-5"),
    "inception_v3":       Entry(inception.inception_v3, RGB_299, 1000, INCEPTION, "77.29 top-1, 93.45 top-5 (torchvision)", inception.inception_v3_heads),
    "fcn32s_vgg16":       Entry(fcn.fcn32s_vgg16, RGB_500, 21, FCN, "59.4 mean IU, PASCAL VOC 2011"),
    "fcn16s_vgg16":       Entry(fcn.fcn16s_vgg16, RGB_500, 21, FCN, "62.4 mean IU, PASCAL VOC 2011"),
    "fcn8s_vgg16":        Entry(fcn.fcn8s_vgg16, RGB_500, 21, FCN, "62.7 mean IU, PASCAL VOC 2011"),
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
    return _with_fitting_heads(net)


def _with_fitting_heads(net: Network) -> Network:
    """`net` without the auxiliary heads for which its maps are too small; its provenance says which."""
    shapes, kept, provenance = net.shapes_at([head.at for head in net.heads]), [], list(net.provenance)
    for head in net.heads:
        try:
            head.head.output_shape(shapes[head.at])
            kept.append(head)
        except ShapeError as error:
            provenance.append(f"left out the auxiliary head at {head.at}: {error.message}")
    return dataclasses.replace(net, heads=tuple(kept), provenance=tuple(provenance)) if len(kept) < len(net.heads) else net


@dataclasses.dataclass(frozen=True)
class NetworkEntry:
    """One line of the catalogue."""

    name: str
    params: int
    macs: int
    input_shape: tuple[int, ...]
    num_classes: int
    receptive_field: int | tuple[int, ...]
    source: str
    published: str

    def __getitem__(self, field: str) -> Any:
        return getattr(self, field)


class Catalogue(list[NetworkEntry]):
    """The entries of the catalogue, in its order; a name is `in` it when an entry has it."""

    def __contains__(self, item: object) -> bool:
        return any(entry.name == item for entry in self) if isinstance(item, str) else super().__contains__(item)


def networks() -> Catalogue:
    """The catalogue: each network at its published size with its cost, source and published accuracy."""
    entries = Catalogue()
    for name, entry in CATALOG.items():
        net = network(name)
        field = net.receptive_field
        entries.append(
            NetworkEntry(name, net.params, net.macs, net.input_shape, entry.num_classes, field, entry.source, entry.published)
        )
    return entries
