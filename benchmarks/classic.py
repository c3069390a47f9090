"""Classical networks beside their peers, same data and settings: `classic [NAME ...] [--rounds N]`.

Ours and the peer's alternate in one process, round after round; before the first round each runs once uncounted. Quality is measured
after the clock stopped.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import itertools
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from sheet import Sheet, spread, write_sheet
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

PEERS = ("minisom", "scikit-learn", "artlib", "hopfieldnetwork")


class Contest(NamedTuple):
    """One task for both. Each side gives back what `quality` puts in words, or what decides that the task was the same."""

    task: str
    peer: str
    wanted: float  # ratio
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    quality: Callable[[Any], str]


def main() -> None:
    """Measure and write the sheet."""
    contests = ("som", "mlp", "art", "hopfield")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=contests, metavar="NAME", help=f"of {', '.join(contests)}")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in contests]:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(contests)}")
    write_sheet(*classic(arguments.names, arguments.rounds))


def classic(names: Sequence[str], rounds: int) -> Sheet:
    """Run the contests."""
    kinds = {"som": som, "mlp": mlp, "art": art, "hopfield": hopfield}
    rows = table_of(itertools.chain.from_iterable(kinds[name]() for name in names), rounds)
    return Sheet("classic", "Classical networks beside their peers", rows, notes(rounds))


def table_of(contests: Iterable[Contest], rounds: int) -> list[list[str]]:
    """The heading, and a row for each contest."""
    rows = [["task", "Striate, s", "peer", "peer, s", "ratio", "wanted", "Striate's result", "peer's result"]]
    for contest in contests:
        rows.append(row_of(contest, rounds))
        print(" | ".join(rows[-1]), flush=True)
    return rows


def row_of(contest: Contest, rounds: int) -> list[str]:
    """One row of the sheet; a ratio is taken within each round."""
    ours, theirs = contest.ours(), contest.theirs()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, work in zip(seconds, (contest.ours, contest.theirs), strict=True):
            started = time.perf_counter()
            work()
            side.append(time.perf_counter() - started)
    ratios = [peer / own for own, peer in zip(*seconds, strict=True)]
    return [
        contest.task,
        spread(seconds[0]),
        contest.peer,
        spread(seconds[1]),
        f"**{statistics.median(ratios):.1f}** ({min(ratios):.1f} to {max(ratios):.1f})",
        f"{contest.wanted:g}",
        contest.quality(ours),
        contest.quality(theirs),
    ]


def notes(rounds: int) -> list[str]:
    """What the figures are."""
    installed = {package.name.lower() for package in importlib.metadata.distributions()}
    return [
        f"Median (smallest to largest) of {rounds} rounds in one process, in which ours and the peer's alternate.",
        "Digits are scikit-learn's 1,797 of 8 x 8, divided by 16; a quarter is held out where errors or accuracy are given.",
        "The map: 30 epochs of batch training, our defaults, beside 10,000 online steps of the peer at sigma 2 and rate 0.5.",
        "The peer's own batch form gets 30 epochs too, from sigma 6. QE and TE are quantisation and topographic error on held-out digits.",
        "The multilayer perceptron: 64 sigmoids, rate 0.5, momentum 0.9, no penalty, as many epochs and batches as large on both sides.",
        "Fuzzy ART: choice 0.001, fast learning, one presentation in the order of the file.",
        "Hopfield: random patterns, 0.05 a unit, probes with a tenth of the units turned, recalled until nothing changes.",
        "We recall all probes in one call; the peer has one state, and gets them one after the other.",
        ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PEERS if name in installed),
    ]


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training digits, held-out digits, and the labels of each."""
    images, labels = load_digits(return_X_y=True)
    parts: list[np.ndarray] = train_test_split(images / 16, labels, test_size=0.25, stratify=labels, random_state=0)
    return parts[0], parts[1], parts[2], parts[3]


