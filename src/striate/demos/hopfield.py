"""The Hopfield network: noisy digits converge to stored ones as the energy decreases; and its capacity.

Sources: Hopfield, 1982; Amit, Gutfreund and Sompolinsky, 1985, for the capacity of 0.138 patterns a unit.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import animation, demo_figure
from striate.drawing.style import COLOURS, bare, plain
from striate.estimators.memory.hopfield import Hopfield

NOISE = 0.15  # share of the pixels that are turned
SIDE = 8


class Recall(NamedTuple):
    """States (steps, N) from a probe to the end, unit by unit, with the energy of each."""

    states: np.ndarray
    energies: np.ndarray


def show(setting: Setting) -> Shown:
    """Store three scanned digits and recall each from a noisy copy."""
    generator = np.random.default_rng(setting.seed)
    names, patterns = memories()
    model = Hopfield(random_state=setting.seed).fit(patterns)
    turned = np.array([generator.permutation(patterns.shape[1]) < round(NOISE * patterns.shape[1]) for _ in patterns])
    probes = np.where(turned, -patterns, patterns)
    recalls = [recall(model, probe, generator) for probe in probes]
    rows = []
    for name, pattern, probe, course in zip(names, patterns, probes, recalls, strict=True):
        wrong = int((probe != pattern).sum()), int((course.states[-1] != pattern).sum())
        rises = int((np.diff(course.energies) > 1e-12).sum())
        rows.append((name, *wrong, float(course.energies[0]), float(course.energies[-1]), rises))
    return Shown(
        tables=(
            Table(
                title=f"Recall of {len(patterns)} digits of {SIDE} x {SIDE} pixels",
                heading=("digit", "wrong before", "wrong after", "energy before", "energy after", "times it rose"),
                rows=tuple(rows),
            ),
            noise_table(model, patterns, generator),
            capacity_table(setting),
        ),
        notes=(
            "The energy never rises, so recall must converge.",
            "An overlap of 1 is the stored pattern, 0 is chance. Beyond 0.138 per unit, the theoretical limit, memories are lost.",
        ),
        pictures={"hopfield.gif": lambda: draw(names, recalls, frames=2 if setting.short else 45)},
    )


def memories(count: int = 3) -> tuple[list[str], np.ndarray]:
    """Scanned digits of different classes, -1 and 1 (count, 64): of 6,000 choices, the one whose patterns hold each other best.

    A pattern is stable if each unit's field has the unit's sign; digits that resemble each other are not.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    patterns = np.where(digits.data >= 8, 1, -1)
    generator = np.random.default_rng(0)
    firmest, best = -np.inf, np.arange(count)
    for _ in range(6000):
        chosen = generator.choice(len(patterns), count, replace=False)
        stored = patterns[chosen]
        fields = stored @ (stored.T @ stored - count * np.eye(stored.shape[1]))  # (count, 64)
        if len(set(digits.target[chosen])) == count and (fields * stored).min() > firmest:
            firmest, best = float((fields * stored).min()), chosen[np.argsort(digits.target[chosen])]
    return [str(digits.target[index]) for index in best], patterns[best]


def recall(model: Hopfield, probe: np.ndarray, generator: np.random.Generator) -> Recall:
    """One unit at a time in random orders, until a sweep changes none: s_i = sign(sum_j w_ij s_j)."""
    state, states, changed = probe.copy(), [probe.copy()], True
    while changed:
        changed = False
        for unit in generator.permutation(len(state)):
            field = model.weights_[unit] @ state
            if field * state[unit] < 0:
                state[unit] = -state[unit]
                changed = True
            states.append(state.copy())
    return Recall(np.array(states), model.energy(np.array(states)))


def noise_table(model: Hopfield, patterns: np.ndarray, generator: np.random.Generator, *, trials: int = 50) -> Table:
    """The share of probes recalled without error, by the share of flipped pixels."""
    rows = []
    for share in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5):
        asked = np.repeat(patterns, trials, axis=0)
        probes = np.where(generator.random(asked.shape) < share, -asked, asked)
        rows.append((f"{100 * share:.0f} %", float((model.predict(probes) == asked).all(1).mean())))
    return Table(title=f"Recalled without error, of {trials} probes per digit", heading=("turned", "share"), rows=tuple(rows))


def capacity_table(setting: Setting) -> Table:
    """The overlap with a stored random pattern after recall starts at it, for loads on both sides of the limit."""
    generator = np.random.default_rng(setting.seed)
    units = 200 if setting.short else 500
    rows = []
    for load in (0.05, 0.1, 0.138, 0.17, 0.2, 0.25):
        patterns = generator.choice([-1, 1], (round(load * units), units))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".* patterns are more than .* units can store", category=UserWarning)
            model = Hopfield(random_state=setting.seed).fit(patterns)
        ends = model.predict(patterns[:40])
        rows.append((f"{load:g}", len(patterns), float((ends * patterns[:40]).mean())))
    return Table(title=f"Random patterns in {units} units", heading=("patterns per unit", "patterns", "overlap"), rows=tuple(rows))


def draw(names: list[str], recalls: list[Recall], *, frames: int) -> bytes:
    """Each digit as it is recalled, above its energy, as a GIF."""
    longest = max(len(course.states) for course in recalls)
    steps = np.linspace(0, longest - 1, frames).round().astype(int)
    with demo_figure(8, 4.8) as figure:
        grid = figure.add_gridspec(2, len(recalls), height_ratios=(1, 1))
        panels = [figure.add_subplot(grid[0, place]) for place in range(len(recalls))]
        energy = figure.add_subplot(grid[1, :])
        low = min(float(course.energies.min()) for course in recalls)
        high = max(float(course.energies.max()) for course in recalls)

        images, curves = [], []
        for place, (axes, name, course) in enumerate(zip(panels, names, recalls, strict=True)):
            bare(axes, title=f"noisy {name}, being recalled")
            axes.spines[:].set(color=COLOURS[place], linewidth=2)
            images.append(axes.imshow(course.states[0].reshape(SIDE, SIDE), cmap="gray", vmin=-1, vmax=1))
            curves.append(energy.plot([], [], color=COLOURS[place], linewidth=1.6, label=name)[0])
        plain(energy, title=" ", x="units updated", y="energy")
        energy.set(xlim=(-2, longest + 2), ylim=(low - 1, high + 1))
        energy.legend(title="digit", fontsize=8, title_fontsize=8, ncols=len(names), frameon=False, loc="upper right")

        def frame(index: int) -> None:
            step = int(steps[index])
            energy.set_title(f"energy after {step} unit updates", fontsize=10, loc="left")
            for image, curve, course in zip(images, curves, recalls, strict=True):
                now = min(step, len(course.states) - 1)
                image.set_data(course.states[now].reshape(SIDE, SIDE))
                curve.set_data(range(now + 1), course.energies[: now + 1])

        return animation(figure, frame, len(steps))
