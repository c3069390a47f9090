"""The trainings that the doctor is asked about: planted faults and healthy runs, on pictures and seeds of two halves that share nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from striate.core.images import ImageSpec
from striate.data.sources import open_data
from striate.networks.catalog import network
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, Dropout, Flatten, GlobalPool, Linear, Pool
from striate.networks.network import Network

CACHE = Path.home() / ".cache" / "striate" / "data"
MANY = 4_000  # pictures of a named set that are drawn from; half of them for each half of the cases
STATES = ("dead_relu", "vanishing_gradient", "exploding_gradient", "saturated", "constant_units", "not_finite")
TOO_LARGE = (*STATES, "learning_rate_too_high", "batch_norm_drift", "uneven_updates")
FAST = ("learning_rate_too_high", "not_finite")
FITTED = ("overfitting",)  # said of few or hard pictures: measured on them, and no false alarm where it is so


class Pictures(NamedTuple):
    """Some pictures (N, H, W, C) uint8 and their labels (N,)."""

    images: np.ndarray
    labels: np.ndarray

    def take(self, places: np.ndarray) -> Pictures:
        """Those at `places`."""
        return Pictures(self.images[places], self.labels[places])


class Split(NamedTuple):
    """What a case trains and validates on."""

    train: Pictures
    val: Pictures


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One training.

    Attributes:
        name: Fault or health, in a few words.
        wanted: The kinds of findings of which one is to be said; none of a healthy training.
        allowed: Kinds that are right too.
        data: Name of the pictures.
        count: Training pictures.
        net: Makes the network for a shape and a number of classes.
        fields: Of the request.
        change: Plants the fault into the pictures.
        normalized: Mean and deviation instead of the pictures' own.
        pretrain: Train on other pictures first, and start from there.
    """

    name: str
    wanted: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    data: str = "digits"
    count: int = 600
    net: Callable[[tuple[int, int, int], int], Network]
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    change: Callable[[Split, np.random.Generator], Split] | None = None
    normalized: tuple[float, float] | None = None
    pretrain: bool = False


# ---- pictures


@cache
def pictures(name: str) -> Pictures:
    """All pictures that there are of a name, in a fixed random order, the classes in turn."""
    if name.endswith("_half"):
        return Pictures(*_halved(pictures(name.removesuffix("_half"))))
    if name == "digits":
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        found = Pictures((images * 255 / 16).astype(np.uint8).reshape(-1, 8, 8, 1), labels.astype(np.int64))
    elif name == "flowers":
        source = open_data(str(CACHE / "flowers"))
        found = _read(source, ImageSpec(height=32, width=32, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3))
    else:
        found = _read(open_data(name), None)
        found = found.take(np.arange(MANY))
    return found.take(np.random.default_rng(0).permutation(len(found.labels)))


def _read(source: Any, spec: ImageSpec | None) -> Pictures:
    split = source.read("train", spec=spec)
    return Pictures(np.asarray(split.images), np.asarray(split.labels, np.int64))


