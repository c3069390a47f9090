"""XOR: one neuron cannot, two hidden ones bend the plane until one line can.

Source: Minsky and Papert, 1969, for the limit; Rumelhart, Hinton and Williams, 1986, for the way out.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning

from striate.core.errors import NumericError
from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import animation, demo_figure, stages
from striate.drawing.style import COLOURS, LABEL, TINTS, bare, plain
from striate.estimators.neurons.multilayer import MultilayerPerceptron
from striate.estimators.neurons.perceptron import Perceptron

if TYPE_CHECKING:
    from matplotlib.contour import ContourSet

SQUARE = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
LABELS = np.array([0, 1, 1, 0])
NAMES = ("00", "01", "10", "11")
CLOSE, MOST_EPOCHS, MOST_STARTS = 0.05, 2500, 20


class Weights(NamedTuple):
    """Of a 2-2-1 network after an epoch."""

    hidden: np.ndarray  # (2, 2)
    hidden_bias: np.ndarray  # (2,)
    output: np.ndarray  # (2, 1)
    output_bias: np.ndarray  # (1,)

    def bent(self, points: np.ndarray) -> np.ndarray:
        """The hidden activations of points (..., 2) of the input plane."""
        units: np.ndarray = expit(points @ self.hidden + self.hidden_bias)
        return units

    def answers(self, points: np.ndarray) -> np.ndarray:
        """The output for points (..., 2)."""
        outputs: np.ndarray = expit(self.bent(points) @ self.output + self.output_bias)[..., 0]
        return outputs


def show(setting: Setting) -> Shown:
    """Train 2-2-1 on XOR sample by sample until no output is wrong by more than 0.05."""
    course, starts = learned(setting.seed)
    last = course[-1]
    hidden, answers = last.bent(SQUARE), last.answers(SQUARE)
    points = tuple(
        (" ".join(name), int(label), float(answer), float(unit[0]), float(unit[1]))
        for name, label, answer, unit in zip(NAMES, LABELS, answers, hidden, strict=True)
    )
    return Shown(
        tables=(
            Table(title="A 2-2-1 network, by back-propagation", heading=("input", "wanted", "answer", "h1", "h2"), rows=points),
            Table(
                title="One neuron (perceptron rule, 200 epochs at most)",
                heading=("on", "epochs", "right"),
                rows=(("the inputs", *one_neuron(SQUARE)), ("the hidden units", *one_neuron(hidden))),
            ),
        ),
        notes=(
            f"After {len(course)} epochs one line separates the four points in the hidden space.",
            *([f"That was start {starts}: before it, descent ended in a local minimum, where no small step helps."] if starts > 1 else []),
        ),
        pictures={"xor.gif": lambda: draw(course, frames=2 if setting.short else 50)},
    )


def learned(seed: int) -> tuple[list[Weights], int]:
    """The first training that succeeds, and the number of starts that it took.

    Raises:
        NumericError: none of twenty starts ends right.
    """
    generator = np.random.RandomState(seed)
    for start in range(1, MOST_STARTS + 1):
        course = learn(seed if start == 1 else int(generator.randint(2**31)))
        if np.abs(course[-1].answers(SQUARE) - LABELS).max() <= CLOSE:
            return course, start
    raise NumericError(f"XOR was not learned from {MOST_STARTS} starts of seed {seed}", "Try another `seed`.")


def learn(seed: int) -> list[Weights]:
    """The weights after each epoch, until no output is wrong by more than 0.05, or 2,500 epochs are over."""
    net = MultilayerPerceptron((2,), loss="mse", batch_size=1, learning_rate=0.3, momentum=0.9, init_range=1.0, random_state=seed)
    course: list[Weights] = []
    while len(course) < MOST_EPOCHS and (not course or np.abs(course[-1].answers(SQUARE) - LABELS).max() > CLOSE):
        net.partial_fit(SQUARE, LABELS)
        course.append(Weights(net.coefs_[0].copy(), net.intercepts_[0].copy(), net.coefs_[1].copy(), net.intercepts_[1].copy()))
    return course


def one_neuron(points: np.ndarray) -> tuple[int, str]:
    """Epochs of a perceptron on four points, and the number it classifies correctly."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # on the inputs it cannot converge: that is the point
        neuron = Perceptron(max_iter=200).fit(points, LABELS)
    return neuron.n_iter_, f"{int((neuron.predict(points) == LABELS).sum())} of 4"


