"""A restricted Boltzmann machine: the strokes that it learns, and digits that it generates.

Sources: Smolensky, 1986; Hinton, 2002, for contrastive divergence; Tieleman, 2008, for chains that persist from update to update.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from striate.demos.shown import Setting, Shown, Table
from striate.demos.sources import small_digits
from striate.drawing.animation import demo_figure, rows_of_pictures, tiles
from striate.drawing.style import bare, colour_bar, png_bytes
from striate.estimators.generative.restricted_boltzmann import RestrictedBoltzmann

HIDDEN, CHAINS = 64, 10
STEPS = (0, 1, 10, 100, 1000)  # draws of both layers before each row of the picture
SHORT_STEPS = (0, 1, 5, 20, 100)


def show(setting: Setting) -> Shown:
    """Learn scanned digits without labels, then sample from the machine."""
    digits = small_digits()
    rbm = RestrictedBoltzmann(HIDDEN, batch_size=20, learning_rate=0.05, persistent=True, random_state=setting.seed)
    epochs = 6 if setting.short else 60
    mixed = np.random.default_rng(setting.seed).permuted(digits.test, axis=1)
    rows = []
    for epoch in range(epochs):
        rbm.partial_fit(digits.train)
        if epoch + 1 in (1, epochs // 6, epochs // 2, epochs):
            gap = float(rbm.free_energy(mixed).mean() - rbm.free_energy(digits.test).mean())
            rows.append((epoch + 1, rebuilt(rbm, digits.test), float(rbm.score_samples(digits.test).mean()), gap))
    fantasies = [digits.test[:CHAINS]]
    steps = SHORT_STEPS if setting.short else STEPS
    for before, after in pairwise(steps):
        fantasies.append(rbm.sample(start=fantasies[-1], n_steps=after - before))
    heading = ("epoch", "|x - rebuilt|^2 a pixel", "pseudo-likelihood (nats)", "F(mixed) - F(digits)")
    title = f"{HIDDEN} hidden units on {len(digits.train):,} digits; measured on {len(digits.test)} others"
    return Shown(
        tables=(Table(title=title, heading=heading, rows=tuple(rows)),),
        notes=(
            "A digit has lower free energy F than the same pixels shuffled: it is more probable.",
            "Each hidden unit represents a stroke, or its absence.",
        ),
        pictures={"rbm.png": lambda: draw(rbm, fantasies, steps)},
    )


def rebuilt(rbm: RestrictedBoltzmann, X: np.ndarray) -> float:
    """The mean squared reconstruction error, to the hidden units and back."""
    return float(((X - rbm.inverse_transform(rbm.transform(X))) ** 2).mean())


def draw(rbm: RestrictedBoltzmann, fantasies: list[np.ndarray], steps: tuple[int, ...]) -> bytes:
    """The weights of each hidden unit, and chains that began at real digits, as a PNG."""
    filters = rbm.components_.reshape(-1, 8, 8)
    limit = float(np.quantile(np.abs(filters), 0.98))
    seen = np.concatenate([fantasies[0], *(rbm.inverse_transform(rbm.transform(states)) for states in fantasies[1:])])
    with demo_figure(11.5, 5) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.75))
        bare(left, title="weights of the hidden units")
        weights = left.imshow(tiles(filters, 8, fill=0), cmap="RdBu", vmin=-limit, vmax=limit, interpolation="nearest")
        colour_bar(figure, weights, left, "weight", high=0.78)
        names = [f"{count:,} draw{'' if count == 1 else 's'}" for count in steps]
        title = "digits, and the samples of Gibbs chains started from them (expected pixels)"
        rows_of_pictures(right, seen.reshape(-1, 8, 8), names, title=title)
        return png_bytes(figure)
