"""MNIST under attack, with and without adversarial training; and turned pictures: `adversarial [--attack pgd|fgsm] [--epochs N]`.

Each network is attacked on test pictures, which neither its training nor the choice of its epoch has seen. Wanted: under FGSM with eps 0.3
(of a pixel's range) less than 30 % for the network that is trained as usual, and more than 85 % for the one that is trained against it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from sheet import write_sheet

import striate
from striate.data.sources import open_data
from striate.insight.attack import PixelModel, accuracy_curve, bounded_attack, rotated
from striate.workflows.attack import DEGREES

NETWORK, EPS = "mnist_notes", (0.0, 0.1, 0.2, 0.3)
PGD_IMAGES = 1000  # of 10,000; FGSM and turns have them all


def main() -> None:
    """Train both, attack both, write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attack", choices=["fgsm", "pgd"], default="pgd", help="that is trained against")
    parser.add_argument("--epochs", type=int, default=6, help="against the attack; as usual it trains 3")
    parser.add_argument("--steps", type=int, help="train only so many updates, to see that it works")
    parser.add_argument("--images", type=int, default=10_000, help="test pictures to attack")
    arguments = parser.parse_args()
    against = {"adversarial": arguments.attack, "adversarial_eps": EPS[-1]}
    attacks, turns, notes = [], [], []
    for words, epochs, more in (("as usual", 3, {}), (f"against {arguments.attack}, eps {EPS[-1]}", arguments.epochs, against)):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            length: dict[str, Any] = {"steps": arguments.steps} if arguments.steps else {"epochs": epochs}
            report = striate.train("mnist", network=NETWORK, output=Path(folder) / "run", **length, **more)
            seconds = time.perf_counter() - started
            model = striate.load(report.run)
        test = open_data("mnist").read("test", spec=model.images).take(range(arguments.images))
        images = torch.from_numpy(test.images).permute(0, 3, 1, 2).float() / 255  # (N, C, H, W)
        labels, pixels = torch.from_numpy(test.labels), PixelModel(model.module)
        for name, number in (("fgsm", len(images)), ("pgd", min(PGD_IMAGES, len(images)))):
            curve = accuracy_curve(pixels, images[:number], labels[:number], EPS, bounded_attack(name, norm="linf", steps=20))
            attacks.append([words, name, f"{number:,}", *(f"{100 * value:.1f} %" for value in curve.accuracies)])
        right = [(model.outputs(rotated(test.images, degrees)).argmax(1) == test.labels).mean() for degrees in DEGREES]
        turns.append([words, f"turned by {', '.join(f'{degrees:g}' for degrees in DEGREES)} degrees"] + [f"{100 * v:.1f} %" for v in right])
        notes.append(f"trained {words}: {report.epochs} epochs in {seconds:.0f} s")
    header = ["trained", "attack", "pictures", *(f"eps {eps:g}" for eps in EPS)]
    notes += [f"{row[0]}, {row[1]}: {', '.join(row[2:])}" for row in turns]
    notes.append("PGD makes 20 steps from FGSM's place and 20 from a random one, and keeps the worst; eps in the maximum norm")
    write_sheet("adversarial", f"{NETWORK} on MNIST under attack", [header, *attacks], notes)


if __name__ == "__main__":
    main()
