"""Does training the first layers without labels help, where labels are few? MNIST with 50 labels a class, five seeds.

Run: python benchmarks/pretraining.py sigmoid|relu [--seeds 5]. Prints test accuracies; the network begins with equal weights both times.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np

from striate.core.images import ImageSpec
from striate.data.augmentation.record import Augmentation
from striate.data.records import ImageSet
from striate.data.sources import open_data
from striate.estimators.generative.pretraining import pretrain_first_layers
from striate.models.fitting import Fitting, begun, default_settings, fit_images
from striate.models.model import Model
from striate.networks.catalog import network
from striate.networks.layers import Activation, Chain, Flatten, Linear
from striate.networks.model_file import ModelFile
from striate.networks.network import Network

LABELS_A_CLASS = 50
SPEC = ImageSpec(height=28, width=28, channels=1, mean=(0.1307,), std=(0.3081,))


class Case(NamedTuple):
    """A network, how long it trains, and what it is pretrained with."""

    network: Network
    epochs: int
    layers: int  # that are pretrained
    pretraining_epochs: int
    num_unlabelled: int


def sigmoid_network() -> Network:
    """Three dense layers of 256 sigmoids."""
    hidden = [layer for _ in range(3) for layer in (Linear(256), Activation("sigmoid"))]
    return Network("sigmoid", (1, 28, 28), Chain(Flatten(), *hidden, Linear(10)))


CASES = {
    "sigmoid": Case(sigmoid_network(), 40, 3, 5, 20_000),
    "relu": Case(network("mnist_notes_fixed", num_classes=10, in_channels=1, input_size=28), 15, 2, 1, 5_000),
}


def accuracy(case: Case, few: ImageSet, unlabelled: np.ndarray | None, test: ImageSet, seed: int) -> float:
    """The test accuracy of `case` trained on `few`, its first layers trained on `unlabelled` before, where there are some."""
    settings = default_settings(case.network, len(few), seed=seed, epochs=case.epochs, precision="float32", device="cpu")
    fitting = Fitting(network=case.network, images=SPEC, classes=few.classes, settings=settings, augmentation=Augmentation())
    if unlabelled is not None:
        module = begun(fitting, few)
        pretrain_first_layers(module, unlabelled, num_layers=case.layers, epochs=case.pretraining_epochs, seed=seed)
        fitting = Fitting(**{**vars(fitting), "start": module.network.state_dict()})
    run = fit_images(fitting, few, None)
    for _ in run.events:
        pass
    trained = case.network.build().eval()
    trained.load_state_dict(run.state())
    model = Model(ModelFile(case.network, trained, few.classes, SPEC, {}))
    return float((model.outputs(test.images).argmax(1) == test.labels).mean())


def main() -> None:
    """Print a line a seed, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args()
    case, source = CASES[chosen.case], open_data("mnist")
    train, test = source.read("train", spec=SPEC), source.read("test", spec=SPEC)
    rows = []
    for seed in range(chosen.seeds):
        rng = np.random.default_rng(seed)
        few = train.take(np.concatenate([rng.choice(np.flatnonzero(train.labels == k), LABELS_A_CLASS, replace=False) for k in range(10)]))
        unlabelled = train.images[rng.choice(len(train), case.num_unlabelled, replace=False)]
        rows.append((accuracy(case, few, None, test, seed), accuracy(case, few, unlabelled, test, seed)))
        print(f"seed {seed}: fresh {rows[-1][0]:.4f}, pretrained {rows[-1][1]:.4f}", flush=True)
    fresh, pretrained = np.mean(rows, axis=0)
    print(f"mean: fresh {fresh:.4f}, pretrained {pretrained:.4f}")


if __name__ == "__main__":
    main()
