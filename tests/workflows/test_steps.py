"""A class for each step of a sequence end to end, as for each pixel of a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import striate
from striate.apps.cli import app
from striate.core.errors import DataError, UsageError
from striate.networks.layers import Chain, Elman, Linear, ToSequence, ToSignal
from striate.networks.network import Network

LENGTH = 9


def walks(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps (n, t, 2) and, at each, the side on which their sum so far lies: a single step does not tell it."""
    X = np.random.default_rng(seed).normal(size=(count, LENGTH, 2))
    return X, np.where(X[:, :, 0].cumsum(1) > 0, "right", "left")


def elman(outputs: int = 2) -> Network:
    return Network("elman", (2, LENGTH), Chain(ToSequence(), Elman(8, return_sequence=True), Linear(outputs), ToSignal()))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steps")
    (X, Y), (X_test, Y_test) = walks(100, 0), walks(40, 1)
    np.savez(folder / "walks.npz", x_train=X, y_train=Y, x_test=X_test, y_test=Y_test)
    how: dict[str, Any] = {"epochs": 12, "learning_rate": 0.03, "diagnose": False}
    return Path(striate.train(folder / "walks.npz", network=elman(), task="segment", output=folder / "run", **how).run)


@pytest.mark.row("003-29")
def test_a_recurrent_network_learns_a_label_at_each_step(run: Path):
    """The accuracy of the report is the share of equal labels, counted here; a guess by the step alone has about three quarters."""
    X, Y = walks(40, 1)
    answers = striate.predict(run, X)
    steps = np.array([record["steps"] for record in answers.to_data()])
    report = striate.evaluate(run, split="test")
    assert report.pixel_accuracy == pytest.approx((steps == Y).mean())
    assert report.pixel_accuracy > 0.9
    assert report.num_pixels == 40 * LENGTH
    assert np.mean(np.where(X[:, :, 0] > 0, "right", "left") == Y) < 0.8


def test_steps_are_answered_on_the_command_line(run: Path):
    result = CliRunner().invoke(app, ["predict", str(run), str(run.parent / "walks.npz"), "--json"])
    first = json.loads(result.stdout)[0]
    assert len(first["steps"]) == LENGTH
    assert first["classes"]["left"] == pytest.approx(first["steps"].count("left") / LENGTH)
    text = CliRunner().invoke(app, ["evaluate", str(run)]).stdout
    assert "40 signals, 360 places" in text
    assert "place accuracy" in text
    header = striate.predict(run, walks(2, 0)[0]).to_rows()[0]
    assert header == ["path", "left", "right"]


def test_a_network_for_steps_is_chosen_and_the_run_repeats(tmp_path: Path):
    X, Y = walks(30, 0)
    report = striate.train((X, Y), task="segment", epochs=1, output=tmp_path / "run", diagnose=False)
    assert report.network == "step_lstm"
    assert striate.load(report.run).network.output_shape == (2, LENGTH)


@pytest.mark.parametrize(
    ("X", "Y", "network", "words"),
    [
        (walks(6, 0)[0], walks(6, 0)[1][:, :5], None, r"y must be a label at each place, of shape \(6, 9\), got <U5 \(6, 5\)"),
        (walks(6, 0)[0], np.full((6, LENGTH), 0.5), None, r"y must be a label at each place"),
        (walks(6, 0)[0], walks(6, 0)[1], "signal_cnn", r"signal_cnn has outputs of shape \(2,\), but arrays has 2 classes at each place"),
        (walks(6, 0)[0], walks(6, 0)[1], elman(3), r"elman has outputs of shape \(3, 9\), but arrays has 2 classes at each place"),
        (np.zeros((6, 4)), np.zeros((6, 4), int), None, r"y must be a label at each place"),
    ],
)
def test_labels_that_do_not_fit_the_steps_are_refused(X: np.ndarray, Y: np.ndarray, network: Any, words: str, tmp_path: Path):
    with pytest.raises((DataError, UsageError), match=words):
        striate.train((X, Y), task="segment", network=network, epochs=1, output=tmp_path / "run")
