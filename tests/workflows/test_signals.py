"""Signals, volumes and the rows of tables end to end: what is no picture trains, is measured and answered as pictures are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import striate
from striate.apps.cli import app
from striate.core.errors import DataError, UsageError
from striate.core.images import SignalSpec
from striate.networks.layers import LSTM, Chain, Conv, Flatten, Linear, ToSequence
from striate.networks.network import Network
from striate.workflows.training.running import QuietObserver

runner = CliRunner()


class Listener(QuietObserver):
    """Keeps the lines for the user."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def waves(count: int, seed: int, length: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Signals (n, l, 2) around 500 with deviations of 40 and 0.1, and their classes: which of the channels rises."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    X = rng.normal(0, 0.3, (count, length, 2))
    X[np.arange(count), :, y] += np.linspace(-2, 2, length)
    return 500 + X * (40, 0.1), y


def tiny(shape: tuple[int, ...], outputs: int = 2) -> Network:
    body = (Linear(6),) if len(shape) == 1 else (Conv(6, 3, padding=1), Flatten())
    return Network("tiny", shape, Chain(*body, Linear(outputs)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on signals with a test split."""
    folder = tmp_path_factory.mktemp("signals")
    (X, y), (X_test, y_test) = waves(60, 0), waves(40, 1)
    np.savez(folder / "waves.npz", x_train=X, y_train=y, x_test=X_test, y_test=y_test)
    return Path(striate.train(folder / "waves.npz", network=tiny((2, 12)), epochs=8, output=folder / "run", diagnose=False).run)


@pytest.mark.row("004-1")
def test_signals_are_learned_and_their_model_standardizes_each_channel(run: Path):
    """The model's answers are those of its network on (X - mean) / deviation of the training signals, computed here."""
    model, (X, _) = striate.load(run), waves(40, 1)
    spec = model.images
    assert isinstance(spec, SignalSpec)
    assert striate.evaluate(run, split="test").accuracy >= 0.95
    trained = np.load(run.parent / "waves.npz")["x_train"]
    assert np.allclose(spec.mean, trained.mean((0, 1)), rtol=0.01)
    assert np.allclose(spec.std, trained.std((0, 1)), rtol=0.1)
    by_hand = torch.from_numpy((X - spec.mean) / spec.std).float().transpose(1, 2)  # (n, 2, 12)
    with torch.no_grad():
        expected = model.module.get_submodule("network")(by_hand)
    assert np.allclose(model.outputs(X), expected.numpy(), atol=2e-3)
    assert [item.class_name for item in model.predict(X)] == [str(k) for k in expected.argmax(1).tolist()]
    assert model.predict(X[0]).items[0].class_name == str(int(expected[0].argmax()))


@pytest.mark.parametrize(
    ("shape", "network", "words"),
    [
        ((40, 9, 1), "signal_cnn", "signals of 9 places and 1 channel"),
        ((40, 4, 5, 6, 2), "volume_cnn", "volumes of 4 x 5 x 6 places and 2 channels"),
        ((40, 3), "table_mlp", "the rows of a table of 3 columns"),
    ],
)
def test_arrays_choose_a_network_by_their_axes_and_say_so(shape: tuple[int, ...], network: str, words: str, tmp_path: Path):
    listener = Listener()
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=shape), np.arange(40) % 2
    report = striate.train((X, y), epochs=1, output=tmp_path / "run", diagnose=False, observer=listener)
    assert report.network == network
    assert f"arrays: X: read as {words}" in listener.lines
    assert striate.load(report.run).network.input_shape == (shape[-1], *shape[1:-1])


@pytest.mark.parametrize(("shape", "network"), [((30, 16), "signal_cnn"), ((30, 16, 9), "sequence_lstm"), ((30, 4, 5, 6), "volume_cnn")])
def test_a_network_decides_what_ambiguous_arrays_are(shape: tuple[int, ...], network: str, tmp_path: Path):
    """(n, l), (n, l, c) of many channels and (n, d, h, w), which alone would be a table and pictures."""
    X = np.random.default_rng(0).normal(size=shape)
    report = striate.train((X, np.arange(30) % 2), network=network, epochs=1, output=tmp_path / "run", diagnose=False)
    assert striate.load(report.run).images.array_shape == ((*shape[1:], 1) if network != "sequence_lstm" else shape[1:])


def test_a_constant_column_keeps_deviation_1_and_columns_of_any_range_are_learned(tmp_path: Path):
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    X = np.stack([rng.normal(size=80), np.full(80, 0.1), 1e8 * (y + 0.1 * rng.normal(size=80)), 1e-9 * rng.normal(size=80)], 1)
    report = striate.train((X, y), network=tiny((4,)), epochs=8, learning_rate=0.05, output=tmp_path / "run", diagnose=False)
    assert report.val.accuracy == 1
    assert striate.load(report.run).images.std[1] == 1


def test_numbers_are_estimated_from_the_rows_of_a_table(tmp_path: Path):
    X = np.random.default_rng(0).normal(size=(200, 3))
    y = 1000 + 50 * X[:, 0] - 20 * X[:, 2]
    report = striate.train((X, y), network=tiny((3,), 1), epochs=10, learning_rate=0.05, output=tmp_path / "run", diagnose=False)
    assert striate.evaluate(report.run, (X, y)).r2 > 0.98
    (estimate,) = striate.predict(report.run, X[:1])
    assert estimate.values["y"] == pytest.approx(y[0], abs=10)


def test_a_run_on_signals_continues_and_repeats_bit_for_bit(run: Path, tmp_path: Path):
    data = run.parent / "waves.npz"
    half = striate.train(
        data, network=tiny((2, 12)), epochs=4, output=tmp_path / "run", diagnose=False, set={"settings.schedule": "constant"}
    )
    longer = striate.train(resume=half.run, data=None, epochs="+4", diagnose=False)
    whole = striate.train(
        data, network=tiny((2, 12)), epochs=8, output=tmp_path / "whole", diagnose=False, set={"settings.schedule": "constant"}
    )
    assert longer.val == whole.val
    assert striate.repro(run).equal


def test_attacks_change_signals_by_shares_of_each_channels_range(run: Path):
    """Noise of half the range breaks what an eps of 0 leaves; what turns pictures is left out, and alone refused."""
    report = striate.attack(run, attacks=("noise", "pgd", "rotation", "flip"), epsilons=(0.0, 0.5), steps=5)
    assert [result.attack for result in report.results] == ["noise", "pgd"]
    assert all(result.accuracies[0] == report.accuracy for result in report.results)
    assert report.results[1].accuracies[1] < 0.2
    with pytest.raises(UsageError, match="rotation: changes pictures, and the model takes signals"):
        striate.attack(run, attacks=("rotation",))


def test_the_other_verbs_take_signals_and_call_them_so(run: Path, tmp_path: Path):
    np.save(tmp_path / "new.npy", waves(2, 3)[0])
    texts = {}
    for arguments in (
        ["show", str(run)],
        ["diagnose", str(run), "--batches", "3"],
        ["report", str(run)],
        ["predict", str(run), str(tmp_path / "new.npy")],
    ):
        result = runner.invoke(app, arguments)
        assert result.exit_code == 0, result.output
        texts[arguments[0]] = result.stdout
    assert texts["predict"].split()[:2] == ["signal", "answer"]
    assert "picture" not in texts["diagnose"] + texts["predict"]
    assert striate.profile(run, measure=False).input_shape == (2, 12)
    assert striate.calibrate(run).after.ece < 0.5


SIGNALS = np.zeros((6, 12, 2))


@pytest.mark.parametrize(
    ("X", "network", "words"),
    [
        (np.where(np.arange(6)[:, None] % 4, np.ones((6, 3)), np.nan), None, r"X holds values that are missing, .* in 2 of 6 rows"),
        (np.full((6, 3), 1e300), None, r"beyond float32 in 6 of 6 rows, first at index 0"),
        (np.array([["a", "b"]] * 6), "table_mlp", r"X must be numbers, got <U1"),
        (np.zeros((6, 0, 2)), "signal_cnn", r"X must be signals \(n, l, c\), got shape \(6, 0, 2\)"),
        ([np.zeros((5, 2)), np.zeros((7, 2))] * 3, "signal_cnn", r"X is not one array: its items differ in shape"),
        (np.zeros((6, 4, 4, 4, 1)), "lenet5", r"X must be pictures .*, got shape \(6, 4, 4, 4, 1\)"),
        (SIGNALS, tiny((3, 12)), r"tiny takes \(3, 12\), but the signals of arrays are \(2, 12\)"),
        (SIGNALS, Network("steps", (12, 2), Chain(LSTM(4), Linear(2))), r"steps takes \(12, 2\), but the signals of arrays are \(2, 12\)"),
        (SIGNALS, tiny((2, 12), 3), r"tiny has outputs of shape \(3,\), but arrays has 2 classes"),
        (SIGNALS[:, :3], "signal_cnn", r"signal_cnn: .*needs at least"),
    ],
)  # fmt: skip
def test_data_that_does_not_fit_is_refused_in_words(X: Any, network: Any, words: str, tmp_path: Path):
    with pytest.raises((DataError, UsageError), match=words):
        striate.train((X, [0, 1] * 3), network=network, epochs=1, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", [{"flip": True}, {"image_size": 32}, {"normalization": "min_max"}, {"set": {"augmentation.hue": 0.1}}])
def test_options_of_pictures_are_refused_for_signals(option: dict[str, Any], tmp_path: Path):
    with pytest.raises(UsageError, match="changes pictures, and the data has signals"):
        striate.train((SIGNALS, [0, 1] * 3), network=tiny((2, 12)), output=tmp_path / "run", **option)


def test_pictures_and_signals_are_not_taken_for_each_other(run: Path):
    with pytest.raises(UsageError, match="the network takes signals, but digits has pictures"):
        striate.train("digits", network="signal_cnn", epochs=1)
    with pytest.raises(DataError, match=r"the network takes signals of shape \(12, 2\), got signals of shape \(9, 2\)"):
        striate.evaluate(run, waves(10, 0, length=9))


def test_an_lstm_reads_a_signal_step_by_step(tmp_path: Path):
    """Which of two pulses came first is told by their order alone; the network turns (C, L) into steps."""
    rng = np.random.default_rng(0)
    y, X = np.arange(120) % 2, np.zeros((120, 8, 2))
    first, second = rng.integers(0, 4, 120), rng.integers(4, 8, 120)
    X[np.arange(120), first, y], X[np.arange(120), second, 1 - y] = 1, 1
    net = Network("order", (2, 8), Chain(ToSequence(), LSTM(8), Linear(2)))
    report = striate.train((X, y), network=net, epochs=25, learning_rate=0.03, output=tmp_path / "run", diagnose=False)
    assert report.val.accuracy == 1
