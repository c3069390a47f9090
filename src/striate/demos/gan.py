"""A generative adversarial network on points: eight clusters on a ring, some of which a generator may lose.

Sources: Goodfellow et al., 2014, for the game; the ring: Metz et al., 2017, arXiv:1611.02163v4; noise on what the discriminator sees:
Arjovsky and Bottou, 2017, arXiv:1701.04862v1.
"""

from __future__ import annotations

import numpy as np

from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import demo_figure
from striate.drawing.style import COLOURS, bare, beside, plain, png_bytes
from striate.estimators.generative.adversarial import CollapseReport
from striate.estimators.generative.gan import GAN

MODES, DEVIATION = 8, 0.05
SHOWN = 800  # points of each picture
TURNS, SHORT_TURNS, HASTY_TURNS = 3000, 600, 800


def show(setting: Setting) -> Shown:
    """Train on the ring at a good rate, and at ten times that without blur; diagnose both."""
    X, others = (ring(4000, setting.seed + place) for place in (0, 1))
    turns, seed = SHORT_TURNS if setting.short else TURNS, setting.seed
    setting.say(f"{turns:,} turns, then {HASTY_TURNS} at a high rate")
    nets = {
        "as it should be": GAN(max_iter=turns, random_state=seed).fit(X),
        "ten times the rate": GAN(max_iter=HASTY_TURNS, learning_rate=0.02, blur=0, averaging=0, random_state=seed).fit(X),
    }
    reports = {name: net.diagnose(others, num_modes=MODES, random_state=seed) for name, net in nets.items()}
    return Shown(
        tables=(
            Table(
                title=f"Generated points, after {turns:,} turns, and {HASTY_TURNS} at ten times the rate without blur",
                heading=("game", "clouds covered", "on a cloud", "real ones told", "generated ones told"),
                rows=tuple((name, *measures(report)) for name, report in reports.items()),
            ),
        ),
        notes=(
            "'told': share that the discriminator gets right. If it can only guess, at 0.5, the generator has learned the data.",
            *(f"{name}: {' '.join(report.findings) or 'no problem found.'}" for name, report in reports.items()),
        ),
        pictures={"gan.png": lambda: draw(X, nets)},
    )


def ring(count: int, seed: int) -> np.ndarray:
    """Points (count, 2) around eight places on a circle of radius 1."""
    generator = np.random.default_rng(seed)
    angles = 2 * np.pi * generator.integers(0, MODES, count) / MODES
    points: np.ndarray = np.column_stack([np.cos(angles), np.sin(angles)]) + generator.normal(scale=DEVIATION, size=(count, 2))
    return points


def measures(report: CollapseReport) -> tuple[str, float, float, float]:
    """The row of the table for one training."""
    covered = sum(mode.covered for mode in report.modes)
    return f"{covered} of {len(report.modes)}", float(report.good_share or 0), report.real_right, report.generated_right


def draw(X: np.ndarray, nets: dict[str, GAN]) -> bytes:
    """The data, what each game generates, and the losses of the first, as a PNG."""
    with demo_figure(12.4, 3.6) as figure:
        data, *made, losses = figure.subplots(1, 2 + len(nets))
        for axes, title, points, colour in (
            (data, "the data", X[:SHOWN], COLOURS[5]),
            *((axes, f"generated, {name}", net.sample(SHOWN), COLOURS[0]) for axes, (name, net) in zip(made, nets.items(), strict=True)),
        ):
            bare(axes, title=title)
            axes.plot(*points.T, ".", color=colour, markersize=2.5)
            axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal")
        name, net = next(iter(nets.items()))
        plain(losses, title=f"losses, {name}", x="turn", y="loss (nats)")
        for place, player in enumerate(("discriminator", "generator")):
            losses.plot(
                [row["turn"] for row in net.history_], [row[f"{player}_loss"] for row in net.history_], color=COLOURS[place], label=player
            )
        losses.axhline(2 * np.log(2), color="#999999", linewidth=1, linestyle="--")
        losses.axhline(np.log(2), color="#999999", linewidth=1, linestyle="--", label="if it can only guess")
        losses.set_ylim(bottom=0)
        beside(losses)
        return png_bytes(figure)