def joined(places: np.ndarray) -> list[str]:
    """The names of the four points; those that lie together are named at the first of them, in one label."""
    words: list[str] = list(NAMES)
    for k in range(len(words)):
        for other in range(k):
            if words[other] and abs(places[k, 0] - places[other, 0]) < 0.25 and abs(places[k, 1] - places[other, 1]) < 0.12:
                words[other], words[k] = f"{words[other]}, {words[k]}", ""
                break
    return words


def draw(course: list[Weights], *, frames: int) -> bytes:
    """Input plane, hidden space and error as they change, as a GIF."""
    errors = [float(np.abs(weights.answers(SQUARE) - LABELS).max()) for weights in course]
    chosen = stages(len(course), frames)
    across = np.linspace(-0.25, 1.25, 120)
    plane = np.stack(np.meshgrid(across, across), -1)
    along = np.linspace(0, 1, 9)
    lines = np.stack(np.meshgrid(along, along), -1)  # (9, 9, 2)
    mesh = np.concatenate([lines, lines.swapaxes(0, 1)])  # (18, 9, 2), rows and columns
    with demo_figure(10, 3.7) as figure:
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("answer", [TINTS[0], "#ffffff", TINTS[1]])
        inputs, hidden, curve = figure.subplots(1, 3)
        inputs.set(xlabel="x1", ylabel="x2")
        bare(inputs, title="inputs, and the output at each point")
        answer = inputs.imshow(plane[..., 0], extent=(-0.25, 1.25, -0.25, 1.25), origin="lower", cmap=colours, vmin=0, vmax=1)
        bare(hidden, title="hidden space: the plane, bent")
        threads = [hidden.plot([], [], color="#c4c4c4", linewidth=0.7)[0] for _ in mesh]
        (border,) = hidden.plot([], [], color="#222222", linewidth=1.2)
        hidden.set(xlim=(-0.1, 1.25), ylim=(-0.1, 1.25), xlabel="h1", ylabel="h2", aspect="equal")
        marks = [hidden.plot([], [], "os"[k], color=COLOURS[k], markersize=9, markeredgecolor="white")[0] for k in LABELS]
        names = [hidden.annotate(n, (0, 0), xytext=(8, 5), textcoords="offset points", fontsize=LABEL) for n in NAMES]
        for place, label, name in zip(SQUARE, LABELS, NAMES, strict=True):
            inputs.plot(*place, "os"[label], color=COLOURS[label], markersize=9, markeredgecolor="white")
            inputs.annotate(name, place, xytext=(7, 5), textcoords="offset points", fontsize=LABEL)
        plain(curve, title=" ", x="epoch", y="largest error of the four")
        (error,) = curve.plot([], [], color=COLOURS[0])
        curve.set(xlim=(0, len(course) + 1), ylim=(0, 1))
        edges: list[ContourSet] = []

        def frame(index: int) -> None:
            epoch = chosen[index]
            weights = course[epoch]
            values = weights.answers(plane)
            answer.set_data(values)
            while edges:
                edges.pop().remove()
            if values.min() < 0.5 < values.max():
                edges.append(inputs.contour(across, across, values, levels=[0.5], colors="#222222", linewidths=1.2))
            for thread, line in zip(threads, weights.bent(mesh), strict=True):
                thread.set_data(*line.T)
            ends, w, b = np.array([-0.1, 1.1]), weights.output[:, 0], weights.output_bias[0]
            border.set_data(ends, -(w[0] * ends + b) / w[1])
            for mark, name, place in zip(marks, names, weights.bent(SQUARE), strict=True):
                mark.set_data(place[:1], place[1:])
                name.xy = tuple(place)
            for name, words in zip(names, joined(weights.bent(SQUARE)), strict=True):
                name.set_text(words)
            error.set_data(range(1, epoch + 2), errors[: epoch + 1])
            curve.set_title(f"epoch {epoch + 1}", fontsize=10, loc="left")

        return animation(figure, frame, len(chosen))
