"""The catalogue: every network by name, with its source, native input and published result."""

from __future__ import annotations

import dataclasses
import functools
import os
from fnmatch import fnmatch
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from striate.core.calls import call_as_in
from striate.core.errors import RefusedFileError, ShapeError, UnknownNameError, UsageError
from striate.core.files import read_plain
from striate.core.places import near
from striate.networks.families import (
    alexnet,
    compact,
    convnext,
    convnext_v2,
    dcgan,
    deeplab,
    densenet,
    dncnn,
    efficientnet,
    efficientnet_v2,
    fast,
    fcn,
    googlenet,
    inception,
    inception_v4,
    lenet,
    mobilenet,
    mobilenet_v3,
    nin,
    notes,
    regnet,
    resnet,
    resnet_cifar,
    resnet_d,
    resnet_keras,
    resnetv2,
    resnext,
    segnet,
    senet,
    shufflenet,
    squeezenet,
    srcnn,
    unet,
    vgg,
    vit,
    wide_resnet,
    xception,
    zfnet,
)
from striate.networks.foreign import is_published_name, published_network
from striate.networks.layers.windows import by
from striate.networks.network import MAX_DESCRIPTION_BYTES, AuxiliaryHead, Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from striate.networks.layers import Chain, Shape

RGB_500, RGB_299, RGB_260, RGB_256, RGB_240 = (3, 500, 500), (3, 299, 299), (3, 260, 260), (3, 256, 256), (3, 240, 240)
RGB_520, RGB_227, RGB_224, RGB_32 = (3, 520, 520), (3, 227, 227), (3, 224, 224), (3, 32, 32)
SUFFIX = ".json"  # of a file with a description
WRITTEN = "Give a file that Network.to_json wrote."
OWN = "Striate's own, after VGG and batch normalization"
GREY_28, GREY_32 = (1, 28, 28), (1, 32, 32)
LENET = "LeCun et al., 1998, Proc. IEEE 86"
NIN = "Lin et al., 2014, arXiv:1312.4400"
VGG = "Simonyan and Zisserman, 2015, arXiv:1409.1556"
GOOGLENET = "Szegedy et al., 2015, arXiv:1409.4842"
BN_INCEPTION = "Ioffe and Szegedy, 2015, arXiv:1502.03167"
INCEPTION = "Szegedy et al., 2016, arXiv:1512.00567"
FCN = "Long et al., 2015, arXiv:1411.4038"
RESNET = "He et al., 2016, arXiv:1512.03385"
PREACT = "He et al., 2016, arXiv:1603.05027"
KERAS = "Keras cifar10_resnet example, after He et al., 2016, "
RESNEXT = "Xie et al., 2017, arXiv:1611.05431"
SQUEEZENET = "Iandola et al., 2016, arXiv:1602.07360"
LITE = "Liu, 2020, EfficientNet-Lite, after Tan and Le, 2019, arXiv:1905.11946"
TRICKS = "He et al., 2019, arXiv:1812.01187"
WIDE = "Zagoruyko and Komodakis, 2016, arXiv:1605.07146"
SENET = "Hu et al., 2018, arXiv:1709.01507"
INCEPTION_V4 = "Szegedy et al., 2017, arXiv:1602.07261"
SEGNET = "Badrinarayanan et al., 2017, arXiv:1511.00561"
DEEPLAB = "Chen et al., 2017, arXiv:1706.05587"
DCGAN = "Radford et al., 2016, arXiv:1511.06434"
MOBILE_V3 = "Howard et al., 2019, arXiv:1905.02244"
SHUFFLE = "Ma et al., 2018, arXiv:1807.11164"
REGNET = "Radosavovic et al., 2020, arXiv:2003.13678"
CONVNEXT_V2 = "Woo et al., 2023, arXiv:2301.00808"
VIT = "Dosovitskiy et al., 2021, arXiv:2010.11929"
VIT_SMALL = VIT + "; Touvron et al., 2021, arXiv:2012.12877"
DNCNN = "Zhang et al., 2017, arXiv:1608.03981"
SRCNN = "Dong et al., 2014, arXiv:1501.00092"
FSRCNN = "Dong et al., 2016, arXiv:1608.00367"
DENSENET = "Huang et al., 2017, arXiv:1608.06993"


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
    # small networks for small pictures
    "compact_cnn":        Entry(compact.compact_cnn, RGB_32, 10, OWN),
    "fast_cnn":           Entry(fast.fast_cnn, RGB_32, 10, "Jordan, 2024, arXiv:2404.00498", "94.01"),
    "tiny_cnn":           Entry(compact.tiny_cnn, GREY_28, 10, OWN),
    # small networks for what is no picture
    "signal_cnn":         Entry(compact.signal_cnn, (1, 128), 2, OWN),
    "volume_cnn":         Entry(compact.volume_cnn, (1, 28, 28, 28), 2, OWN),
    "sequence_lstm":      Entry(compact.sequence_lstm, (8, 64), 2, "Striate's own, after Hochreiter and Schmidhuber, 1997"),
    "step_lstm":          Entry(compact.step_lstm, (8, 64), 2, "Striate's own, after Hochreiter and Schmidhuber, 1997"),
    "table_mlp":          Entry(compact.table_mlp, (16,), 2, "Striate's own, after Rumelhart et al., 1986, Nature 323"),
    # a textbook's default
    "default_dnn":        Entry(compact.default_dnn, GREY_28, 10, "Géron, 2022, Hands-On Machine Learning, 3rd edition, chapter 11"),
    # the networks of the notes
    "cifar_notes":        Entry(notes.cifar_notes, RGB_32, 10, "course notes"),
    "mnist_notes":        Entry(notes.mnist_notes, GREY_28, 10, "course notes, after TensorFlow-Examples"),
    "mnist_notes_fixed":  Entry(lambda k: notes.mnist_notes(k, hidden_activation=True), GREY_28, 10, "course notes, with the missing activation"),
    # LeCun 1998 to Szegedy 2016
    "lenet1":             Entry(lenet.lenet1, GREY_28, 10, "LeCun et al., 1990, NIPS 2", "98.3 MNIST (1998)"),
    "lenet4":             Entry(lenet.lenet4, GREY_32, 10, "LeCun et al., 1995, ICANN; " + LENET, "98.9 MNIST"),
    "lenet5":             Entry(lenet.lenet5, GREY_32, 10, LENET, "99.05 MNIST (LeNet-5 as published)"),
    "lenet5_paper":       Entry(lenet.lenet5_paper, GREY_32, 10, LENET, "99.05 MNIST, 99.2 with distortions"),
    "alexnet":            Entry(alexnet.alexnet, RGB_224, 1000, "Krizhevsky, 2014, arXiv:1404.5997", "56.52 top-1, 79.07 top-5 (torchvision)"),
    "alexnet_paper":      Entry(alexnet.alexnet_paper, RGB_227, 1000, "Krizhevsky et al., 2012, NIPS 25", "59.3 top-1, 81.8 top-5"),
    "zfnet":              Entry(zfnet.zfnet, RGB_224, 1000, "Zeiler and Fergus, 2014, arXiv:1311.2901", "61.6 top-1, 83.5 top-5"),
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
    "inception_v4":       Entry(inception_v4.inception_v4, RGB_299, 1000, INCEPTION_V4, "80.0 top-1, 95.0 top-5"),
    "inception_resnet_v2": Entry(inception_v4.inception_resnet_v2, RGB_299, 1000, INCEPTION_V4, "80.1 top-1, 95.1 top-5"),
    "xception":           Entry(xception.xception, RGB_299, 1000, "Chollet, 2017, arXiv:1610.02357", "79.0 top-1, 94.5 top-5"),
    "fcn32s_vgg16":       Entry(fcn.fcn32s_vgg16, RGB_500, 21, FCN, "59.4 mean IU, PASCAL VOC 2011"),
    "fcn16s_vgg16":       Entry(fcn.fcn16s_vgg16, RGB_500, 21, FCN, "62.4 mean IU, PASCAL VOC 2011"),
    "fcn8s_vgg16":        Entry(fcn.fcn8s_vgg16, RGB_500, 21, FCN, "62.7 mean IU, PASCAL VOC 2011"),
    # residual networks, for ImageNet
    "resnet18":                 Entry(lambda k: resnet.resnet(k, 18), RGB_224, 1000, RESNET, "69.76 top-1, 89.08 top-5 (torchvision)"),
    "resnet34":                 Entry(lambda k: resnet.resnet(k, 34), RGB_224, 1000, RESNET, "73.31 top-1, 91.42 top-5 (torchvision)"),
    "resnet50":                 Entry(lambda k: resnet.resnet(k, 50), RGB_224, 1000, RESNET, "76.13 top-1, 92.86 top-5 (torchvision)"),
    "resnet101":                Entry(lambda k: resnet.resnet(k, 101), RGB_224, 1000, RESNET, "77.37 top-1, 93.55 top-5 (torchvision)"),
    "resnet152":                Entry(lambda k: resnet.resnet(k, 152), RGB_224, 1000, RESNET, "78.31 top-1, 94.05 top-5 (torchvision)"),
    "resnet50_paper":           Entry(lambda k: resnet.resnet_paper(k, 50), RGB_224, 1000, RESNET, "75.3 top-1, 92.2 top-5 (released weights, one crop)"),
    "resnet101_paper":          Entry(lambda k: resnet.resnet_paper(k, 101), RGB_224, 1000, RESNET, "76.4 top-1, 92.9 top-5 (released weights, one crop)"),
    "resnet152_paper":          Entry(lambda k: resnet.resnet_paper(k, 152), RGB_224, 1000, RESNET, "77.0 top-1, 93.3 top-5 (released weights, one crop)"),
    "resnetv2_50":              Entry(resnetv2.resnetv2_50, RGB_224, 1000, PREACT),
    "resnext50_32x4d":          Entry(lambda k: resnext.resnext(k, 50, 4), RGB_224, 1000, RESNEXT, "77.62 top-1, 93.70 top-5 (torchvision)"),
    "resnext101_32x8d":         Entry(lambda k: resnext.resnext(k, 101, 8), RGB_224, 1000, RESNEXT, "79.31 top-1, 94.53 top-5 (torchvision)"),
    "resnet50d":                Entry(lambda k: resnet_d.resnet_d(k, 50), RGB_224, 1000, TRICKS, "77.16 top-1"),
    "resnet101d":               Entry(lambda k: resnet_d.resnet_d(k, 101), RGB_224, 1000, TRICKS),
    "wide_resnet50_2":          Entry(lambda k: wide_resnet.wide_resnet_2(k, 50), RGB_224, 1000, WIDE, "78.47 top-1, 94.09 top-5 (torchvision)"),
    "wide_resnet101_2":         Entry(lambda k: wide_resnet.wide_resnet_2(k, 101), RGB_224, 1000, WIDE, "78.85 top-1, 94.28 top-5 (torchvision)"),
    "se_resnet50":              Entry(lambda k: senet.senet(k, 50), RGB_224, 1000, SENET, "76.71 top-1, 93.38 top-5"),
    "se_resnet101":             Entry(lambda k: senet.senet(k, 101), RGB_224, 1000, SENET, "77.62 top-1, 93.93 top-5"),
    "se_resnet152":             Entry(lambda k: senet.senet(k, 152), RGB_224, 1000, SENET, "78.43 top-1, 94.27 top-5"),
    "se_resnext50_32x4d":       Entry(lambda k: senet.senet(k, 50, groups=32, group_width=4), RGB_224, 1000, SENET, "78.90 top-1, 94.51 top-5"),
    "se_resnext101_32x4d":      Entry(lambda k: senet.senet(k, 101, groups=32, group_width=4), RGB_224, 1000, SENET, "79.30 top-1, 94.99 top-5"),
    # residual networks, for CIFAR
    "resnet20_cifar":           Entry(lambda k: resnet_cifar.resnet_cifar(k, 20), RGB_32, 10, RESNET, "91.25 CIFAR-10"),
    "resnet32_cifar":           Entry(lambda k: resnet_cifar.resnet_cifar(k, 32), RGB_32, 10, RESNET, "92.49 CIFAR-10"),
    "resnet44_cifar":           Entry(lambda k: resnet_cifar.resnet_cifar(k, 44), RGB_32, 10, RESNET, "92.83 CIFAR-10"),
    "resnet56_cifar":           Entry(lambda k: resnet_cifar.resnet_cifar(k, 56), RGB_32, 10, RESNET, "93.03 CIFAR-10"),
    "resnet110_cifar":          Entry(lambda k: resnet_cifar.resnet_cifar(k, 110), RGB_32, 10, RESNET, "93.57 CIFAR-10"),
    "resnet1202_cifar":         Entry(lambda k: resnet_cifar.resnet_cifar(k, 1202), RGB_32, 10, RESNET, "92.07 CIFAR-10"),
    "resnet20_cifar_b":         Entry(lambda k: resnet_cifar.resnet_cifar(k, 20, "project"), RGB_32, 10, RESNET),
    "resnet32_cifar_b":         Entry(lambda k: resnet_cifar.resnet_cifar(k, 32, "project"), RGB_32, 10, RESNET),
    "resnet44_cifar_b":         Entry(lambda k: resnet_cifar.resnet_cifar(k, 44, "project"), RGB_32, 10, RESNET),
    "resnet56_cifar_b":         Entry(lambda k: resnet_cifar.resnet_cifar(k, 56, "project"), RGB_32, 10, RESNET),
    "resnet110_cifar_b":        Entry(lambda k: resnet_cifar.resnet_cifar(k, 110, "project"), RGB_32, 10, RESNET),
    "plain20_cifar":            Entry(lambda k: resnet_cifar.resnet_cifar(k, 20, "none"), RGB_32, 10, RESNET),
    "plain56_cifar":            Entry(lambda k: resnet_cifar.resnet_cifar(k, 56, "none"), RGB_32, 10, RESNET),
    "preact_resnet110_cifar":   Entry(lambda k: resnet_cifar.preact_resnet_cifar(k, 110), RGB_32, 10, PREACT, "93.63 CIFAR-10"),
    "preact_resnet164_cifar":   Entry(lambda k: resnet_cifar.preact_bottleneck_resnet_cifar(k, 164), RGB_32, 10, PREACT, "94.54 CIFAR-10"),
    "preact_resnet1001_cifar":  Entry(lambda k: resnet_cifar.preact_bottleneck_resnet_cifar(k, 1001), RGB_32, 10, PREACT, "95.08 CIFAR-10, 95.38 with batches of 64"),
    "wrn_16_8":                 Entry(lambda k: wide_resnet.wrn(k, 16, 8), RGB_32, 10, WIDE, "95.73 CIFAR-10"),
    "wrn_40_4":                 Entry(lambda k: wide_resnet.wrn(k, 40, 4), RGB_32, 10, WIDE, "95.47 CIFAR-10"),
    "wrn_28_10":                Entry(lambda k: wide_resnet.wrn(k, 28, 10), RGB_32, 10, WIDE, "96.00 CIFAR-10"),
    "resnet20_keras":           Entry(lambda k: resnet_keras.resnet_keras(k, 20), RGB_32, 10, KERAS + "arXiv:1512.03385", "92.16 CIFAR-10 (the example's header)"),
    "resnet32_keras":           Entry(lambda k: resnet_keras.resnet_keras(k, 32), RGB_32, 10, KERAS + "arXiv:1512.03385", "92.46 CIFAR-10 (the example's header)"),
    "resnet44_keras":           Entry(lambda k: resnet_keras.resnet_keras(k, 44), RGB_32, 10, KERAS + "arXiv:1512.03385", "92.50 CIFAR-10 (the example's header)"),
    "resnet56_keras":           Entry(lambda k: resnet_keras.resnet_keras(k, 56), RGB_32, 10, KERAS + "arXiv:1512.03385", "92.71 CIFAR-10 (the example's header)"),
    "resnet110_keras":          Entry(lambda k: resnet_keras.resnet_keras(k, 110), RGB_32, 10, KERAS + "arXiv:1512.03385", "92.65 CIFAR-10 (the example's header)"),
    "resnet20v2_keras":         Entry(lambda k: resnet_keras.resnetv2_keras(k, 20), RGB_32, 10, KERAS + "arXiv:1603.05027"),
    "resnet29v2_keras":         Entry(lambda k: resnet_keras.resnetv2_keras(k, 29), RGB_32, 10, KERAS + "arXiv:1603.05027"),
    "resnet56v2_keras":         Entry(lambda k: resnet_keras.resnetv2_keras(k, 56), RGB_32, 10, KERAS + "arXiv:1603.05027", "93.01 CIFAR-10 (the example's header)"),
    "resnet110v2_keras":        Entry(lambda k: resnet_keras.resnetv2_keras(k, 110), RGB_32, 10, KERAS + "arXiv:1603.05027", "93.15 CIFAR-10 (the example's header)"),
    "resnet164v2_keras":        Entry(lambda k: resnet_keras.resnetv2_keras(k, 164), RGB_32, 10, KERAS + "arXiv:1603.05027"),
    "resnet1001v2_keras":       Entry(lambda k: resnet_keras.resnetv2_keras(k, 1001), RGB_32, 10, KERAS + "arXiv:1603.05027"),
    # densely connected networks
    "densenet121":              Entry(lambda k: densenet.densenet(k, 121), RGB_224, 1000, DENSENET, "74.43 top-1, 91.97 top-5 (torchvision)"),
    "densenet169":              Entry(lambda k: densenet.densenet(k, 169), RGB_224, 1000, DENSENET, "75.60 top-1, 92.81 top-5 (torchvision)"),
    "densenet201":              Entry(lambda k: densenet.densenet(k, 201), RGB_224, 1000, DENSENET, "76.90 top-1, 93.37 top-5 (torchvision)"),
    "densenet_40_12":           Entry(lambda k: densenet.densenet_cifar(k, 40, 12), RGB_32, 10, DENSENET, "94.76 CIFAR-10 with augmentation, 93.00 without"),
    "densenet_100_12":          Entry(lambda k: densenet.densenet_cifar(k, 100, 12), RGB_32, 10, DENSENET, "95.90 CIFAR-10 with augmentation, 94.23 without"),
    "densenet_bc_40_12":        Entry(lambda k: densenet.densenet_bc_cifar(k, 40, 12), RGB_32, 10, DENSENET),
    "densenet_bc_100_12":       Entry(lambda k: densenet.densenet_bc_cifar(k, 100, 12), RGB_32, 10, DENSENET, "95.49 CIFAR-10 with augmentation"),
    "densenet_bc_250_24":       Entry(lambda k: densenet.densenet_bc_cifar(k, 250, 24), RGB_32, 10, DENSENET, "96.38 CIFAR-10 with augmentation"),
    "densenet_bc_190_40":       Entry(lambda k: densenet.densenet_bc_cifar(k, 190, 40), RGB_32, 10, DENSENET, "96.54 CIFAR-10 with augmentation"),
    # what is used today
    "squeezenet1_0":            Entry(squeezenet.squeezenet1_0, RGB_224, 1000, SQUEEZENET, "58.09 top-1, 80.42 top-5 (torchvision)"),
    "squeezenet1_1":            Entry(squeezenet.squeezenet1_1, RGB_224, 1000, SQUEEZENET, "58.18 top-1, 80.62 top-5 (torchvision)"),
    "mobilenet_v1":             Entry(mobilenet.mobilenet_v1, RGB_224, 1000, "Howard et al., 2017, arXiv:1704.04861", "70.6 top-1"),
    "mobilenet_v2":             Entry(mobilenet.mobilenet_v2, RGB_224, 1000, "Sandler et al., 2018, arXiv:1801.04381", "71.88 top-1, 90.29 top-5 (torchvision)"),
    "mobilenet_v3_large":       Entry(mobilenet_v3.mobilenet_v3_large, RGB_224, 1000, MOBILE_V3, "74.04 top-1, 91.34 top-5 (torchvision)"),
    "mobilenet_v3_small":       Entry(mobilenet_v3.mobilenet_v3_small, RGB_224, 1000, MOBILE_V3, "67.67 top-1, 87.40 top-5 (torchvision)"),
    "shufflenet_v2_x0_5":      Entry(lambda k: shufflenet.shufflenet_v2(k, "x0_5"), RGB_224, 1000, SHUFFLE, "60.55 top-1, 81.75 top-5 (torchvision)"),
    "shufflenet_v2_x1_0":      Entry(lambda k: shufflenet.shufflenet_v2(k, "x1_0"), RGB_224, 1000, SHUFFLE, "69.36 top-1, 88.32 top-5 (torchvision)"),
    "shufflenet_v2_x1_5":      Entry(lambda k: shufflenet.shufflenet_v2(k, "x1_5"), RGB_224, 1000, SHUFFLE, "73.00 top-1, 91.09 top-5 (torchvision)"),
    "shufflenet_v2_x2_0":      Entry(lambda k: shufflenet.shufflenet_v2(k, "x2_0"), RGB_224, 1000, SHUFFLE, "76.23 top-1, 93.01 top-5 (torchvision)"),
    "regnet_x_400mf":          Entry(lambda k: regnet.regnet_x(k, "400mf"), RGB_224, 1000, REGNET, "72.83 top-1, 90.95 top-5 (torchvision)"),
    "regnet_x_800mf":          Entry(lambda k: regnet.regnet_x(k, "800mf"), RGB_224, 1000, REGNET, "75.21 top-1, 92.35 top-5 (torchvision)"),
    "regnet_x_1_6gf":          Entry(lambda k: regnet.regnet_x(k, "1_6gf"), RGB_224, 1000, REGNET, "77.04 top-1, 93.44 top-5 (torchvision)"),
    "regnet_x_3_2gf":          Entry(lambda k: regnet.regnet_x(k, "3_2gf"), RGB_224, 1000, REGNET, "78.36 top-1, 93.99 top-5 (torchvision)"),
    "regnet_y_400mf":          Entry(lambda k: regnet.regnet_y(k, "400mf"), RGB_224, 1000, REGNET, "74.05 top-1, 91.72 top-5 (torchvision)"),
    "regnet_y_800mf":          Entry(lambda k: regnet.regnet_y(k, "800mf"), RGB_224, 1000, REGNET, "76.42 top-1, 93.14 top-5 (torchvision)"),
    "regnet_y_1_6gf":          Entry(lambda k: regnet.regnet_y(k, "1_6gf"), RGB_224, 1000, REGNET, "77.95 top-1, 93.97 top-5 (torchvision)"),
    "regnet_y_3_2gf":          Entry(lambda k: regnet.regnet_y(k, "3_2gf"), RGB_224, 1000, REGNET, "78.95 top-1, 94.58 top-5 (torchvision)"),
    "efficientnet_b0":          Entry(efficientnet.efficientnet_b0, RGB_224, 1000, "Tan and Le, 2019, arXiv:1905.11946", "77.69 top-1, 93.53 top-5 (torchvision)"),
    "efficientnet_lite0":       Entry(lambda k: efficientnet.efficientnet_lite(k, 0), RGB_224, 1000, LITE, "75.1 top-1"),
    "efficientnet_lite1":       Entry(lambda k: efficientnet.efficientnet_lite(k, 1), RGB_240, 1000, LITE, "76.7 top-1"),
    "efficientnet_lite2":       Entry(lambda k: efficientnet.efficientnet_lite(k, 2), RGB_260, 1000, LITE, "77.6 top-1"),
    "efficientnet_v2_s":        Entry(efficientnet_v2.efficientnet_v2_s, (3, 384, 384), 1000, "Tan and Le, 2021, arXiv:2104.00298", "84.23 top-1, 96.88 top-5 (torchvision)"),
    "convnext_tiny":            Entry(convnext.convnext_tiny, RGB_224, 1000, "Liu et al., 2022, arXiv:2201.03545", "82.52 top-1, 96.15 top-5 (torchvision)"),
    "convnextv2_atto":          Entry(lambda k: convnext_v2.convnext_v2(k, "atto"), RGB_224, 1000, CONVNEXT_V2, "76.7 top-1"),
    "convnextv2_tiny":          Entry(lambda k: convnext_v2.convnext_v2(k, "tiny"), RGB_224, 1000, CONVNEXT_V2, "83.0 top-1"),
    "vit_tiny":                 Entry(lambda k: vit.vit(k, "tiny"), RGB_224, 1000, VIT_SMALL),
    "vit_small":                Entry(lambda k: vit.vit(k, "small"), RGB_224, 1000, VIT_SMALL),
    "vit_b_16":                 Entry(lambda k: vit.vit(k, "b_16"), RGB_224, 1000, VIT, "81.07 top-1, 95.32 top-5 (torchvision)"),
    "vit_b_32":                 Entry(lambda k: vit.vit(k, "b_32"), RGB_224, 1000, VIT, "75.91 top-1, 92.47 top-5 (torchvision)"),
    "dcgan_generator":          Entry(dcgan.dcgan_generator, (100, 1, 1), 3, DCGAN),
    "dcgan_discriminator":      Entry(dcgan.dcgan_discriminator, (3, 64, 64), 1, DCGAN),
    "unet":                     Entry(unet.unet, RGB_256, 2, "Ronneberger et al., 2015, arXiv:1505.04597"),
    "dncnn":              Entry(dncnn.dncnn, (1, 40, 40), 1, DNCNN, "29.23 dB, BSD68 at sigma 25"),
    "dncnn_light":        Entry(lambda c: dncnn.dncnn(c, depth=8, width=32), (1, 40, 40), 1, DNCNN),
    "srcnn_x2":           Entry(lambda c: srcnn.srcnn(c, 2), (1, 16, 16), 1, SRCNN),
    "srcnn_x3":           Entry(lambda c: srcnn.srcnn(c, 3), (1, 11, 11), 1, SRCNN),
    "srcnn_x4":           Entry(lambda c: srcnn.srcnn(c, 4), (1, 8, 8), 1, SRCNN),
    "fsrcnn_x2":          Entry(lambda c: srcnn.fsrcnn(c, 2), (1, 10, 10), 1, FSRCNN, "37.00 dB, Set5"),
    "fsrcnn_x3":          Entry(lambda c: srcnn.fsrcnn(c, 3), (1, 7, 7), 1, FSRCNN, "33.16 dB, Set5"),
    "fsrcnn_x4":          Entry(lambda c: srcnn.fsrcnn(c, 4), (1, 6, 6), 1, FSRCNN, "30.71 dB, Set5"),
    "segnet":                   Entry(segnet.segnet, (3, 360, 480), 11, SEGNET, "60.1 mean IU, CamVid"),
    "deeplabv3_resnet50":       Entry(deeplab.deeplabv3_resnet50, RGB_520, 21, DEEPLAB, "66.4 mean IU, COCO's images of VOC's classes (torchvision)"),
}
# fmt: on

