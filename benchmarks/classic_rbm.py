"""Restricted Boltzmann machines beside scikit-learn's BernoulliRBM, at equal pseudo-likelihood: `classic_rbm [digits mnist] [--rounds N]`.

Both learn with persistent chains, the same rate, batch and epochs, and alternate in one process, round after round.
"""

from __future__ import annotations

import argparse
import importlib.metadata
from collections.abc import Iterator
from typing import Any

import numpy as np
from classic import Contest, row_of
from sheet import write_sheet
from sklearn.datasets import load_digits
from sklearn.neural_network import BernoulliRBM

from striate.core.images import ImageSpec
from striate.data.sources import open_data
from striate.estimators import RestrictedBoltzmann

MNIST = ImageSpec(height=28, width=28, channels=1, mean=(0.0,), std=(1.0,))
NUM_JUDGED = 500  # samples that the pseudo-likelihood is a mean over
NUM_MNIST = 10_000


def main() -> None:
    """Run the contests and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["digits", "mnist"], choices=["digits", "mnist"])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rows = [["task", "Striate, s", "peer", "peer, s", "ratio", "wanted", "Striate's result", "peer's result"]]
    for name in arguments.names:
        for contest in contests(name):
            rows.append(row_of(contest, arguments.rounds))
            print(" | ".join(rows[-1]), flush=True)
    notes = [
        f"Median (smallest to largest) of {arguments.rounds} rounds in one process, in which ours and the peer's alternate.",
        "Each trains once uncounted. PL is the mean pseudo-likelihood of 500 samples, in nats, of both by the same function.",
        f"Digits are scikit-learn's 1,797 of 8 x 8; of MNIST it is the first {NUM_MNIST:,} training pictures. Grey is a share of being on.",
        "The peer gets the pictures in float64, as it is used mostly, and in float32, where it is faster.",
        f"scikit-learn {importlib.metadata.version('scikit-learn')}",
    ]
    write_sheet("classic_rbm", "Restricted Boltzmann machine beside scikit-learn's", rows, notes)


def contests(name: str) -> Iterator[Contest]:
    """One data set, batches of the peer's default size and larger ones, two precisions of the peer."""
    if name == "digits":
        images, num_hidden, epochs, rate = load_digits().data / 16, 64, 20, 0.06
    else:
        images = open_data("mnist").read("train", spec=MNIST).images[:NUM_MNIST].reshape(NUM_MNIST, 784) / 255
        num_hidden, epochs, rate = 500, 1, 0.02
    for batch_size in (10, 100):
        for kind in (np.float64, np.float32):
            samples = images.astype(kind)
            settings = {"learning_rate": rate, "batch_size": batch_size, "random_state": 0}

            def ours(samples: np.ndarray = samples, settings: dict[str, Any] = settings) -> Any:
                return RestrictedBoltzmann(num_hidden, max_iter=epochs, persistent=True, device="cpu", **settings).fit(samples)

            def peer(samples: np.ndarray = samples, settings: dict[str, Any] = settings) -> Any:
                return BernoulliRBM(num_hidden, n_iter=epochs, **settings).fit(samples)

            task = f"{name}, {images.shape[1]} to {num_hidden} units, {epochs} epochs, batches of {batch_size}"
            peer_name = f"BernoulliRBM, {kind.__name__}"
            yield Contest(task, peer_name, 3, ours, peer, lambda net, samples=samples: quality(net, samples))  # type: ignore[misc]


def quality(net: Any, samples: np.ndarray) -> str:
    """The mean pseudo-likelihood of either machine."""
    judge = RestrictedBoltzmann(len(net.components_), max_iter=0).fit(samples[:2])
    judge.components_, judge.intercept_hidden_, judge.intercept_visible_ = net.components_, net.intercept_hidden_, net.intercept_visible_
    return f"PL {judge.score_samples(samples[:: max(1, len(samples) // NUM_JUDGED)][:NUM_JUDGED]).mean():.2f}"


if __name__ == "__main__":
    main()