def som() -> Iterator[Contest]:
    """Kohonen's map of digits, 12 x 12."""
    from minisom import MiniSom

    from striate.estimators import SelfOrganizingMap

    train, test, _, _ = digits()

    def ours() -> Any:
        return SelfOrganizingMap(12, 12, random_state=0).fit(train)

    def peer(*, batch: bool) -> Any:
        net = MiniSom(12, 12, 64, sigma=6 if batch else 2, learning_rate=0.5, random_seed=0)
        net.random_weights_init(train)
        if batch:
            net.train_batch_offline(train, 30)
        else:
            net.train_random(train, 10_000)
        return net

    def quality(net: Any) -> str:
        return f"QE {net.quantization_error(test):.3f}, TE {net.topographic_error(test):.3f}"

    yield Contest("SelfOrganizingMap, digits, 12 x 12", "MiniSom, online", 10, ours, lambda: peer(batch=False), quality)
    yield Contest("SelfOrganizingMap, digits, 12 x 12", "MiniSom, batch", 10, ours, lambda: peer(batch=True), quality)


def mlp() -> Iterator[Contest]:
    """Back-propagation on digits, 64 hidden sigmoids."""
    from sklearn.neural_network import MLPClassifier

    from striate.estimators import MultilayerPerceptron

    train, test, train_labels, test_labels = digits()

    def ours(batch_size: int) -> Any:
        net = MultilayerPerceptron((64,), learning_rate=0.5, batch_size=batch_size, max_iter=40, tol=0, standardize=False, random_state=0)
        return net.fit(train, train_labels)

    def peer(batch_size: int) -> Any:
        net = MLPClassifier(
            (64,),
            activation="logistic",
            solver="sgd",
            alpha=0,
            learning_rate_init=0.5,
            nesterovs_momentum=False,
            batch_size=batch_size,
            max_iter=40,
            n_iter_no_change=40,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it ends before it converged, as it should
            return net.fit(train, train_labels)

    for size in (32, 200):
        yield Contest(
            f"MultilayerPerceptron, digits, 40 epochs, batches of {size}",
            "MLPClassifier",
            1,
            lambda size=size: ours(size),  # type: ignore[misc]  # the loop's own
            lambda size=size: peer(size),  # type: ignore[misc]
            lambda net: f"accuracy {net.score(test, test_labels):.3f}",
        )


def art() -> Iterator[Contest]:
    """Fuzzy ART on digits under three vigilances."""
    if importlib.util.find_spec("artlib") is None:
        print("fuzzy ART is left out: artlib has no wheel for this machine")
        return
    from artlib import FuzzyART as Peer

    from striate.estimators import FuzzyART

    images = load_digits().data / 16

    def peer(vigilance: float) -> Any:
        net = Peer(rho=vigilance, alpha=1e-3, beta=1.0)
        return net.fit(net.prepare_data(images))

    for vigilance in (0.5, 0.7, 0.8):
        yield Contest(
            f"FuzzyART, digits, vigilance {vigilance:g}",
            "artlib",
            10,
            lambda vigilance=vigilance: FuzzyART(vigilance=vigilance).fit(images).labels_,  # type: ignore[misc]  # as above
            lambda vigilance=vigilance: peer(vigilance).labels_,  # type: ignore[misc]
            lambda labels: f"{labels.max() + 1} categories, sum of labels {labels.sum()}",
        )


def hopfield() -> Iterator[Contest]:
    """Recall of noisy patterns."""
    from hopfieldnetwork import HopfieldNetwork

    from striate.estimators import Hopfield

    for units, count, update in ((500, 200, "asynchronous"), (1000, 200, "asynchronous"), (1000, 200, "synchronous")):
        generator = np.random.default_rng(0)
        stored = generator.choice([-1, 1], (units // 20, units))
        truth = stored[np.arange(count) % len(stored)]
        probes = np.where(generator.random(truth.shape) < 0.1, -truth, truth)
        net = Hopfield(update=update, random_state=0).fit(stored)
        other = HopfieldNetwork(N=units)
        other.train_pattern(stored.T.astype("int8"))

        def peer(other: Any = other, probes: np.ndarray = probes, update: str = update) -> np.ndarray:
            states = []
            for probe in probes.astype("int8"):
                other.set_initial_neurons_state(probe)
                other.update_neurons(1, update.removesuffix("hronous"), run_max=True)
                states.append(other.S)
            return np.array(states)

        yield Contest(
            f"Hopfield, {update}, {units} units, {len(stored)} patterns, {count} probes",
            "hopfieldnetwork",
            10,
            lambda net=net, probes=probes: net.predict(probes),  # type: ignore[misc]  # as above
            peer,
            lambda states, truth=truth: f"overlap {(states * truth).mean():.4f}",  # type: ignore[misc]
        )


if __name__ == "__main__":
    main()