LACKING = {  # how names begin that people expect here: what a description of theirs would need, and the vocabulary lacks
    "beit": "attention that knows how far apart two steps are",
    "capsnet": "routing between capsules",
    "coatnet": "attention that knows how far apart two steps are",
    "detr": "attention between two sequences",
    "fasterrcnn": "a layer that proposes boxes and cuts them out",
    "faster_rcnn": "a layer that proposes boxes and cuts them out",
    "maskrcnn": "a layer that proposes boxes and cuts them out",
    "mask_rcnn": "a layer that proposes boxes and cuts them out",
    "maxvit": "attention within windows and grids",
    "mixer": "a linear layer across the steps of a sequence",
    "resnest": "a softmax across branches",
    "retinanet": "outputs of several sizes",
    "skresnet": "a softmax across branches",
    "ssd": "outputs of several sizes",
    "stylegan": "weights that another input scales",
    "swin": "attention within shifted windows",
    "yolo": "outputs of several sizes",
}


@call_as_in("striate.network('lenet5', num_classes=10, in_channels=1, input_size=32)")
def network(
    name: str | PathLike[str],
    num_classes: int | None = None,
    in_channels: int | None = None,
    input_size: int | tuple[int, ...] | None = None,
) -> Network:
    """The catalogue's network called `name`, as published unless told otherwise.

    Args:
        name: A name of `CATALOG`; or `timm:NAME`, `torchvision:NAME`; or a `.json` file that `Network.to_json` wrote, such as the
            `network.json` of a run, which says itself how many classes and channels it has.
        num_classes: Outputs; as published by default.
        in_channels: Channels of the input.
        input_size: Pixels of a square input, or (H, W); places of a signal (L,), of a volume (D, H, W); none for a table.

    Raises:
        UnknownNameError: no such name; gives the nearest ones.
        ShapeError: the input size does not fit; names the layer that stops it and the smallest size that would fit.
        UsageError: `name` is not text, there is no such file, or it describes a network of other classes or channels.
        RefusedFileError: the file is not a description.
    """
    asked: object = name
    if not isinstance(asked, str | PathLike):
        remedy = "`striate networks` lists the names; a network of your own is striate.Network(...), or a torch module."
        raise UsageError(
            f"network: expected a name of the catalogue, got {'None' if asked is None else f'a {type(asked).__name__}'}", remedy
        )
    name = str(asked)
    _check_numbers(name, num_classes, in_channels, *(input_size if isinstance(input_size, tuple | list) else (input_size,)))
    if name.endswith(SUFFIX):
        return described_network(Path(name), num_classes, in_channels, input_size)
    if is_published_name(name):
        return published_network(name, num_classes, in_channels, input_size)
    if ("/" in name or os.sep in name) and not Path(name).expanduser().exists():
        raise UsageError(f"{name}: no such file or folder, and no network of that name", near(name, "`striate networks` lists the names."))
    if name not in CATALOG:
        lacking = next((what for start, what in LACKING.items() if name.startswith(start)), None)
        if lacking is not None:
            library = f"If timm or torchvision has it, use `timm:{name}` or `torchvision:{name}`."
            raise UnknownNameError("network", name, (), f"Its description would need {lacking}, which no layer here does. {library}")
        raise UnknownNameError("network", name, CATALOG, "`striate networks` lists all.")
    entry = CATALOG[name]
    channels, *extent = entry.input_shape
    if input_size is not None:
        sizes = [input_size] * len(extent) if isinstance(input_size, int) else list(input_size)
        if len(sizes) != len(extent) or (not extent and input_size != ()):
            remedy = "`in_channels` is the number of columns." if not extent else "For example one number for all of them."
            raise UsageError(f"{name}: its input has {len(extent)} axes beside the channels, got input_size={input_size}", remedy)
        extent = sizes
    shape = (channels if in_channels is None else in_channels, *extent)
    classes = entry.num_classes if num_classes is None else num_classes
    if classes < 1 or min(shape) < 1:
        raise UsageError(f"{name}: num_classes, in_channels and input_size must be at least 1, got {classes}, {shape[0]} and {shape[1:]}")
    return _described(name, classes, shape)


