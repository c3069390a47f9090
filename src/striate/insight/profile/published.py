"""Parameters and multiply-adds as the papers print them, in their own rounding. Papers often call a multiply-add a FLOP.

Only numbers that a second source repeats are here; a network without one is not.
"""

from __future__ import annotations

from typing import NamedTuple

from pydantic.dataclasses import dataclass

from striate.networks.catalog import CATALOG
from striate.networks.network import Network


class Printed(NamedTuple):
    """The numbers of one network; None if the paper gives none."""

    params: float | None
    macs: float | None
    place: str


RESNET = "He et al., 2016, arXiv:1512.03385, table 1 ('FLOPs (multiply-adds)')"
RESNET_CIFAR = "He et al., 2016, arXiv:1512.03385, table 6"
VGG = "Simonyan and Zisserman, 2015, arXiv:1409.1556, table 2"
WIDE = "Zagoruyko and Komodakis, 2016, arXiv:1605.07146, table 5"
DENSENET = "Huang et al., 2017, arXiv:1608.06993, table 2"

# fmt: off
PRINTED: dict[str, Printed] = {
    "lenet5_paper":      Printed(60_000, None, "LeCun et al., 1998, section II.B"),
    "alexnet_paper":     Printed(60e6, None, "Krizhevsky et al., 2012, abstract"),
    "vgg16":             Printed(138e6, None, VGG),
    "resnet50_paper":    Printed(None, 3.8e9, RESNET),
    "resnet101_paper":   Printed(None, 7.6e9, RESNET),
    "resnet152_paper":   Printed(None, 11.3e9, RESNET),
    "resnet20_cifar":    Printed(0.27e6, None, RESNET_CIFAR),
    "resnet32_cifar":    Printed(0.46e6, None, RESNET_CIFAR),
    "resnet44_cifar":    Printed(0.66e6, None, RESNET_CIFAR),
    "resnet56_cifar":    Printed(0.85e6, None, RESNET_CIFAR),
    "resnet110_cifar":   Printed(1.7e6, None, RESNET_CIFAR),
    "resnet1202_cifar":  Printed(19.4e6, None, RESNET_CIFAR),
    "densenet_40_12":    Printed(1.0e6, None, DENSENET),
    "densenet_100_12":   Printed(7.0e6, None, DENSENET),
    "densenet_bc_100_12": Printed(0.8e6, None, DENSENET),
    "densenet_bc_250_24": Printed(15.3e6, None, DENSENET),
    "densenet_bc_190_40": Printed(25.6e6, None, DENSENET),
    "wrn_16_8":          Printed(11.0e6, None, WIDE),
    "wrn_40_4":          Printed(8.9e6, None, WIDE),
    "wrn_28_10":         Printed(36.5e6, None, WIDE),
    "lenet1":            Printed(2_578, None, "LeCun et al., 1990, section 4"),
    "efficientnet_b0":   Printed(5.3e6, 0.39e9, "Tan and Le, 2019, arXiv:1905.11946, table 2 ('FLOPs')"),
    "convnext_tiny":     Printed(None, 4.5e9, "Liu et al., 2022, arXiv:2201.03545, table 1 ('FLOPs')"),
}
# fmt: on


@dataclass(frozen=True, kw_only=True)
class PaperNumbers:
    """The numbers of the paper, and our difference from them."""

    params: float | None
    macs: float | None
    params_difference: float | None  # (ours - paper) / paper
    macs_difference: float | None
    place: str


def paper_numbers(network: Network) -> PaperNumbers | None:
    """The paper's numbers, if it gives them for this network."""
    printed = PRINTED.get(network.name)
    if printed is None or network.provenance:
        return None
    if (network.input_shape, network.output_shape) != (CATALOG[network.name].input_shape, (CATALOG[network.name].num_classes,)):
        return None
    return PaperNumbers(
        params=printed.params,
        macs=printed.macs,
        params_difference=network.params / printed.params - 1 if printed.params else None,
        macs_difference=network.macs / printed.macs - 1 if printed.macs else None,
        place=printed.place,
    )
