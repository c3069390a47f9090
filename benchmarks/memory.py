"""How long recurrent networks remember: `memory [probe|recall|adding ...] [--quick] [--seeds N]`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from sheet import spread, write_sheet
from sklearn.linear_model import LogisticRegression

from striate.estimators import (
    ElmanClassifier,
    ElmanRegressor,
    GRUClassifier,
    GRURegressor,
    LSTMClassifier,
    LSTMRegressor,
)
from striate.estimators.sequences.padded import adding_problem, recall_problem

Table = list[list[str]]
CLASSIFIERS = {"Elman": ElmanClassifier, "GRU": GRUClassifier, "LSTM": LSTMClassifier}
REGRESSORS = {"Elman": ElmanRegressor, "GRU": GRURegressor, "LSTM": LSTMRegressor}
NOISE = 0.1  # deviation, in deviations of the states that a probe reads


def probe(quick: bool, seeds: int | None) -> tuple[Table, Sequence[str]]:
    """How well the bit of so many steps ago can be read from the states of networks that were not trained."""
    lags = (1, 2, 3, 5, 8, 12, 20)
    radii = (0.3, 0.5, 0.7, 0.9, 1.1)
    untrained = {"hidden_size": 32, "learning_rate": 1e-9, "max_iter": 1}
    networks = [(f"Elman, radius {radius}", ElmanClassifier, {"spectral_radius": radius}) for radius in radii]
    networks += [(f"LSTM, forget bias {bias:g}", LSTMClassifier, {"forget_bias": bias}) for bias in (0.0, 1.0, 3.0)]
    count, seeds = (400, seeds or 2) if quick else (2000, seeds or 5)
    rows: Table = [["network", *(f"lag {lag}" for lag in lags)]]
    for name, kind, settings in networks:
        found = np.zeros((seeds, len(lags)))
        for seed in range(seeds):
            X, y = recall_problem(2 * count, 40, random_state=seed)
            net = kind(**untrained, **settings, random_state=seed).fit(X, y)
            states = np.stack([states[-1] for states in net.states(X)])
            states += NOISE * states.std() * np.random.default_rng(seed).normal(size=states.shape)
            for place, lag in enumerate(lags):
                bits = X[:, -1 - lag, 0] > 0
                reader = LogisticRegression(max_iter=2000).fit(states[:count], bits[:count])
                found[seed, place] = reader.score(states[count:], bits[count:])
        rows.append([name, *(f"{mean:.3f}" for mean in found.mean(0))])
        print(rows[-1], flush=True)
    notes = [
        f"32 cells, not trained; streams of 41 random bits, -1 or 1; noise of {NOISE} of their deviation on the last states.",
        f"Logistic regression on {count:,} streams, accuracy on {count:,} others; means of {seeds} seeds. Chance is 0.5.",
        "A radius is the largest absolute eigenvalue of the first state weights.",
    ]
    return rows, notes


def recall(quick: bool, seeds: int | None) -> tuple[Table, Sequence[str]]:
    """The share of first bits that is told after so many random others."""
    lags = (5, 10) if quick else (5, 10, 20, 50, 100)
    count, epochs, seeds = (1000, 3, seeds or 1) if quick else (4000, 10, seeds or 3)
    rows: Table = [["network", *(f"lag {lag}" for lag in lags)]]
    cases = [("Elman", {}), ("GRU", {}), ("LSTM", {"forget_bias": 1.0}), ("LSTM", {"forget_bias": 4.0})]
    for name, settings in cases:
        row = [name + "".join(f", forget bias {bias:g}" for bias in settings.values())]
        for lag in lags:
            scores = []
            for seed in range(seeds):
                X, y = recall_problem(count, lag, random_state=seed)
                net = CLASSIFIERS[name](16, learning_rate=0.01, max_iter=epochs, random_state=seed, **settings).fit(X, y)
                scores.append(net.score(*recall_problem(1000, lag, random_state=1000 + seed)))
            row.append(spread(scores, ".3f"))
        rows.append(row)
        print(row, flush=True)
    notes = [
        f"16 cells, {count:,} sequences of random bits, {epochs} epochs of batches of 32, rate 0.01, gradients of norm 1 at most.",
        "Accuracy on 1,000 other sequences: median, smallest and largest over the seeds. Chance is 0.5.",
    ]
    return rows, notes


def adding(quick: bool, seeds: int | None) -> tuple[Table, Sequence[str]]:
    """The mean squared error of the sum of two marked numbers among 100."""
    steps, count, epochs, seeds = (30, 2000, 2, seeds or 1) if quick else (100, 10_000, 12, seeds or 3)
    X_test, y_test = adding_problem(2000, steps, random_state=1000)
    rows: Table = [["network", "mean squared error"], ["always 1", f"{np.mean((y_test - 1) ** 2):.4f}"]]
    for name, kind in REGRESSORS.items():
        errors = []
        for seed in range(seeds):
            X, y = adding_problem(count, steps, random_state=seed)
            net = kind(64, learning_rate=0.005, batch_size=50, max_iter=epochs, random_state=seed).fit(X, y)
            errors.append(float(np.mean((net.predict(X_test) - y_test) ** 2)))
        rows.append([name, spread(errors, ".4f")])
        print(rows[-1], flush=True)
    notes = [
        f"{steps} steps, 64 cells, {count:,} sequences, {epochs} epochs of batches of 50, rate 0.005, gradients of norm 1 at most.",
        "Error on 2,000 other sequences; to answer the mean each time has 1/6 = 0.1667. Median, smallest and largest over the seeds.",
    ]
    return rows, notes


TASKS = {
    "probe": (probe, "What an untrained recurrent network still knows"),
    "recall": (recall, "Recall of a first bit"),
    "adding": (adding, "The adding problem"),
}


def main() -> None:
    """Write a sheet for each task that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", help=", ".join(TASKS))
    parser.add_argument("--quick", action="store_true", help="small forms, printed and not kept")
    parser.add_argument("--seeds", type=int, help="of each figure, where not as many as by default")
    chosen = parser.parse_args()
    for name in chosen.tasks or TASKS:
        if name not in TASKS:
            parser.error(f"no task {name}; there are {', '.join(TASKS)}")
        task, title = TASKS[name]
        table, notes = task(chosen.quick, chosen.seeds)
        if chosen.quick:
            print("\n".join(" | ".join(row) for row in table))
        else:
            write_sheet(f"memory_{name}", title, table, notes)


if __name__ == "__main__":
    main()
