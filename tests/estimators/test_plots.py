"""What each classical network draws of itself: named axes, titles, and nothing that overlaps or is missing."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

from striate.core.errors import ShapeError, UsageError
from striate.drawing.style import png_bytes
from striate.estimators import (
    ART1,
    ARTMAP,
    Adaline,
    Autoencoder,
    BoltzmannMachine,
    DeepBelief,
    FuzzyART,
    Hopfield,
    LinearSVM,
    LogisticRegression,
    MultilayerPerceptron,
    Perceptron,
    RestrictedBoltzmann,
    SelfOrganizingMap,
    SoftmaxRegression,
    VariationalAutoencoder,
)

IRIS = load_iris()
X, NAMES = IRIS.data[50:, 2:], IRIS.target_names[IRIS.target[50:]]  # two classes that overlap
BITS = np.random.default_rng(0).random((6, 16)) < 0.5


def drawn(figure: Figure) -> list[str]:
    """The titles and the axes' names of a figure that could be drawn."""
    assert isinstance(figure, Figure) and png_bytes(figure).startswith(b"\x89PNG")
    words = [figure.get_suptitle()]
    for axes in figure.axes:
        words += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
    return words


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "classifier",
    [Perceptron(), Adaline(max_iter=5), LogisticRegression(), SoftmaxRegression(), LinearSVM(), MultilayerPerceptron((4,), random_state=0)],
)
def test_a_classifier_of_two_features_draws_its_regions(classifier):
    figure = classifier.fit(X, NAMES).plot(X, NAMES)

    assert drawn(figure)[2:4] == ["feature 1", "feature 2"]
    assert drawn(figure)[0].endswith(f"{100 * classifier.score(X, NAMES):.1f} % of 100 samples are right")
    axes = figure.axes[0]
    shown = axes.images[0].get_array()  # (up, across)
    left, right, bottom, top = axes.images[0].get_extent()
    corners = classifier.predict([[left, bottom], [right, top]])
    assert [classifier.classes_[shown[0, 0]], classifier.classes_[shown[-1, -1]]] == corners.tolist()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["versicolor", "virginica"]


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(NotFittedError):
        Perceptron().plot(X, NAMES)
    with pytest.raises(ShapeError, match="plot draws a plane: it needs 2 features, got 4\nFit two of them"):
        SoftmaxRegression().fit(IRIS.data, IRIS.target).plot(IRIS.data, IRIS.target)
    with pytest.raises(UsageError, match=r"y must have one label for each of the 100 samples, got shape \(3,\)"):
        FuzzyART().fit(X).plot(X, [1, 2, 3])
    with pytest.raises(ShapeError, match="shape must hold the 16 visibles, got 3 x 5"):
        RestrictedBoltzmann(2, max_iter=1).fit(BITS).plot((3, 5))


@pytest.mark.parametrize("grid", ["rectangular", "hexagonal"])
def test_a_map_draws_its_hits_labels_and_distances(grid):
    som = SelfOrganizingMap(3, 4, grid=grid, max_iter=3, random_state=0).fit(X)
    figure = som.plot(X, NAMES)

    words = drawn(figure)
    assert "samples that each unit wins, and their majority label" in words and "distance to its neighbours (U-matrix)" in words
    hits, distances = (axes.collections[0].get_array() for axes in figure.axes[:2])
    assert hits.sum() == 100 and len(hits) == 12
    np.testing.assert_allclose(distances, som.u_matrix().ravel())
    labels = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    assert len(labels) == (hits > 0).sum() and set(labels) == {"versicolor", "virginica"}  # which cells of an inch have room for
    assert "samples that each unit wins" in drawn(som.plot(X))


def test_a_restricted_machine_draws_its_filters_and_its_history():
    rbm = RestrictedBoltzmann(5, max_iter=4, random_state=0).fit(BITS)
    figure = rbm.plot()

    assert {"weights of the hidden units", "reconstruction error", "epoch", "weight"} <= set(drawn(figure))
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), rbm.reconstruction_errors_)
    assert len(rbm.reconstruction_errors_) == 5


def test_a_deep_belief_network_draws_samples_of_each_label_and_its_history():
    net = DeepBelief((4, 3), pretrain_max_iter=3, max_iter=1, random_state=0).fit(BITS, ["a", "b"] * (len(BITS) // 2))
    figure = net.plot(n_samples=2, n_steps=3)

    assert {"samples of each label", "reconstruction error"} <= set(drawn(figure))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b"]
    assert [line.get_label() for line in figure.axes[1].lines] == ["machine 1", "machine 2"]
    for line, errors in zip(figure.axes[1].lines, net.reconstruction_errors_, strict=True):
        np.testing.assert_allclose(line.get_ydata(), errors)


def test_a_boltzmann_machine_draws_its_weights_with_the_biases_on_the_diagonal():
    machine = BoltzmannMachine(2, max_iter=3, random_state=0).fit([[0, 0, 1], [1, 1, 0]])
    figure = machine.plot()

    assert {"unit, visible ones first", "unit", "weight, on the diagonal bias", "Boltzmann machine after 3 updates"} <= set(drawn(figure))
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), machine.weights_ + np.diag(machine.intercept_))
    assert len(figure.axes[0].lines) == 2  # between visible and hidden units


def test_the_energy_of_a_recall_falls_to_that_of_the_answer():
    model = Hopfield(random_state=0).fit(np.where(BITS[:2], 1, -1))
    figure = model.plot(np.where(BITS[2:5], 1, -1))

    assert drawn(figure)[2:4] == ["units updated", "energy"]
    assert len(figure.axes[0].lines) == 3
    for line, probe in zip(figure.axes[0].lines, np.where(BITS[2:5], 1, -1), strict=True):
        energies = np.asarray(line.get_ydata())
        assert energies[0] == pytest.approx(model.energy(probe[None])[0]) and (np.diff(energies) <= 1e-9).all()


def test_categories_are_drawn_as_boxes_or_as_a_table():
    for model in (FuzzyART(vigilance=0.7).fit(X), ARTMAP(vigilance=0.7).fit(X, NAMES)):
        figure = model.plot(X, NAMES)
        assert drawn(figure)[0].endswith(f"vigilance 0.7: {model.n_categories_} categories")
        assert len(figure.axes[0].patches) == model.n_categories_
    table = FuzzyART(vigilance=0.7).fit(IRIS.data)
    assert {"feature", "category", "samples"} <= set(drawn(table.plot(IRIS.data)))
    figure = ART1().fit(BITS.astype(int)).plot(BITS.astype(int))
    assert "template: black is on" in drawn(figure) and sum(bar.get_width() for bar in figure.axes[1].patches) == 6


@pytest.mark.parametrize("kind", [Autoencoder, VariationalAutoencoder])
def test_codes_are_drawn_as_a_map_or_a_distribution(kind):
    scaled = (X - X.min(0)) / np.ptp(X, axis=0)
    model = kind(2, max_iter=1, random_state=0).fit(scaled)
    figure = model.plot(scaled, NAMES)
    assert drawn(figure)[2:4] == ["code z1", "code z2"]
    places = np.concatenate([marks.get_offsets() for marks in figure.axes[0].collections])
    np.testing.assert_allclose(np.sort(places, axis=0), np.sort(model.transform(scaled), axis=0))
    assert drawn(kind(1, max_iter=1, random_state=0).fit(scaled).plot(scaled))[2:4] == ["code z1", "samples"]
