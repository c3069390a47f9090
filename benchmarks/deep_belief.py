"""A deep belief network on MNIST, its test error and its samples of each label: `deep_belief [--full | --digits] [--seed N]`.

The short form is 784-256-256-10; `--full` is the published 784-500-500-2000-10; `--digits` is the defaults on scikit-learn's digits, from
five seeds. `--epochs N M` tries other numbers of epochs, and `--images N` fewer pictures; neither writes a sheet.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from sheet import spread, write_sheet
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

import striate
from striate.core.images import ImageSpec
from striate.data.decode import fit_image
from striate.data.sources import open_data
from striate.estimators import DeepBelief

MNIST = ImageSpec(height=28, width=28, channels=1, mean=(0.0,), std=(1.0,))
FORMS: dict[str, dict[str, Any]] = {
    "short": {
        "hidden_layer_sizes": (256, 256),
        "pretrain_max_iter": 15,
        "n_steps": 10,
        "batch_size": 50,
        "max_iter": 20,
        "learning_rate": 2e-3,
        "dropout": 0.1,
    },
    "full": {
        "hidden_layer_sizes": (500, 500, 2000),
        "pretrain_max_iter": 30,
        "n_steps": 10,
        "max_iter": 40,
        "learning_rate": 1e-3,
        "dropout": 0.3,
    },
}
WANTED = {"short": 2.5, "full": 1.5}  # test error in per cent
NUM_SAMPLES = 50  # a label
DIGITS_SEEDS, DIGITS_WANTED = 5, 90  # per cent of samples that are judged right


def main() -> None:
    """Train, measure, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, nargs=2, metavar=("PRETRAINING", "FINE_TUNING"))
    parser.add_argument("--images", type=int, help="train on so many pictures only")
    parser.add_argument("--digits", action="store_true")
    chosen = parser.parse_args()
    if chosen.digits:
        defaults_on_digits()
        return
    form = "full" if chosen.full else "short"
    settings = dict(FORMS[form])
    if chosen.epochs:
        settings["pretrain_max_iter"], settings["max_iter"] = chosen.epochs
    source = open_data("mnist")
    train, test = source.read("train", spec=MNIST), source.read("test", spec=MNIST)
    images, test_images = (part.images.reshape(len(part), 784).astype(np.float32) / 255 for part in (train, test))
    images, y = images[: chosen.images], train.labels[: chosen.images]

    started = time.perf_counter()
    net = DeepBelief(**settings, random_state=chosen.seed).fit(images, y)
    seconds = time.perf_counter() - started
    error = 100 * (1 - net.score(test_images, test.labels))
    before = 100 * np.mean(net.machine_proba(test_images).argmax(1) != test.labels)
    print(f"{form}: test error {error:.2f} %, before back-propagation {before:.2f} %, {seconds:.0f} s", flush=True)
    for level, errors in enumerate(net.reconstruction_errors_, start=1):
        print(f"machine {level}: mean square of the reconstruction {errors[0]:.4f} to {errors[-1]:.4f}")
    agreement = judged_samples(net)
    print(f"samples of a label that an independent network takes for it: {100 * agreement:.1f} %", flush=True)
    if chosen.epochs or chosen.images:
        return
    sizes = "-".join(map(str, (784, *settings["hidden_layer_sizes"], 10)))
    write_sheet(
        f"deep_belief_{form}",
        f"A deep belief network on MNIST, {form} form",
        [
            ["network", "test error, %", "wanted, at most", "before back-propagation, %", "samples judged right, %", "wanted", "seconds"],
            [sizes, f"**{error:.2f}**", f"{WANTED[form]:g}", f"{before:.2f}", f"**{100 * agreement:.1f}**", "80", f"{seconds:.0f}"],
        ],
        [
            f"Settings: {settings}, seed {chosen.seed}; all 60,000 training pictures; the test split is read once, at the end.",
            f"Samples: {NUM_SAMPLES} a label, 500 draws of the topmost machine each; the judge is lenet5 after 3 epochs.",
            "Before back-propagation: the answers of the topmost machine, from its free energy with each label.",
        ],
    )


def defaults_on_digits() -> None:
    """Fit from each seed with no setting changed, a process each, and write the sheet."""
    with ProcessPoolExecutor(DIGITS_SEEDS) as processes:
        found = list(processes.map(digits_of_seed, range(DIGITS_SEEDS)))
    accuracies, shares, worst, seconds = zip(*found, strict=True)
    write_sheet(
        "deep_belief_digits",
        "A deep belief network on scikit-learn's digits, at its defaults",
        [
            ["network", "test accuracy", "samples judged right, %", "wanted", "of the worst label, %", "processor seconds of fit"],
            [
                "64-256-256-10",
                spread(accuracies, ".3f"),
                f"**{spread(shares, '.1f')}**",
                f"{DIGITS_WANTED}",
                spread(worst, ".0f"),
                spread(seconds, ".0f"),
            ],
        ],
        [
            f"Median, smallest and largest of {DIGITS_SEEDS} seeds; 1,347 digits to learn from, 450 to test on, values of 0 to 1.",
            f"Samples: {NUM_SAMPLES} a label, 500 draws of the topmost machine each; the judge is the 3 nearest training digits.",
        ],
    )


def digits_of_seed(seed: int) -> tuple[float, float, float, float]:
    """Test accuracy, the per cent of samples judged right, of all labels and of the worst, and the seconds of one core that fit took."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.25, stratify=y, random_state=0)
    started = time.process_time()
    net = DeepBelief(random_state=seed, device="cpu").fit(X, y)
    seconds = time.process_time() - started
    judge = KNeighborsClassifier(3).fit(X, y)
    right = [100 * float(np.mean(judge.predict(net.sample(NUM_SAMPLES, label)) == label)) for label in range(10)]
    return net.score(X_test, y_test), float(np.mean(right)), min(right), seconds


def judged_samples(net: DeepBelief) -> float:
    """The share of samples that a convolutional network takes for their label."""
    with tempfile.TemporaryDirectory() as folder:
        striate.train("mnist", network="lenet5", epochs=3, seed=1, output=Path(folder) / "judge")
        judge = striate.load(Path(folder) / "judge")
    right = []
    for label in range(10):
        pictures = (net.sample(NUM_SAMPLES, label) * 255).round().astype(np.uint8).reshape(NUM_SAMPLES, 28, 28, 1)
        images = np.stack([fit_image(picture, judge.images) for picture in pictures])
        right.append(np.mean(judge.outputs(images).argmax(1) == label))
    print("by label:", " ".join(f"{100 * share:.0f}" for share in right))
    return float(np.mean(right))


if __name__ == "__main__":
    main()
