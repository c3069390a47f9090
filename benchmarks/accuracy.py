"""Test accuracy with default settings: `accuracy [mnist|fashion_mnist|cifar10 ...] [--seeds N] [--steps N]`."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from sheet import spread, write_sheet

import striate

# data set: network, epochs, accuracy wanted on the test split, seeds
GOALS = {
    "mnist": ("lenet5", 5, 0.990, 3),
    "fashion_mnist": ("compact_cnn", 10, 0.92, 1),
    "cifar10": ("cifar_notes", 15, 0.72, 1),
}


def main() -> None:
    """Train, evaluate on the test split, write one sheet a data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="*", default=list(GOALS))
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--steps", type=int, help="train only so many updates, to see that it works")
    arguments = parser.parse_args()
    for data in arguments.data:
        network, epochs, wanted, seeds = GOALS[data]
        accuracies, seconds = [], []
        for seed in range(arguments.seeds or seeds):
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                run = Path(folder) / "run"
                striate.train(data, network=network, epochs=epochs, steps=arguments.steps, seed=seed, output=run)
                seconds.append(time.perf_counter() - started)
                accuracies.append(striate.evaluate(run, split="test").accuracy)
            print(f"{data} {network} seed {seed}: test accuracy {accuracies[-1]:.4f} after {seconds[-1]:.0f} s", flush=True)
        row = [f"`striate train {data} --model {network} --epochs {epochs}`", f"{statistics.mean(accuracies):.4f}", f"{wanted:.3f}"]
        row += [spread(accuracies, ".4f"), spread(seconds, ".0f")]
        write_sheet(
            f"accuracy_{data}",
            f"Test accuracy of {network} on {data}",
            [["command", "mean test accuracy", "wanted", "median (spread)", "seconds to train"], row],
            ["10 % of the training split is held out for choosing the epoch; the test split is read once, at the end."],
        )


if __name__ == "__main__":
    main()
