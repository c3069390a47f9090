"""How much a Hopfield network holds: overlap after recall, and errors of the first step, over the load: `hopfield_capacity [--seeds N]`."""

from __future__ import annotations

import argparse
import statistics
import warnings

import numpy as np
from scipy.special import erfc
from sheet import write_sheet

from striate.estimators import Hopfield

LOADS = (0.05, 0.10, 0.12, 0.138, 0.15, 0.17, 0.20, 0.30)
TRIED = 20  # patterns that are recalled of each network
MEASURED = {0.05: "1.000", 0.10: "0.998", 0.12: "0.986", 0.138: "0.917", 0.15: "0.875", 0.17: "0.60", 0.20: "0.32"}


def main() -> None:
    """Measure each load and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    seeds = parser.parse_args().seeds
    rows = [
        ["patterns a unit", "overlap, 1,000 units", "another implementation", "overlap, 500 units, noisy", "first step wrong", "theory"]
    ]
    for load in LOADS:
        large = [one_network(1000, load, seed, noise=0.0) for seed in range(seeds)]
        small = [one_network(500, load, seed, noise=0.1) for seed in range(seeds)]
        rows.append(
            [
                f"{load:g}",
                around([overlap for overlap, _ in large]),
                MEASURED.get(load, ""),
                around([overlap for overlap, _ in small]),
                around([wrong for _, wrong in large], ".4f"),
                f"{erfc(1 / np.sqrt(2 * load)) / 2:.4f}",
            ]
        )
        print(" | ".join(rows[-1]), flush=True)
    write_sheet(
        "hopfield_capacity",
        "What a Hopfield network holds",
        rows,
        [
            f"Mean and deviation over {seeds} networks of random patterns; {TRIED} patterns of each are recalled unit by unit.",
            "Overlap: the mean product of recalled and stored units; 1 is exact, 0 is chance.",
            "The 1,000 units begin at the pattern itself, the 500 units with a tenth of them turned.",
            "First step wrong: the share of the units, over all patterns of the 1,000 units, that one step of all at once turns away.",
            "Theory: erfc(1 / sqrt(2 load)) / 2, for Gaussian crosstalk.",
            "Endlessly many units hold 0.138 patterns a unit (Amit, Gutfreund and Sompolinsky, 1985); so few as here blur the edge.",
            "The other implementation: one network of 1,000 units in plain NumPy, written apart from this one.",
        ],
    )


def one_network(units: int, load: float, seed: int, *, noise: float) -> tuple[float, float]:
    """The overlap after recall, and the share of wrong units after one step from all patterns."""
    generator = np.random.default_rng(seed)
    stored = generator.choice([-1, 1], (round(load * units), units))
    probes = np.where(generator.random((TRIED, units)) < noise, -1, 1) * stored[:TRIED]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this is more than it holds
        net = Hopfield(random_state=seed).fit(stored)
    overlap = float((net.predict(probes) * stored[:TRIED]).mean())
    return overlap, float((net.step(stored) != stored).mean())


def around(values: list[float], form: str = ".3f") -> str:
    """Mean and deviation."""
    return f"{statistics.mean(values):{form}} ± {statistics.stdev(values) if len(values) > 1 else 0:{form}}"


if __name__ == "__main__":
    main()
