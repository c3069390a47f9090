"""SqueezeNet, AlexNet's accuracy with a fiftieth of its weights: 1 x 1 convolutions squeeze the maps before each 3 x 3.

Source: Iandola et al., 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", arXiv:1602.07360,
Table 1 (`squeezenet1_0`), and the authors' later release, which pools earlier (`squeezenet1_1`).
Departs from the source: nothing known; poolings round up, as in the authors' Caffe models and in torchvision.
Known size: 1,248,424 parameters and 818,924,576 MACs (1.0), 1,235,496 and 349,151,936 (1.1), at 224 x 224 and 1,000 classes.
"""

from __future__ import annotations

from striate.networks.families.parts import conv_act
from striate.networks.layers import Chain, Dropout, GlobalPool, Layer, Parallel, Pool

HALVE = Pool("max", 3, stride=2, ceil_mode=True)

# fmt: off
#        squeezed  expanded, by 1 x 1 and by 3 x 3 each
FIRES = (
    (          16,       64),  # fire2
    (          16,       64),  # fire3
    (          32,      128),  # fire4
    (          32,      128),  # fire5
    (          48,      192),  # fire6
    (          48,      192),  # fire7
    (          64,      256),  # fire8
    (          64,      256),  # fire9
)
# fmt: on


def fire(squeezed: int, expanded: int) -> Chain:
    """Squeeze to few maps, then expand by 1 x 1 and 3 x 3 convolutions side by side."""
    expand = Parallel(branch1x1=conv_act(expanded, 1), branch3x3=conv_act(expanded, 3, padding=1), merge="concat")
    return Chain(squeeze=conv_act(squeezed, 1), expand=expand)


def squeezenet(num_classes: int, stem: Chain, pooled: tuple[int, ...]) -> Chain:
    """`stem` and the fire modules, with a pooling before those whose numbers `pooled` lists."""
    modules: dict[str, Layer] = {}
    for number, row in enumerate(FIRES, 2):
        if number in pooled:
            modules[f"pool{number}"] = HALVE
        modules[f"fire{number}"] = fire(*row)
    head = Chain(dropout=Dropout(0.5), score=conv_act(num_classes, 1), pool=GlobalPool("avg"))
    return Chain(stem=stem, pool1=HALVE, **modules, head=head)


def squeezenet1_0(num_classes: int) -> Chain:
    """SqueezeNet 1.0, as published."""
    return squeezenet(num_classes, conv_act(96, 7, stride=2), (5, 9))


def squeezenet1_1(num_classes: int) -> Chain:
    """SqueezeNet 1.1, with a smaller first convolution and earlier poolings."""
    return squeezenet(num_classes, conv_act(64, 3, stride=2), (4, 6))
