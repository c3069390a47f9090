"""Recipes: how published networks were trained, as settings and augmentation for any network and number of pictures.

The numbers of a recipe are as published. Departures are stated beside each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from striate.data.augmentation.record import Augmentation
from striate.engine.settings import TrainSettings
from striate.models.fitting import SMALL_PICTURE
from striate.networks.families.fast import WHITENED
from striate.networks.layers import BatchNorm, Conv, Linear
from striate.networks.network import Network


@dataclass(frozen=True)
class Recipe:
    """A complete training configuration."""

    settings: TrainSettings
    augmentation: Augmentation


def notes(_network: Network, _num_train: int) -> Recipe:
    """Adam at a constant rate of 0.001 for 2,000 updates of 128 pictures, which are left as they are.

    Source: the convolutional network of the TensorFlow tutorials of 2017 and 2018 on MNIST, whose numbers the notes took.
    """
    settings = TrainSettings(
        steps=2000,
        batch_size=128,
        optimizer="adam",
        learning_rate=1e-3,
        weight_decay=0.0,
        schedule="constant",
        warmup_epochs=0.0,
    )
    return Recipe(settings, Augmentation())


def alexnet_2012(network: Network, _num_train: int) -> Recipe:
    """SGD with momentum for 90 epochs; the rate is divided by 10 up to three times, when the validation loss stops falling.

    Pictures are shifted, mirrored, and changed in colour along the principal components of the training set's.

    Departs from the source: a division comes after 5 epochs without a lower loss, where the authors decided by hand; crops are cut out
    of the picture padded with its mirror image, where theirs had 256 of 224 pixels; no bias starts at 1.

    Source: Krizhevsky, Sutskever and Hinton, 2012, sections 4.1 and 5.
    """
    settings = TrainSettings(
        epochs=90,
        batch_size=128,
        optimizer="sgd",
        learning_rate=0.01,
        momentum=0.9,
        nesterov=False,
        weight_decay=5e-4,
        schedule="plateau",
        step_gamma=0.1,
        min_factor=1e-3,
        plateau_epochs=5,
        warmup_epochs=0.0,
        init="normal",
        init_scale=0.01,
    )
    shift = _shift(network, 16 / 224)
    return Recipe(settings, Augmentation(crop_padding=shift, pad_mode="reflect", flip=True, pca_colour=_colour(network)))


def resnet_2015(network: Network, _num_train: int) -> Recipe:
    """SGD with momentum; for small pictures 64,000 updates of 128 with two divisions by 10, else 120 epochs of 256.

    Small pictures: the rate of 0.1 is divided at 1/2 and 3/4 of 182 epochs, which are the 64,000 updates on 45,000 pictures; networks of
    100 weight layers and more warm up for an epoch. Others: 0.1, divided when the validation loss stops falling, for 120 epochs, which
    are the 600,000 updates on ImageNet.

    Departs from the source: the warm-up is a straight line, where it was 0.01 for some 400 updates; biases and norms do not decay; a
    division comes after 5 epochs without a lower loss; large pictures are cut from a fifth to all of the area, where their shorter side
    was scaled to 256 to 480 pixels and 224 were cut out.

    Source: He, Zhang, Ren and Sun, 2016, arXiv:1512.03385, sections 3.4 and 4.2.
    """
    common = TrainSettings(
        optimizer="sgd",
        learning_rate=0.1,
        momentum=0.9,
        nesterov=False,
        weight_decay=1e-4,
        step_gamma=0.1,
        warmup_epochs=0.0,
        init="he",
    )
    if _is_small(network):
        deep = weight_layers(network) >= 100
        settings = dataclasses.replace(
            common, epochs=182, batch_size=128, schedule="multi_step", step_at=(0.5, 0.75), warmup_epochs=1.0 if deep else 0.0
        )
        return Recipe(settings, Augmentation(crop_padding=_shift(network, 1 / 8), flip=True))
    settings = dataclasses.replace(common, epochs=120, batch_size=256, schedule="plateau", plateau_epochs=5)
    return Recipe(settings, Augmentation(resized_crop=((224 / 480) ** 2, (224 / 256) ** 2), flip=True, pca_colour=_colour(network)))


def densenet_2017(network: Network, _num_train: int) -> Recipe:
    """SGD with Nesterov momentum; for small pictures 300 epochs of batches of 64, else 90 of 256.

    The rate of 0.1 is divided by 10 at 1/2 and 3/4 of the training of small pictures, and after 30 and 60 epochs with others.

    Large pictures are cut at random from 8 to 100 % of the area, as the training code that the source names does.

    Departs from the source: biases and norms do not decay; of that code's colour changes, only the one along principal components.

    Source: Huang, Liu, van der Maaten and Weinberger, 2017, arXiv:1608.06993, section 4.2.
    """
    common = TrainSettings(
        optimizer="sgd",
        learning_rate=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        step_gamma=0.1,
        warmup_epochs=0.0,
        init="he",
    )
    if _is_small(network):
        settings = dataclasses.replace(common, epochs=300, batch_size=64, schedule="multi_step", step_at=(0.5, 0.75))
        return Recipe(settings, Augmentation(crop_padding=_shift(network, 1 / 8), flip=True))
    settings = dataclasses.replace(common, epochs=90, batch_size=256, schedule="step", step_every=30.0)
    return Recipe(settings, Augmentation(resized_crop=(0.08, 1.0), flip=True, pca_colour=_colour(network)))


def keras_resnet(_network: Network, _num_train: int) -> Recipe:
    """Adam for 200 epochs of batches of 32; the rate of 0.001 falls to 1e-4, 1e-5, 1e-6 and 5e-7 after 81, 121, 161 and 181 of them.

    The example counts epochs from 0 and changes the rate past 80, 120, 160 and 180. The penalty is 0.0001 times the sum of the squared
    weights. Pictures are moved by up to a tenth of their sides and mirrored.

    Departs from the source: each channel's mean and deviation normalize, where it subtracts the mean of each pixel; shifts are by whole
    pixels, and what they uncover is black, where it repeats the border; the last dense layer is penalized too; the kept epoch is the
    best on a validation split, where it was the best on the test set.

    Source: the `cifar10_resnet` example of Keras 2, which gives 92.16 % for `resnet20_keras` and 93.01 % for `resnet56v2_keras`.
    """
    settings = TrainSettings(
        epochs=200,
        batch_size=32,
        optimizer="adam",
        learning_rate=1e-3,
        weight_decay=0.0,
        l2=1e-4,
        schedule="multi_step",
        step_at=(81 / 200, 121 / 200, 161 / 200, 181 / 200),
        step_gamma=0.1,
        min_factor=5e-4,  # which the last division by 10 does not reach
        warmup_epochs=0.0,
        init="he",
    )
    return Recipe(settings, Augmentation(shift=0.1, flip=True))


def modern(network: Network, _num_train: int) -> Recipe:
    """With batch normalization, the bag of tricks; without, AdamW as ConvNeXt was trained. Both warm up and follow a cosine.

    Bag of tricks: SGD with Nesterov momentum, 0.1 for a batch of 256, 5 epochs of warm-up, smoothing 0.1, no decay of biases and norms,
    mix-up with alpha 0.2, 200 epochs; brightness and saturation by factors of 0.6 to 1.4, colour along principal components.

    ConvNeXt: AdamW, 0.004 for a batch of 4,096 (in proportion: 0.00025 for 256), decay 0.05, 20 epochs of warm-up, smoothing 0.1, mix-up
    0.8, cut-mix 1.0, erasing 0.25, 300 epochs.

    Large pictures are cut at random from 8 to 100 % of the area; small ones are shifted by up to an eighth.

    Departs from the sources: batches of 256 throughout; hues stay; no RandAugment, no mean of weights, no stochastic depth beyond the
    network's own.

    Source: He et al., 2019, arXiv:1812.01187, sections 3 to 5; Liu et al., 2022, arXiv:2201.03545, table 5.
    """
    common = TrainSettings(batch_size=256, schedule="cosine", smoothing=0.1)
    crop = Augmentation(flip=True, resized_crop=(0.08, 1.0))
    if _is_small(network):
        crop = Augmentation(flip=True, crop_padding=_shift(network, 1 / 8))
    if any(isinstance(row.layer, BatchNorm) for row in network.rows):
        settings = dataclasses.replace(
            common, epochs=200, optimizer="sgd", learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4, warmup_epochs=5.0
        )
        colours = 0.0 if network.input_shape[0] != 3 else 0.4
        changes = dataclasses.replace(crop, brightness=colours, saturation=colours, pca_colour=_colour(network), mixup=0.2)
        return Recipe(settings, changes)
    settings = dataclasses.replace(
        common, epochs=300, optimizer="adamw", learning_rate=4e-3 / 16, betas=(0.9, 0.999), weight_decay=0.05, warmup_epochs=20.0
    )
    return Recipe(settings, dataclasses.replace(crop, mixup=0.8, cutmix=1.0, erasing=0.25))


def fast(network: Network, num_train: int) -> Recipe:
    """A high accuracy in few epochs: large steps, with smoothed labels; ten epochs in one cycle unless said below.

    Smoothing 0.2; shifts of 2 pixels into a mirrored border; mirrored in turns. The batch is 1,024 for 20,000 pictures or more, 256 for
    5,000 or more, else 64. Where no network is named and pictures are of one small size it trains `fast_cnn` of the catalogue.

    `fast_cnn`: 16 epochs of pictures in colour; batches of 512 where others have 1,024; Muon with momentum 0.6, a rate of 0.07 per batch of
    512, which goes with the root of the batch and falls along a straight line, and decay 0.1; its first convolution whitens the training
    pictures and is not trained.

    Others: SGD with Nesterov momentum 0.85, and per batch of 1,024 a peak rate of 11.5 / (1 + 1 / (1 - 0.85)) = 1.5, in proportion to the
    batch; each update takes 0.0153 / (1 + 1 / (1 - 0.85)) = 0.2 % off the weights at that rate. Networks without normalization, which the
    source does not train, get a fifth of the rate.

    Departs from the source: one cycle, or one line, in place of its triangle; no bias of the whitening is trained; no mean of weights, no
    views of a picture beside the plain one. Muon's rate and decay are ours (the source scales each matrix to one norm instead), and
    vectors are AdamW's.

    Source: Jordan, 2024, arXiv:2404.00498, section 3, and the repository cifar10-airbench (Muon); the cycle: Smith and Topin, 2018,
    arXiv:1708.07120.
    """
    batch_size = 1024 if num_train >= 20_000 else 256 if num_train >= 5_000 else 64
    each = 1 + 1 / (1 - 0.85)
    normalized = any(row.layer.role == "norm" for row in network.rows)
    peak = 11.5 / each * batch_size / 1024 * (1.0 if normalized else 0.2)
    settings = TrainSettings(
        epochs=10,
        batch_size=batch_size,
        optimizer="sgd",
        learning_rate=peak,
        momentum=0.85,
        nesterov=True,
        weight_decay=0.0153 / 11.5,
        smoothing=0.2,
        schedule="one_cycle",
        warmup_epochs=0.0,
    )
    if WHITENED in dict(network.root.children):
        batch_size = min(batch_size, 512)
        settings = dataclasses.replace(
            settings,
            epochs=16 if network.input_shape[0] == 3 else 10,
            batch_size=batch_size,
            optimizer="muon",
            learning_rate=0.07 * (batch_size / 512) ** 0.5,
            momentum=0.6,
            weight_decay=0.1,
            schedule="polynomial",
            init="whitened",
            freeze=(WHITENED,),
        )
    return Recipe(settings, Augmentation(crop_padding=2, pad_mode="reflect", flip=True, flip_mode="alternating"))


def default_dnn(_network: Network, _num_train: int) -> Recipe:
    """A textbook's defaults for deep networks: He's weights, Nesterov momentum, early stopping, a rate that waits for the loss.

    The rate is halved after 5 epochs without a lower validation loss, and training ends after 10 without a better model. Where no network
    is named it trains `default_dnn` of the catalogue, which has the textbook's activation and normalization.

    Departs from the source: its table names no numbers; the rate, the batch and the patience are those of its examples.

    Source: Géron, Hands-On Machine Learning, 3rd edition, 2022, chapter 11, "Default DNN configuration".
    """
    settings = TrainSettings(
        epochs=100,
        batch_size=32,
        optimizer="sgd",
        learning_rate=0.01,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        schedule="plateau",
        step_gamma=0.5,
        plateau_epochs=5,
        patience=10,
        warmup_epochs=0.0,
        init="he",
    )
    return Recipe(settings, Augmentation())


RECIPES: dict[str, Callable[[Network, int], Recipe]] = {
    recipe.__name__: recipe for recipe in (notes, alexnet_2012, resnet_2015, densenet_2017, keras_resnet, modern, fast, default_dnn)
}

FAST_SIDES = (16, SMALL_PICTURE)  # pixels a side of pictures for `fast_cnn`


def network_of(recipe: Callable[[Network, int], Recipe], image_size: tuple[int, int] | None) -> str | None:
    """The network that a recipe is for, where none is named; None: the default one for pictures of this size."""
    if recipe is fast:
        return "fast_cnn" if is_for_fast(image_size) else None
    return "default_dnn" if recipe is default_dnn else None


def is_for_fast(image_size: tuple[int, int] | None) -> bool:
    """True if pictures (H, W), None where they differ, are of one small size that `fast_cnn` can halve three times."""
    return image_size is not None and FAST_SIDES[0] <= min(image_size) <= max(image_size) <= FAST_SIDES[1]


def weight_layers(network: Network) -> int:
    """Convolutions and linear layers, counted as papers count depth; projections of shortcuts left out."""
    return sum(isinstance(row.layer, Conv | Linear) and "shortcut" not in row.path for row in network.rows)


def _is_small(network: Network) -> bool:
    return max(network.input_shape[1:], default=1) <= SMALL_PICTURE


def _colour(network: Network) -> float:
    """The standard deviation of AlexNet's colour augmentation, for colour pictures."""
    return 0.1 if network.input_shape[0] == 3 else 0.0


def _shift(network: Network, share: float) -> int:
    """Pixels: `share` of the longer side."""
    return round(max(network.input_shape[1:], default=1) * share)
