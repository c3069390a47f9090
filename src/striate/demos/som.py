"""Kohonen's map: a net that unfolds over a square, and scanned digits laid out so that neighbours look alike.

Source: Kohonen, 1982, "Self-organized formation of topologically correct feature maps".
"""

from __future__ import annotations

import numpy as np

from striate.demos.shown import Setting, Shown, Table
from striate.demos.sources import small_digits
from striate.drawing.animation import animation, demo_figure, stages, tiles
from striate.drawing.style import COLOURS, TEN, bare, colour_bar, png_bytes
from striate.estimators.maps.som import SelfOrganizingMap

ROUNDS, EACH = 60, 100  # of the unfolding: samples are shown in rounds, with a smaller reach in each
NET, MAP = 10, 12  # units to a side


def show(setting: Setting) -> Shown:
    """Unfold a net over a square, then map the digits."""
    points = np.random.default_rng(setting.seed).random((ROUNDS * EACH, 2))
    net = SelfOrganizingMap(NET, NET, max_iter=0, random_state=setting.seed).fit(points)
    folded = errors_of(net, points)
    course = unfold(net, points)

    train, labels, test, wanted = small_digits()
    som = SelfOrganizingMap(MAP, MAP, max_iter=5 if setting.short else 30, random_state=setting.seed).fit(train)
    names = names_of(som, train, labels)
    before = SelfOrganizingMap(MAP, MAP, max_iter=0, random_state=setting.seed).fit(train)
    heading = ("map", "quantisation error", "topographic error")
    return Shown(
        tables=(
            Table(
                title=f"A net of {NET} x {NET} on a square",
                heading=heading,
                rows=(("at first", *folded), ("unfolded", *errors_of(net, points))),
            ),
            Table(
                title=f"{len(train):,} digits on {MAP} x {MAP} units",
                heading=heading,
                rows=(("at first", *errors_of(before, train)), ("trained", *errors_of(som, train))),
            ),
            Table(
                title="Digits classified by the majority label of their unit",
                heading=("digits not seen", "right"),
                rows=((len(test), float((names[som.predict(test)] == wanted).mean())),),
            ),
        ),
        notes=("Topographic error: the share of samples whose two nearest units are not neighbours on the map.",),
        pictures={
            "unfolding.gif": lambda: draw_unfolding(points, course, frames=2 if setting.short else ROUNDS),
            "digits.png": lambda: draw_digits(som, names),
        },
    )


def unfold(som: SelfOrganizingMap, points: np.ndarray) -> list[np.ndarray]:
    """Its weights before and after each round of samples; rate and reach fall geometrically."""
    course = [som.weights_.copy()]
    for share, some in zip(np.linspace(0, 1, ROUNDS), np.split(points, ROUNDS), strict=True):
        som.set_params(learning_rate=0.5 * 0.04**share, sigma_end=NET / 2 * 0.1**share)
        course.append(som.partial_fit(some).weights_.copy())
    return course


def errors_of(som: SelfOrganizingMap, X: np.ndarray) -> tuple[float, float]:
    """Quantisation and topographic error."""
    return som.quantization_error(X), som.topographic_error(X)


def names_of(som: SelfOrganizingMap, X: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The majority label among the samples that each unit wins (units,); for a unit that wins none, that of its nearest sample."""
    winners = som.predict(X)
    counts = np.zeros((som.rows * som.columns, labels.max() + 1))
    np.add.at(counts, (winners, labels), 1)
    nearest = labels[som.transform(X).argmin(0)]
    names: np.ndarray = np.where(counts.any(1), counts.argmax(1), nearest)
    return names


def draw_unfolding(points: np.ndarray, course: list[np.ndarray], *, frames: int) -> bytes:
    """The net over the square, round by round, as a GIF."""
    chosen = stages(len(course), frames)
    with demo_figure(5, 5.2) as figure:
        axes = figure.subplots()
        bare(axes, title=" ")
        axes.scatter(points[:1000, 0], points[:1000, 1], s=3, color="#d0d0d0")
        threads = [axes.plot([], [], "o-", color=COLOURS[0], linewidth=1, markersize=3.5)[0] for _ in range(2 * NET)]
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")

        def frame(index: int) -> None:
            weights = course[chosen[index]]
            for thread, line in zip(threads, np.concatenate([weights, weights.swapaxes(0, 1)]), strict=True):
                thread.set_data(*line.T)
            axes.set_title(f"a net of {NET} x {NET} units after {chosen[index] * EACH:,} samples", fontsize=10, loc="left")

        return animation(figure, frame, len(chosen))


def draw_digits(som: SelfOrganizingMap, names: np.ndarray) -> bytes:
    """Each unit's weights as a digit, its label, and the distances between neighbours (U-matrix), as a PNG."""
    sheet = tiles(som.weights_.reshape(-1, 8, 8), som.columns, gap=1, fill=0.2)
    with demo_figure(12.6, 4.6) as figure:
        from matplotlib.colors import ListedColormap

        pictures, labels, distances = figure.subplots(1, 3)
        bare(pictures, title="prototype of each unit")
        pictures.imshow(1 - sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        bare(labels, title="its majority label: equal ones lie together")
        labels.imshow(names.reshape(som.rows, som.columns), cmap=ListedColormap([f"{colour}55" for colour in TEN]), vmin=-0.5, vmax=9.5)
        for place, name in enumerate(names):
            labels.text(place % som.columns, place // som.columns, str(name), ha="center", va="center", fontsize=10)
        bare(distances, title="distance to its neighbours (U-matrix)")
        image = distances.imshow(som.u_matrix(), cmap="Blues", interpolation="nearest")
        colour_bar(figure, image, distances, "mean distance of the weights (L2)", high=0.85)
        return png_bytes(figure)
