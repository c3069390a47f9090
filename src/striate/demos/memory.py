"""The memory of recurrent networks: Elman's cells and LSTM, given a bit and asked for it after many others.

Sources: Elman, 1990; Hochreiter and Schmidhuber, 1997; Gers et al., 2000, for the forget gate.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import demo_figure
from striate.drawing.style import COLOURS, beside, plain, png_bytes, powers
from striate.estimators.sequences.padded import recall_problem
from striate.estimators.sequences.recurrent import ElmanClassifier, LSTMClassifier

LAGS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50)
NOISE = 0.05  # on the states that the probe reads


def show(setting: Setting) -> Shown:
    """The trace of a bit in the states of untrained cells, and the effect of training on both kinds."""
    streams, _ = recall_problem(400 if setting.short else 1000, max(LAGS), random_state=setting.seed)
    models = untrained(streams[:50], setting.seed)
    read = {name: probed(model, streams, setting.seed) for name, model in models.items() if name.startswith("Elman")}
    faded = {name: fading(model, streams[:50]) for name, model in models.items()}
    lag, count = (10, 600) if setting.short else (50, 2000)
    return Shown(
        tables=(
            Table(
                title="Share of streams in which a linear probe recovers the bit from the state",
                heading=("bits after it", *read),
                rows=_rows(read),
            ),
            Table(
                title="How much the state still depends on the bit: |change| / first change",
                heading=("bits after it", *faded),
                rows=_rows(faded),
            ),
            Table(
                title=f"Trained to recall the first bit after {lag} others, on {count:,} streams for three epochs",
                heading=("network", "right, of 500 streams"),
                rows=trained(lag, count, setting.seed),
            ),
        ),
        notes=(
            "0.5 is guessing. Elman's state is multiplied by W at each step, so memory fades, faster the smaller W's spectral radius.",
            "An LSTM keeps its cell while the forget gate is open, as it is from the start with an initial bias of 4.",
            "Training teaches both to hold a bit: it makes W preserve what is asked for.",
        ),
        pictures={"memory.png": lambda: draw(read, faded)},
    )


def _rows(curves: dict[str, np.ndarray]) -> tuple[tuple[str | float, ...], ...]:
    return tuple((f"{lag}", *(float(curve[lag]) for curve in curves.values())) for lag in LAGS)


def untrained(streams: np.ndarray, seed: int) -> dict[str, ElmanClassifier | LSTMClassifier]:
    """Cells with their initial weights: the learning rate of their one epoch is almost zero."""
    models = {f"Elman, radius {radius:g}": ElmanClassifier(16, spectral_radius=radius) for radius in (0.5, 0.9)}
    gates = {f"LSTM, forget bias {bias:g}": LSTMClassifier(16, forget_bias=bias) for bias in (0.0, 4.0)}
    for model in (both := {**models, **gates}).values():
        model.set_params(learning_rate=1e-9, max_iter=1, random_state=seed).fit(streams, streams[:, 0, 0] > 0)
    return both


def probed(model: ElmanClassifier | LSTMClassifier, streams: np.ndarray, seed: int) -> np.ndarray:
    """For each lag (51,), the held-out accuracy of a linear probe that reads the bit of so many steps ago from the last state."""
    ends = np.stack([states[-1] for states in model.states(streams)])
    ends += np.random.default_rng(seed).normal(scale=NOISE, size=ends.shape)
    half, shares = len(streams) // 2, np.full(max(LAGS) + 1, np.nan)
    for lag in (0, *LAGS):
        bits = streams[:, -1 - lag, 0] > 0
        shares[lag] = LogisticRegression(max_iter=1000).fit(ends[:half], bits[:half]).score(ends[half:], bits[half:])
    return shares


def trained(lag: int, count: int, seed: int) -> tuple[tuple[str, float], ...]:
    """Both kinds with 16 cells and the same rate and epochs."""
    X, y = recall_problem(count, lag, random_state=seed)
    X_test, y_test = recall_problem(500, lag, random_state=seed + 1)
    elman = ElmanClassifier(16, learning_rate=0.03, max_iter=3, random_state=seed)
    lstm = LSTMClassifier(16, forget_bias=4.0, learning_rate=0.03, max_iter=3, random_state=seed)
    return tuple((name, float(model.fit(X, y).score(X_test, y_test))) for name, model in (("Elman", elman), ("LSTM", lstm)))


def fading(model: ElmanClassifier | LSTMClassifier, streams: np.ndarray) -> np.ndarray:
    """The mean change of the state, step by step, when the first bit is flipped: (51,), as a share of the first change."""
    turned = streams.copy()
    turned[:, 0] *= -1
    change = np.linalg.norm(np.stack(model.states(streams)) - np.stack(model.states(turned)), axis=2).mean(0)
    shares: np.ndarray = change / change[0]
    return shares


def draw(read: dict[str, np.ndarray], faded: dict[str, np.ndarray]) -> bytes:
    """The accuracy of the probe, and the decay of the trace of a bit, as a PNG."""
    with demo_figure(11, 4.2) as figure:
        told, trace = figure.subplots(1, 2)
        plain(told, title="accuracy of a linear probe on the state, before training", x="bits after it", y="share of streams correct")
        plain(trace, title="trace of the bit in the state, before training", x="bits after it", y="change of the state / first change")
        for colour, name in zip(COLOURS, faded, strict=False):
            if name in read:
                told.plot((0, *LAGS), read[name][[0, *LAGS]], "o-", markersize=4, color=colour, linewidth=1.6, label=name)
            trace.plot(np.maximum(faded[name], 1e-9), color=colour, linewidth=1.6, label=name)
        told.axhline(0.5, color="#999999", linewidth=1, linestyle="--", label="guessing")
        told.set_ylim(0.4, 1.04)
        powers(trace, "y")
        trace.set_ylim(1e-8, 3)
        beside(told)
        beside(trace)
        return png_bytes(figure)
