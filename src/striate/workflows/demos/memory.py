"""How long recurrent networks remember: Elman's cells and LSTM, told a bit and asked for it after many others.

Sources: Elman, 1990; Hochreiter and Schmidhuber, 1997; Gers et al., 2000, for the forget gate.
"""

from __future__ import annotations

import numpy as np

from striate.estimators.recurrent import ElmanClassifier, LSTMClassifier
from striate.estimators.sequences import recall_problem
from striate.workflows.demos.drawing import COLOURS, DPI, plain
from striate.workflows.demos.shown import Setting, Shown, Table
from striate.workflows.pictures import drawing, png_bytes

LAGS = (5, 10, 25, 50, 75, 100)
SHORT_LAGS = (5, 20)


def show(setting: Setting) -> Shown:
    """Train both on streams of random bits, of which the first is to be told after the last."""
    lags, count = (SHORT_LAGS, 600) if setting.short else (LAGS, 2000)
    right: dict[str, list[float]] = {"Elman": [], "LSTM": []}
    for lag in lags:
        setting.say(f"{lag} bits between")
        X, y = recall_problem(count, lag, random_state=setting.seed)
        X_test, y_test = recall_problem(500, lag, random_state=setting.seed + 1)
        for name, model in makers(setting.seed).items():
            right[name].append(float(model.fit(X, y).score(X_test, y_test)))
    faded = fading(setting.seed)
    rows: list[tuple[str | float, ...]] = [(f"{lag}", *(right[name][place] for name in right)) for place, lag in enumerate(lags)]
    title = f"Share of 500 streams whose first bit is told right; {count:,} to learn from, three times over"
    return Shown(
        tables=(
            Table(title=title, heading=("bits after it", *right), rows=tuple(rows)),
            Table(
                title="How much the state still depends on the first bit: |change of the state|, untrained, 16 cells",
                heading=("bits after it", *faded),
                rows=tuple((f"{lag}", *(float(curve[lag]) for curve in faded.values())) for lag in (1, 5, 10, 20, 40)),
            ),
        ),
        notes=(
            "0.5 is guessing. Elman's state is multiplied by W at each step, so what it knew fades or is written over;",
            "an LSTM's cell is kept while its forget gate is open (here by a first bias of 4).",
        ),
        pictures={"memory.png": lambda: draw(lags, right, faded)},
    )


def makers(seed: int) -> dict[str, ElmanClassifier | LSTMClassifier]:
    """The two networks, of as many cells and epochs."""
    elman = ElmanClassifier(16, learning_rate=0.03, max_iter=3, random_state=seed)
    return {"Elman": elman, "LSTM": LSTMClassifier(16, forget_bias=4.0, learning_rate=0.03, max_iter=3, random_state=seed)}


def fading(seed: int) -> dict[str, np.ndarray]:
    """The mean change of the state, step by step, when the first bit is turned: (51,) for each start, as a share of the first change."""
    X, y = recall_problem(50, 50, random_state=seed)
    turned = X.copy()
    turned[:, 0] *= -1
    kept = {"learning_rate": 1e-9, "max_iter": 1, "random_state": seed}  # as drawn: weights of a network that has not learned
    models = {
        "Elman, radius 0.5": ElmanClassifier(16, spectral_radius=0.5, **kept),  # type: ignore[arg-type]
        "Elman, radius 0.9": ElmanClassifier(16, spectral_radius=0.9, **kept),  # type: ignore[arg-type]
        "LSTM, forget bias 0": LSTMClassifier(16, forget_bias=0.0, **kept),  # type: ignore[arg-type]
        "LSTM, forget bias 4": LSTMClassifier(16, forget_bias=4.0, **kept),  # type: ignore[arg-type]
    }
    curves = {}
    for name, model in models.items():
        model.fit(X, y)
        change = np.linalg.norm(np.stack(model.states(X)) - np.stack(model.states(turned)), axis=2).mean(0)
        curves[name] = change / change[0]
    return curves


def draw(lags: tuple[int, ...], right: dict[str, list[float]], faded: dict[str, np.ndarray]) -> bytes:
    """What is told right, and how the trace of the bit fades, as a PNG."""
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 4.2), dpi=DPI, layout="constrained")
        told, trace = figure.subplots(1, 2)
        plain(told, title="the first bit told right, after training", x="bits after it", y="share of 500 streams")
        for colour, (name, shares) in zip(COLOURS, right.items(), strict=False):
            told.plot(lags, shares, "o-", color=colour, linewidth=1.6, label=name)
        told.axhline(0.5, color="#999999", linewidth=1, linestyle="--", label="guessing")
        told.set_ylim(0.4, 1.04)
        told.legend(fontsize=9, frameon=False, loc="lower left")
        plain(
            trace, title="what is left of the bit in the state, before training", x="bits after it", y="change of the state / first change"
        )
        for colour, (name, curve) in zip(COLOURS, faded.items(), strict=False):
            trace.semilogy(np.maximum(curve, 1e-9), color=colour, linewidth=1.6, label=name)
        trace.set_ylim(1e-8, 3)
        trace.legend(fontsize=9, frameon=False, loc="lower left")
        return png_bytes(figure)