def _halved(found: Pictures) -> Pictures:
    """Half as high and wide: the means of 2 x 2 pixels."""
    count, height, width, channels = found.images.shape
    means = found.images.reshape(count, height // 2, 2, width // 2, 2, channels).mean((2, 4))  # (N, H / 2, W / 2, C)
    return Pictures(means.round().astype(np.uint8), found.labels)


def split_of(case: Case, half: int, seed: int) -> Split:
    """Training and validation pictures of one half; a fault of the pictures is planted."""
    every = pictures(case.data)
    own = every.take(np.arange(half, len(every.labels), 2))
    rng = np.random.default_rng(1_000 * half + seed)
    order = rng.permutation(len(own.labels))
    count = min(case.count, int(0.8 * len(order)))
    val = max(40, count // 5)
    split = Split(own.take(order[:count]), own.take(order[count : count + val]))
    return case.change(split, rng) if case.change else split


def wrong_labels(share: float) -> Callable[[Split, np.random.Generator], Split]:
    """This share of all labels is that of another class: in training and, as a random division has it, in validation."""

    def change(split: Split, rng: np.random.Generator) -> Split:
        num_classes = int(split.train.labels.max()) + 1

        def spoilt(part: Pictures) -> Pictures:
            wrong = rng.random(len(part.labels)) < share
            other = (part.labels + rng.integers(1, num_classes, len(part.labels))) % num_classes
            return Pictures(part.images, np.where(wrong, other, part.labels))

        return Split(spoilt(split.train), spoilt(split.val))

    return change


def rare(kept: int) -> Callable[[Split, np.random.Generator], Split]:
    """Of the last two classes, so many training pictures each."""

    def change(split: Split, _rng: np.random.Generator) -> Split:
        last = split.train.labels.max()
        keep = np.ones(len(split.train.labels), bool)
        for label in (last - 1, last):
            places = np.flatnonzero(split.train.labels == label)
            keep[places[kept:]] = False
        return Split(split.train.take(np.flatnonzero(keep)), split.val)

    return change


def other_val(how: str) -> Callable[[Split, np.random.Generator], Split]:
    """The validation pictures are inverted, dark, or pale."""

    def change(split: Split, rng: np.random.Generator) -> Split:
        images = split.val.images.astype(np.float64)
        changed = {
            "inverted": 255 - images,
            "dark": images * 0.2,
            "pale": 150 + images * 0.3,
            "noisy": images + rng.normal(0, 90, images.shape),
        }
        return Split(split.train, Pictures(changed[how].clip(0, 255).astype(np.uint8), split.val.labels))

    return change


def leaked(share: float) -> Callable[[Split, np.random.Generator], Split]:
    """This share of the validation pictures are training pictures."""

    def change(split: Split, _rng: np.random.Generator) -> Split:
        taken = int(share * len(split.val.labels))
        images, labels = split.val.images.copy(), split.val.labels.copy()
        images[:taken], labels[:taken] = split.train.images[:taken], split.train.labels[:taken]
        return Split(split.train, Pictures(images, labels))

    return change


def sorted_by_class(split: Split, _rng: np.random.Generator) -> Split:
    """The training pictures come class by class, as many folders and arrays hold them."""
    return Split(split.train.take(np.argsort(split.train.labels, kind="stable")), split.val)


def two_classes(split: Split, _rng: np.random.Generator) -> Split:
    """The first two classes alone."""
    return Split(*(part.take(np.flatnonzero(part.labels < 2)) for part in split))


def mild_imbalance(split: Split, rng: np.random.Generator) -> Split:
    """Half of the pictures of the last two classes."""
    return rare(int(0.5 * len(split.train.labels) / (split.train.labels.max() + 1)))(split, rng)


# ---- networks


Build = Callable[[tuple[int, int, int], int], Network]


def named(name: str) -> Build:
    """Of the catalogue."""
    return lambda shape, classes: network(name, num_classes=classes, in_channels=shape[0], input_size=shape[1] if name != "lenet5" else 32)


def mlp(*units: int, act: str = "relu", dropout: float = 0.0) -> Build:
    """Dense layers."""

    def build(shape: tuple[int, int, int], classes: int) -> Network:
        hidden = {
            f"hidden{i}": Chain(linear=Linear(n), act=Activation(act), **({"drop": Dropout(dropout)} if dropout else {}))
            for i, n in enumerate(units, start=1)
        }
        return Network("mlp", shape, Chain(flatten=Flatten(), **hidden, head=Linear(classes)))

    return build


def plain(depth: int, channels: int = 8, act: str = "relu") -> Build:
    """Convolutions one after the other, without norms and shortcuts."""

    def build(shape: tuple[int, int, int], classes: int) -> Network:
        blocks = {f"block{i}": Chain(conv=Conv(channels, 3, padding=1), act=Activation(act)) for i in range(1, depth + 1)}
        return Network("plain", shape, Chain(**blocks, pool=GlobalPool(), flatten=Flatten(), head=Linear(classes)))

    return build


def tiny_conv(shape: tuple[int, int, int], classes: int) -> Network:
    """One channel of one convolution, the mean of which is all that the head gets."""
    return Network(
        "tiny", shape, Chain(conv=Conv(1, 3, padding=1), act=Activation("relu"), pool=GlobalPool(), flatten=Flatten(), head=Linear(classes))
    )


def cnn(*, norm: bool = False, dropout: float = 0.0) -> Build:
    """Two convolutions with pooling, and two dense layers."""

    def build(shape: tuple[int, int, int], classes: int) -> Network:
        def stage(channels: int) -> Chain:
            middle = {"norm": BatchNorm()} if norm else {}
            return Chain(conv=Conv(channels, 3, padding=1), **middle, act=Activation("relu"), pool=Pool("max", 2))

        drop = {"drop": Dropout(dropout)} if dropout else {}
        head = Chain(flatten=Flatten(), hidden=Linear(64), act=Activation("relu"), **drop, linear=Linear(classes))
        return Network("cnn_bn" if norm else "cnn", shape, Chain(stage1=stage(8), stage2=stage(16), head=head))

    return build


LENET, COMPACT, RESNET = named("lenet5"), named("compact_cnn"), named("resnet20_cifar")
CNN, CNN_BN = cnn(), cnn(norm=True)
NO_AUG: dict[str, Any] = {"crop_padding": 0, "flip": False}


def planted() -> Iterator[Case]:
    """Trainings with a fault."""
    # wrong labels
    noise = {"wanted": ("label_noise",), "allowed": FITTED}
    for share, data, net, count, more in (
        (0.2, "digits", mlp(128, 64), 700, {"epochs": 20}),
        (0.3, "digits", CNN_BN, 700, {"epochs": 12}),
        (0.4, "digits", CNN_BN, 700, {"epochs": 12, "ema": 0.95}),
        (0.1, "mnist_half", CNN, 1200, {"epochs": 10}),
        (0.2, "mnist", LENET, 800, {"epochs": 8}),
        (0.4, "mnist_half", CNN, 1200, {"epochs": 10}),
        (0.25, "fashion_mnist_half", CNN, 1200, {"epochs": 10}),
        (0.36, "fashion_mnist_half", mlp(128, 64), 1200, {"epochs": 15}),
        (0.3, "cifar10_half", CNN, 1200, {"epochs": 10}),
        (0.36, "digits", RESNET, 400, {"epochs": 6}),
        (0.4, "flowers_half", CNN_BN, 150, {"epochs": 30}),
    ):
        yield Case(
            name=f"{100 * share:.0f} % wrong labels", data=data, net=net, count=count, fields=more, change=wrong_labels(share), **noise
        )

    fast = {"wanted": FAST, "allowed": (*TOO_LARGE, "underfitting", "batch_norm_unsettled")}
    for rate, data, net, count, more in (
        (1.0, "digits", mlp(128, 64), 700, {"epochs": 8}),
        (0.3, "mnist_half", CNN, 1000, {"epochs": 6}),
        (20.0, "digits", COMPACT, 300, {"epochs": 6}),
        (3.0, "fashion_mnist_half", CNN, 1000, {"epochs": 6, "optimizer": "sgd"}),
        (30.0, "digits", RESNET, 250, {"epochs": 5}),
        (20.0, "flowers_half", CNN_BN, 150, {"epochs": 8}),
        (0.5, "mnist", LENET, 500, {"epochs": 5}),
    ):
        yield Case(name=f"learning rate {rate:g}", data=data, net=net, count=count, fields={"learning_rate": rate, **more}, **fast)

    slow = {"wanted": ("learning_rate_too_low",)}
    for rate, data, net, count, more in (
        (1e-6, "digits", mlp(128, 64), 700, {"epochs": 8}),
        (1e-7, "mnist_half", CNN, 1000, {"epochs": 6}),
        (1e-6, "digits", COMPACT, 300, {"epochs": 6}),
        (1e-6, "digits", RESNET, 250, {"epochs": 5}),
        (1e-6, "flowers_half", CNN_BN, 150, {"epochs": 10}),
        (1e-6, "cifar10_half", CNN, 1000, {"epochs": 6, "optimizer": "sgd"}),
    ):
        yield Case(name=f"learning rate {rate:g}", data=data, net=net, count=count, fields={"learning_rate": rate, **more}, **slow)

    deep = {"wanted": STATES, "allowed": ("learning_rate_too_high",)}
    for name, net, data, more in (
        ("plain, 20 layers", plain(20), "digits", {"epochs": 6}),
        ("plain, 40 layers", plain(40, 4), "digits", {"epochs": 4}),
        ("plain, 56 layers", plain(56, channels=4), "digits", {"epochs": 4}),
        ("nine sigmoids", mlp(*[48] * 9, act="sigmoid"), "digits", {"epochs": 8}),
        ("eight sigmoids", mlp(*[64] * 8, act="sigmoid"), "mnist_half", {"epochs": 8}),
        ("thirty dense layers", mlp(*[32] * 30), "digits", {"epochs": 8, "set": {"settings.init": "default"}}),
    ):
        yield Case(name=f"{name} without norms", data=data, net=net, count=400, fields=more, **deep)

    over = {"wanted": ("overfitting",)}
    for data, net, count, more in (
        ("flowers", LENET, 80, {"epochs": 20}),
        ("flowers_half", CNN_BN, 150, {"epochs": 30}),
        ("flowers_half", mlp(128, 64), 150, {"epochs": 40}),
        ("cifar10_half", CNN, 300, {"epochs": 30}),
        ("cifar10_half", mlp(128, 64), 400, {"epochs": 30}),
        ("fashion_mnist_half", CNN, 80, {"epochs": 40}),
    ):
        yield Case(name=f"{count} pictures by heart", data=data, net=net, count=count, fields={**more, **NO_AUG}, **over)

    under = {"wanted": ("underfitting",)}
    for data, net, more in (
        ("digits", mlp(1), {"epochs": 20}),
        ("mnist_half", mlp(1), {"epochs": 12}),
        ("mnist_half", tiny_conv, {"epochs": 12}),
        ("digits", tiny_conv, {"epochs": 20}),
        ("fashion_mnist_half", tiny_conv, {"epochs": 12}),
    ):
        yield Case(name="too small a network", data=data, net=net, count=1000, fields=more, **under)

    held = {"wanted": ("regularisation_too_strong",)}
    for data, net, more in (
        ("digits", mlp(128, 64), {"epochs": 12, "set": {"settings.l2": 0.1}}),
        ("mnist_half", CNN, {"epochs": 8, "set": {"settings.l2": 0.3}}),
        ("digits", mlp(64, dropout=0.97), {"epochs": 15}),
        ("fashion_mnist_half", CNN, {"epochs": 8, "set": {"settings.l1": 0.02}}),
        ("digits", CNN_BN, {"epochs": 8, "weight_decay": 2.0}),
    ):
        yield Case(name="too strong a regularisation", data=data, net=net, count=800, fields=more, **held)

    for data, net, kept in (("digits", mlp(128, 64), 2), ("mnist_half", CNN, 3), ("fashion_mnist_half", CNN, 3), ("digits", CNN_BN, 2)):
        yield Case(
            name=f"{kept} pictures of a class", data=data, net=net, count=700, fields={"epochs": 10}, change=rare(kept),
            wanted=("rare_classes",), allowed=FITTED,
        )  # fmt: skip

    for data, net, by in (
        ("digits", mlp(128, 64), (0.0, 1 / 255)),
        ("mnist_half", CNN, (0.0, 1 / 255)),
        ("fashion_mnist_half", CNN, (0.0, 40.0)),
        ("digits", mlp(64, act="tanh"), (0.0, 1 / 255)),
    ):
        yield Case(
            name=f"pictures divided by {by[1]:.3g}", data=data, net=net, count=700, fields={"epochs": 6}, normalized=by,
            wanted=("input_scale",), allowed=(*TOO_LARGE, "symmetric_units", "underfitting"),
        )  # fmt: skip

    for data, net, how in (
        ("digits", CNN_BN, "inverted"),
        ("mnist_half", CNN, "inverted"),
        ("fashion_mnist_half", CNN, "pale"),
        ("digits", mlp(128, 64), "noisy"),
        ("fashion_mnist_half", CNN, "dark"),
    ):
        yield Case(
            name=f"{how} validation pictures",
            data=data,
            net=net,
            count=800,
            fields={"epochs": 8},
            change=other_val(how),
            wanted=("val_differs",),
        )

    for share, data, net in ((1.0, "digits", CNN_BN), (0.3, "mnist_half", CNN), (1.0, "cifar10_half", CNN), (0.5, "flowers_half", CNN_BN)):
        yield Case(
            name=f"{100 * share:.0f} % of val leaked", data=data, net=net, count=300, fields={"epochs": 15}, change=leaked(share),
            wanted=("leak",), allowed=FITTED,
        )  # fmt: skip

    brief = {"wanted": ("underfitting",)}
    for data, net, count, more in (
        ("mnist_half", CNN, 300, {"epochs": 3, "batch_size": 128, "learning_rate": 1e-3}),
        ("digits", mlp(128, 64), 300, {"epochs": 4, "batch_size": 64, "learning_rate": 1e-3}),
        ("fashion_mnist_half", mlp(64), 200, {"epochs": 4, "batch_size": 64, "learning_rate": 5e-4}),
        ("cifar10_half", CNN, 600, {"epochs": 3, "batch_size": 64, "learning_rate": 1e-3}),
    ):
        yield Case(name="too few epochs", data=data, net=net, count=count, fields=more, **brief)

    for data, net, parts in (
        ("digits", mlp(24, 24, 24, 24), ("hidden1", "hidden2", "hidden3", "hidden4")),
        ("mnist_half", plain(6), tuple(f"block{i}" for i in range(1, 7))),
        ("digits", plain(5), tuple(f"block{i}" for i in range(1, 6))),
    ):
        yield Case(
            name="frozen random layers", data=data, net=net, count=600, fields={"epochs": 8, "freeze": parts},
            wanted=("frozen_at_random",), allowed=(*STATES, "underfitting"),
        )  # fmt: skip

    for data, count, more in (
        ("digits", 100, {"epochs": 8, "batch_size": 64}),
        ("digits", 200, {"epochs": 4, "batch_size": 64}),
        ("flowers_half", 100, {"epochs": 6, "batch_size": 32}),
        ("mnist_half", 90, {"epochs": 6, "batch_size": 32}),
    ):
        yield Case(
            name="batch norm of few updates", data=data, net=COMPACT, count=count, fields={**more, "learning_rate": 0.1},
            wanted=("batch_norm_unsettled",), allowed=(*FITTED, "underfitting"),
        )  # fmt: skip

    for data, net, more in (
        ("digits", mlp(*[64] * 8), {"epochs": 4, "set": {"settings.init": "normal", "settings.init_scale": 0.6}}),
        ("digits", mlp(128, 64), {"epochs": 6, "optimizer": "sgd", "learning_rate": 100.0}),
        ("mnist_half", CNN, {"epochs": 4, "optimizer": "sgd", "learning_rate": 1e4}),
    ):
        yield Case(name="an exploding loss", data=data, net=net, count=600, fields=more, wanted=TOO_LARGE, allowed=("underfitting",))


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "long": {"epochs": 2.5},
    "short": {"epochs": 0.6},
    "augmentation": {"policy": "trivial"},
    "erasing": {"erasing": 0.25, "set": {"augmentation.rotation": 10.0}},
    "mixup": {"mixup": 0.4},
    "mixup and cutmix": {"mixup": 0.2, "cutmix": 1.0},
    "mean of weights": {"ema": 0.9},
    "smoothing": {"smoothing": 0.1},
    "one cycle": {"schedule": "one_cycle"},
    "constant rate": {"schedule": "constant"},
    "steps": {"schedule": "multi_step"},
    "no augmentation": NO_AUG,
    "patience": {"patience": 5},
    "sorted by class": {"change": sorted_by_class},
    "two classes": {"change": two_classes},
    "uneven classes": {"change": mild_imbalance},
    "transfer": {"pretrain": True},
    "frozen transfer": {"pretrain": True, "freeze": True},
    "AdamW": {"optimizer": "adamw", "learning_rate": 2e-3},
}
SUBJECTS: tuple[tuple[str, Build, int, int, str], ...] = (
    ("digits", CNN_BN, 700, 12, "stage1"),
    ("mnist_half", CNN, 1000, 10, "stage1"),
    ("fashion_mnist_half", CNN, 1000, 10, "stage1"),
    ("digits", mlp(128, 64), 700, 20, "hidden1"),
    ("flowers_half", CNN_BN, 160, 30, "stage1"),
    ("cifar10_half", CNN, 1000, 8, "stage1"),
    ("digits", COMPACT, 400, 10, "stage1"),
    ("mnist_half", mlp(128, 64), 1000, 10, "hidden1"),
    ("digits", RESNET, 200, 6, "stage1"),
    ("mnist", LENET, 500, 8, "c1"),
    ("fashion_mnist_half", CNN_BN, 1000, 8, "stage1"),
)


def healthy() -> Iterator[Case]:
    """Trainings without a fault: each variant on some of the subjects."""
    place = 0
    for name, more in VARIANTS.items():
        for _ in range(3):
            data, net, count, epochs, first = SUBJECTS[place % len(SUBJECTS)]
            place += 1
            fields = {
                "epochs": epochs,
                **{key: value for key, value in more.items() if key not in ("epochs", "change", "pretrain", "freeze")},
            }
            fields["epochs"] = max(4, round(epochs * more.get("epochs", 1.0)))
            if more.get("freeze"):
                fields["freeze"] = (first,)
            yield Case(
                name=name, data=data, net=net, count=count, fields=fields, change=more.get("change"), pretrain=bool(more.get("pretrain")),
                allowed=FITTED if data in ("flowers_half", "cifar10_half") else (),
            )  # fmt: skip
