"""Do side branches help? A small GoogLeNet with and without its two auxiliary classifiers, on few pictures of Fashion-MNIST.

Run: ./scripts/bench side_branches [--seeds N] [--images N] [--epochs N] [--norm]. Both networks of a seed
start from the same weights and see the same batches; the branches have 0.3 of the loss each while training, and are gone afterwards.
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np
from sheet import spread, write_sheet

from striate.core.images import ImageSpec
from striate.core.intervals import paired_difference
from striate.data.augmentation.record import Augmentation
from striate.data.records import ImageSet
from striate.data.sources import open_data
from striate.models.fitting import Fitting, default_settings, fit_images
from striate.models.model import Model
from striate.networks.families.googlenet import Inception, halve, modules, unit_bias, unit_bn
from striate.networks.layers import Activation, Chain, Dropout, Flatten, GlobalPool, Linear, Pool
from striate.networks.model_file import ModelFile
from striate.networks.network import AuxiliaryHead, Network

NUM_TEST = 1000
SPEC = ImageSpec(height=28, width=28, channels=1, mean=(0.286,), std=(0.353,))
# fmt: off
#                       conv1x1  reduce3x3  conv3x3  reduce5x5  conv5x5  project     output (C, H, W)
STAGE3 = {
    "inception3a": Inception(16,        16,      24,         4,       8,       8),  # ( 56, 14, 14)
    "inception3b": Inception(24,        16,      32,         4,      12,      12),  # ( 80, 14, 14)
}
STAGE4 = {
    "inception4a": Inception(32,        24,      40,         6,      12,      12),  # ( 96,  7,  7)
    "inception4b": Inception(32,        24,      40,         6,      12,      12),  # ( 96,  7,  7)
    "inception4c": Inception(32,        24,      40,         6,      12,      12),  # ( 96,  7,  7)
    "inception4d": Inception(32,        24,      48,         6,      16,      16),  # (112,  7,  7)
}
STAGE5 = {
    "inception5a": Inception(48,        32,      64,         8,      16,      16),  # (144,  4,  4)
    "inception5b": Inception(48,        32,      64,         8,      16,      16),  # (144,  4,  4)
}
# fmt: on


def small_googlenet(*, norm: bool) -> Network:
    """The form of GoogLeNet for 28 x 28 pixels, an eighth as wide, with its branches at the same two modules."""
    unit = unit_bn if norm else unit_bias
    head = Chain(
        pool=Pool("avg", 4, stride=3),
        reduce=unit(32, 1),
        flatten=Flatten(),
        hidden=Linear(64),
        act=Activation("relu"),
        dropout=Dropout(0.7),
        linear=Linear(10),
    )
    root = Chain(
        stem=Chain(unit1=unit(16, 3), pool=halve(), unit2=unit(32, 3)),
        **modules(STAGE3, unit, 3),
        pool3=halve(),
        **modules(STAGE4, unit, 3),
        pool4=halve(),
        **modules(STAGE5, unit, 3),
        head=Chain(pool=GlobalPool("avg"), dropout=Dropout(0.2), linear=Linear(10)),
    )
    heads = tuple(AuxiliaryHead(at, head, 0.3) for at in ("inception4a", "inception4d"))
    return Network("small_googlenet", (1, 28, 28), root, heads=heads)


def accuracies(network: Network, train: ImageSet, test: ImageSet, seed: int, epochs: int) -> tuple[float, float]:
    """The accuracy on the training pictures and on the test split."""
    settings = default_settings(network, len(train), seed=seed, epochs=epochs, init="he", precision="float32", device="cpu")
    fitting = Fitting(network=network, images=SPEC, classes=train.classes, settings=settings, augmentation=Augmentation())
    run = fit_images(fitting, train, None)
    for _ in run.events:
        pass
    trained = network.build().eval()
    trained.load_state_dict(run.state())
    model = Model(ModelFile(network, trained, train.classes, SPEC, {}))
    shares = [float((model.outputs(some.images).argmax(1) == some.labels).mean()) for some in (train, test)]
    return shares[0], shares[1]


def main() -> None:
    """Train both forms from each seed, with and without batch normalization."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--norm", action="store_true", help="with batch normalization too")
    chosen = parser.parse_args()
    source = open_data("fashion_mnist")
    whole, test = source.read("train", spec=SPEC), source.read("test", spec=SPEC).take(np.arange(NUM_TEST))
    table = [
        ["batch norm", "side branches", "training accuracy", "test accuracy", "test accuracy, with less without: mean (95 % interval)"]
    ]
    for norm in (False, True)[: 1 + chosen.norm]:
        with_heads = small_googlenet(norm=norm)
        found: dict[str, list[tuple[float, float]]] = {"without": [], "with": []}
        for seed in range(chosen.seeds):
            train = whole.take(np.random.default_rng(seed).choice(len(whole), chosen.images, replace=False))
            for word, network in (("without", dataclasses.replace(with_heads, heads=())), ("with", with_heads)):
                found[word].append(accuracies(network, train, test, seed, chosen.epochs))
                print(f"norm {norm}, seed {seed}, {word}: {found[word][-1]}", flush=True)
        difference = paired_difference([test for _, test in found["with"]], [test for _, test in found["without"]])
        told = f"{difference.difference:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})" if difference else ""
        for word, pairs in found.items():
            spreads = [spread(column, ".4f") for column in zip(*pairs, strict=True)]
            table.append(["yes" if norm else "no", word, *spreads, told if word == "with" else ""])
    notes = [
        f"{chosen.images:,} training pictures a seed, {chosen.epochs} epochs, {len(test):,} test pictures; {with_heads.params:,} parameters"
    ]
    write_sheet("side_branches", "A small GoogLeNet with and without side branches", table, notes)


if __name__ == "__main__":
    main()
