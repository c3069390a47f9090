"""Restricted Boltzmann machines beside scikit-learn's BernoulliRBM, at equal pseudo-likelihood: `classic_rbm [digits mnist] [--rounds N]`.

Once with the same rate, batch, epochs and persistent chains on both sides, and once with ours in settings of its own that reach at least
the peer's pseudo-likelihood. Both alternate in one process, round after round.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from classic import Contest, table_of
from sheet import Sheet, write_sheet
from sklearn.datasets import load_digits
from sklearn.neural_network import BernoulliRBM

from striate.core.images import ImageSpec
from striate.data.sources import open_data
from striate.estimators import RestrictedBoltzmann

MNIST = ImageSpec(height=28, width=28, channels=1, mean=(0.0,), std=(1.0,))
NUM_JUDGED = 500  # samples that the pseudo-likelihood is a mean over
NUM_MNIST = 10_000


def main() -> None:
    """Measure and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["digits", "mnist"], metavar="NAME", help="digits or mnist")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    write_sheet(*classic_rbm(arguments.names, arguments.rounds))


def classic_rbm(names: Sequence[str], rounds: int) -> Sheet:
    """Run the contests."""
    rows = table_of(itertools.chain.from_iterable(map(contests, names)), rounds)
    notes = [
        "Settings of our own: CD-1, batches of 20 or 50, a higher rate with momentum, and fewer or as many epochs.",
        f"Median (smallest to largest) of {rounds} rounds in one process, in which ours and the peer's alternate.",
        "Each trains once uncounted. PL is the mean pseudo-likelihood of 500 samples, in nats, of both by the same function.",
        f"Digits are scikit-learn's 1,797 of 8 x 8; of MNIST it is the first {NUM_MNIST:,} training pictures. Grey is a share of being on.",
        "The peer gets the pictures in float64, as it is used mostly, and in float32, where it is faster.",
        f"scikit-learn {importlib.metadata.version('scikit-learn')}",
    ]
    return Sheet("classic_rbm", "Restricted Boltzmann machine beside scikit-learn's", rows, notes)


def contests(name: str) -> Iterator[Contest]:
    """One data set, batches of the peer's default size and larger ones, two precisions of the peer."""
    own: dict[str, Any]  # settings that reach the peer's pseudo-likelihood sooner
    if name == "digits":
        images, num_hidden, epochs, rate = load_digits().data / 16, 64, 20, 0.06
        own = {"learning_rate": 0.2, "momentum": 0.5, "batch_size": 20, "max_iter": 6}
    else:
        images = open_data("mnist").read("train", spec=MNIST).images[:NUM_MNIST].reshape(NUM_MNIST, 784) / 255
        num_hidden, epochs, rate = 500, 1, 0.02
        own = {"learning_rate": 0.1, "momentum": 0.5, "batch_size": 50, "max_iter": 1}
    for kind in (np.float64, np.float32):
        samples = images.astype(kind)
        for batch_size in (10, 100):
            same = {"learning_rate": rate, "batch_size": batch_size}
            choices = [("the same settings", 1, {**same, "max_iter": epochs, "persistent": True})]
            if batch_size == 10:  # the peer's default
                choices.append(("settings of our own", 3, own))
            for words, wanted, settings in choices:

                def ours(samples: np.ndarray = samples, settings: dict[str, Any] = settings) -> Any:
                    return RestrictedBoltzmann(num_hidden, device="cpu", random_state=0, **settings).fit(samples)

                def peer(samples: np.ndarray = samples, same: dict[str, Any] = same) -> Any:
                    return BernoulliRBM(num_hidden, n_iter=epochs, random_state=0, **same).fit(samples)

                def judged(net: Any, samples: np.ndarray = samples) -> str:
                    return quality(net, samples)

                task = f"{name}, {images.shape[1]} to {num_hidden}, peer's batches of {batch_size}, {words}"
                yield Contest(task, f"BernoulliRBM, {kind.__name__}", wanted, ours, peer, judged)


def quality(net: Any, samples: np.ndarray) -> str:
    """The mean pseudo-likelihood of either machine."""
    judge = RestrictedBoltzmann(len(net.components_), max_iter=0).fit(samples[:2])
    judge.components_, judge.intercept_hidden_, judge.intercept_visible_ = net.components_, net.intercept_hidden_, net.intercept_visible_
    return f"PL {judge.score_samples(samples[:: max(1, len(samples) // NUM_JUDGED)][:NUM_JUDGED]).mean():.2f}"


if __name__ == "__main__":
    main()
