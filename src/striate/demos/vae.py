"""A variational autoencoder with two latent numbers: the manifold of digits that they span.

Source: Kingma and Welling, 2014, arXiv:1312.6114.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from striate.demos.shown import Setting, Shown, Table
from striate.demos.sources import Digits, small_digits
from striate.drawing.animation import demo_figure, tiles
from striate.drawing.style import bare, beside, look, plain, png_bytes
from striate.estimators.generative.variational import VariationalAutoencoder

SIDE = 15  # digits to a side of the manifold


def show(setting: Setting) -> Shown:
    """Learn scanned digits through two numbers and through ten."""
    digits = small_digits()
    epochs = 10 if setting.short else 80
    rows, models = [], {}
    for components in (2, 10):
        model = VariationalAutoencoder(components, hidden_layer_sizes=(256,), batch_size=64, max_iter=epochs, random_state=setting.seed)
        models[components] = model.fit(digits.train)
        means, deviations = model.posterior(digits.test)
        distance = 0.5 * (means**2 + deviations**2 - 1 - 2 * np.log(deviations)).sum(1).mean()
        lost = ((digits.test - model.reconstruct(digits.test)) ** 2).mean()
        rows.append(
            (components, -model.loss_curve_[0], -model.loss_curve_[-1], float(model.score(digits.test)), float(distance), float(lost))
        )
    return Shown(
        tables=(
            Table(
                title=f"Digits, {len(digits.train):,} for {epochs} epochs, {len(digits.test)} held out; bounds of log p(x) in nats",
                heading=("numbers in z", "bound, epoch 1", "bound, last epoch", "bound, not seen", "of it KL", "squared error a pixel"),
                rows=tuple((int(n), *(float(x) for x in rest)) for n, *rest in rows),
            ),
        ),
        notes=("The bound is the reconstruction term minus KL, the nats that z carries about x. The map is spaced by normal quantiles.",),
        pictures={"vae.png": lambda: draw(models[2], digits)},
    )


def draw(model: VariationalAutoencoder, digits: Digits) -> bytes:
    """The digits decoded at the quantiles of z, and the codes of held-out digits, as a PNG."""
    at = norm.ppf((np.arange(SIDE) + 0.5) / SIDE)
    places = np.stack(np.meshgrid(at, at[::-1]), -1).reshape(-1, 2)
    with demo_figure(12, 5.6) as figure:
        manifold, map_of_digits = figure.subplots(1, 2)
        bare(manifold, title="decoded digits over z, spaced by the quantiles of a standard normal")
        manifold.imshow(tiles(1 - model.inverse_transform(places).reshape(-1, 8, 8), SIDE, gap=2, fill=1), cmap="gray", vmin=0, vmax=1)
        plain(map_of_digits, title="codes of held-out digits: the mean of q(z | x)", x="z1", y="z2")
        codes = model.transform(digits.test)
        for label in range(10):
            kind = look(label)
            some = codes[digits.wanted == label]
            map_of_digits.scatter(some[:, 0], some[:, 1], s=14, color=kind["color"], marker=kind["marker"], label=str(label))
        map_of_digits.set_aspect("equal")
        beside(map_of_digits, title="digit")
        return png_bytes(figure)