@functools.lru_cache(maxsize=512)  # more than the catalogue has; a description cannot change, and its table takes up to 50 ms
def _described(name: str, classes: int, shape: Shape) -> Network:
    """The entry with so many classes for inputs of a shape.

    Raises:
        ShapeError: the shape does not fit.
    """
    entry = CATALOG[name]
    net = Network(name, shape, entry.root(classes), entry.heads(classes) if entry.heads else (), entry.source)
    try:
        net.rows  # noqa: B018  # computed once, kept: it raises where a size does not fit
    except ShapeError as error:
        smallest = net.smallest_input()
        error.remedy = f"The smallest input of {name} is {by(smallest[1:])}. {_sizes_nearby(net)}".rstrip() if smallest else ""
        error.message = f"{name}: {error.message}"
        raise error from None
    return _with_fitting_heads(net)


def _check_numbers(name: str, *numbers: object) -> None:
    for number in numbers:
        if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
            message = f"{name}: num_classes, in_channels and input_size must be whole numbers, got {number!r}"
            raise UsageError(message, "For example input_size=32, or (48, 32) for height and width.")


def described_network(
    path: Path, num_classes: int | None = None, in_channels: int | None = None, input_size: int | tuple[int, ...] | None = None
) -> Network:
    """The network of a file that `Network.to_json` wrote, for another input size where one is given.

    Raises:
        UsageError: there is no such file, or the network has another number of classes or channels than requested.
        ShapeError: the input size does not fit.
        RefusedFileError: the file is not a description; names the place.
    """
    if not path.exists():
        raise UsageError(f"{path}: cannot be read as a network: No such file or directory", near(path, WRITTEN))
    text = read_plain(path, limit=MAX_DESCRIPTION_BYTES, remedy=WRITTEN)
    try:
        net = Network.from_json(text.decode())
    except UnicodeDecodeError:
        raise RefusedFileError(f"{path}: cannot be read as a network: it is not text in UTF-8", WRITTEN) from None
    except RefusedFileError as error:
        raise RefusedFileError(f"{path}: {error.message}", error.remedy or WRITTEN) from None
    channels, *extent = net.input_shape
    if input_size is not None:
        net = net.with_input((channels, *([input_size] * len(extent) if isinstance(input_size, int) else input_size)))
    try:
        outputs = net.output_shape[0]
    except ShapeError as error:
        error.message = f"{path}: {error.message}"
        raise error from None
    if num_classes not in (None, outputs) or in_channels not in (None, channels):
        wanted = [f"{num_classes} classes"] * (num_classes is not None) + [f"{in_channels} channels"] * (in_channels is not None)
        message = f"{path}: describes a network of {outputs} classes and {channels} channels, expected {' and '.join(wanted)}"
        raise UsageError(message, "Change the last layer and the input_shape of the description.")
    return net


def _sizes_nearby(net: Network) -> str:
    """The nearest smaller and larger sizes that fit, if `net` accepts some sizes and not others between them."""
    channels, *extent = net.input_shape
    found = []
    for step in (-1, 1):
        nearest = [
            next((n for n in range(size, max(size + 64 * step, 0), step) if net.fits((channels, *(n,) * len(extent)))), 0)
            for size in extent
        ]
        if all(nearest):
            found.append(by(tuple(nearest)))
    return f"Nearby sizes that fit: {', '.join(found)}." if len(found) == 2 else ""


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


def networks(pattern: str = "*") -> Catalogue:
    """The catalogue: each network at its published size with its cost, source and published accuracy; those whose name fits `pattern`."""
    entries = Catalogue()
    for name, entry in CATALOG.items():
        if not fnmatch(name, pattern):
            continue
        net = network(name)
        field = net.receptive_field
        entries.append(NetworkEntry(name, net.params, net.macs, net.input_shape, entry.num_classes, field, entry.source, entry.published))
    return entries
