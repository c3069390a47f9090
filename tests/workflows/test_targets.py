"""Numbers and sets of labels end to end: train, evaluate and predict, in Python and on the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.metrics import average_precision_score, r2_score
from typer.testing import CliRunner

import striate
from striate.apps.cli import app
from striate.core.errors import DataError, UsageError
from striate.data.archives import npz_arrays
from striate.engine.settings import TrainSettings
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, Flatten, Linear, Pool
from striate.networks.network import Network
from striate.workflows.tasks.suited import suited_to
from striate.workflows.training.repro import ReproRequest, repro

HEIGHT, WIDTH = 8, 12


class Squares(NamedTuple):
    """Pictures of one bright square on noise, and where it is."""

    X: np.ndarray
    left: np.ndarray
    top: np.ndarray

    @property
    def numbers(self) -> np.ndarray:
        """(n, 2), in units that differ by five orders of magnitude."""
        return np.stack([1000 + 100.0 * self.left, 0.001 * self.top], 1)

    @property
    def labels(self) -> np.ndarray:
        """(n, 3): in the right half, in the lower half, and far from the corner."""
        return np.stack([self.left > 4, self.top > 2, self.left + self.top > 8], 1).astype(np.int64)


def squares(count: int, seed: int) -> Squares:
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 60, (count, HEIGHT, WIDTH), dtype=np.uint8)
    left, top = rng.integers(0, WIDTH - 2, count), rng.integers(0, HEIGHT - 2, count)
    for picture, x, y in zip(X, left, top, strict=True):
        picture[y : y + 3, x : x + 3] = 250
    return Squares(X, left, top)


def tiny(outputs: int) -> Network:
    body = (Conv(6, 3, padding=1), BatchNorm(), Activation("relu"), Pool("max", 2), Flatten())
    return Network("tiny", (1, HEIGHT, WIDTH), Chain(*body, Linear(32), Activation("relu"), Linear(outputs)))


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, striate.TrainReport]:
    folder = tmp_path_factory.mktemp("regression")
    train, test = squares(320, 0), squares(80, 1)
    np.savez(folder / "squares.npz", x_train=train.X, y_train=train.numbers, x_test=test.X, y_test=test.numbers, y_names=["left", "top"])
    return folder / "run", striate.train(folder / "squares.npz", network=tiny(2), epochs=12, output=folder / "run", diagnose=False)


@pytest.fixture(scope="module")
def multilabel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, striate.TrainReport]:
    folder = tmp_path_factory.mktemp("multilabel")
    train, test = squares(320, 0), squares(80, 1)
    np.savez(
        folder / "squares.npz", x_train=train.X, y_train=train.labels, x_test=test.X, y_test=test.labels, y_names=["right", "low", "far"]
    )
    return folder / "run", striate.train(folder / "squares.npz", network=tiny(3), epochs=12, output=folder / "run", diagnose=False)


# ---- numbers


def test_numbers_are_learned_and_reported_in_the_users_units(regression):
    folder, report = regression
    test = squares(80, 1)

    measured = striate.evaluate(folder)
    answers = striate.load(folder).predict(test.X)

    estimates = np.array([[item.values["left"], item.values["top"]] for item in answers])
    assert measured.outputs["left"].r2 == pytest.approx(r2_score(test.numbers[:, 0], estimates[:, 0]))
    assert measured.outputs["top"].mae == pytest.approx(np.abs(estimates - test.numbers)[:, 1].mean())
    assert measured.r2 > 0.9
    assert abs(measured.outputs["left"].bias) < 50 and abs(measured.outputs["top"].bias) < 5e-4
    assert report.val.accuracy is None and report.val.measures["r2"] > 0.9


def test_the_validation_loss_is_the_squared_error_in_training_deviations(regression):
    folder, report = regression
    model = striate.load(folder)
    data = npz_arrays(folder.parent / "squares.npz")

    val = striate.evaluate(folder, split="val")

    assert np.std(data["y_train"], axis=0) == pytest.approx(np.array(model.targets.std), rel=0.2)
    expected = np.mean([(val.outputs[name].rmse / std) ** 2 for name, std in zip(("left", "top"), model.targets.std, strict=True)])
    assert report.val.loss == pytest.approx(expected, rel=1e-4)
    assert report.val.measures["rmse"] == pytest.approx(val.rmse)


def test_a_run_of_numbers_says_its_task_and_shows_no_accuracies(regression):
    folder, _ = regression
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["task"], config["settings"]["loss"]) == ("regression", "mse")
    assert config["augmentation"]["crop_padding"] == 0 and not config["augmentation"]["flip"]
    with (folder / "metrics.csv").open() as lines:
        assert not [name for name in next(csv.reader(lines)) if "accuracy" in name]
    assert striate.load(folder).classes == ("left", "top")


def test_an_evaluation_of_numbers_leaves_tables_and_a_picture(regression):
    folder, _ = regression
    striate.evaluate(folder)
    report = folder / "report" / "evaluate-test"
    with (report / "predictions.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 80 and list(rows[0]) == ["path", "left", "left estimate", "top", "top estimate"]
    assert float(rows[7]["left"]) == squares(80, 1).numbers[7, 0]
    with (report / "outputs.csv").open() as lines:
        assert [row["name"] for row in csv.DictReader(lines)] == ["left", "top"]
    with Image.open(report / "scatter.png") as picture:
        assert picture.size[0] > 400
    assert json.loads((report / "measures.json").read_text())["num_images"] == 80


# ---- labels


def test_labels_are_learned_each_for_itself(multilabel):
    folder, report = multilabel
    test = squares(80, 1)

    measured = striate.evaluate(folder)
    answers = striate.load(folder).predict(test.X)

    probabilities = np.array([list(item.values.values()) for item in answers])
    by_label = [average_precision_score(test.labels[:, k], probabilities[:, k]) for k in range(3)]
    assert measured.mean_average_precision == pytest.approx(np.mean(by_label))
    given = np.array([[name in item.labels for name in ("right", "low", "far")] for item in answers])
    assert measured.subset_accuracy == pytest.approx((given == test.labels).all(1).mean())
    assert measured.mean_average_precision > 0.9 and measured.subset_accuracy > 0.6
    assert report.val.accuracy == report.val.measures["subset_accuracy"]


def test_the_validation_loss_of_labels_is_their_log_loss(multilabel):
    folder, report = multilabel
    assert striate.evaluate(folder, split="val").log_loss == pytest.approx(report.val.loss, rel=1e-4)
    assert yaml.safe_load((folder / "config.yaml").read_text())["settings"]["loss"] == "binary_cross_entropy"


# ---- the command line


def test_the_command_line_trains_measures_and_predicts_numbers(regression, tmp_path):
    folder, _ = regression
    run = CliRunner().invoke
    data = str(folder.parent / "squares.npz")
    command = ["train", data, "--model", "lenet5", "--img-size", "32", "--steps", "2", "--loss", "huber"]
    trained = run(app, [*command, "--task", "regression", "--output", str(tmp_path / "run"), "--json"])
    assert trained.exit_code == 0, trained.output
    report = json.loads(trained.stdout)
    assert report["val"]["accuracy"] is None and set(report["val"]["measures"]) == {"r2", "mae", "rmse"}
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["settings"]["loss"] == "huber"
    refused = run(app, [*command[:-1], "hinge"])
    assert isinstance(refused.exception, UsageError) and "`task='regression'` cannot be trained on the hinge loss" in str(refused.exception)
    misspelt = run(app, [*command[:-1], "hubber"])
    assert isinstance(misspelt.exception, UsageError) and "`loss`: " in str(misspelt.exception)

    shown = run(app, ["evaluate", str(folder)])
    assert shown.exit_code == 0 and "R2 0.9" in shown.stdout and "rms error" in shown.stdout
    assert json.loads(run(app, ["evaluate", str(folder), "--json"]).stdout)["outputs"]["left"]["r2"] > 0.9

    Image.fromarray(squares(1, 5).X[0]).save(tmp_path / "one.png")
    answer = json.loads(run(app, ["predict", str(folder), str(tmp_path / "one.png"), "--json"]).stdout)
    assert list(answer[0]["values"]) == ["left", "top"]
    assert run(app, ["predict", str(folder), str(tmp_path / "one.png"), "--csv"]).stdout.splitlines()[0] == "path,left,top"
    assert "left " in run(app, ["predict", str(folder), str(tmp_path / "one.png")]).stdout
    drawn = run(app, ["predict", str(folder), str(tmp_path / "one.png"), "--plot", str(tmp_path / "plot.png")])
    assert isinstance(drawn.exception, UsageError) and "`plot`: only classes and masks can be drawn" in str(drawn.exception)


def test_the_command_line_shows_labels(multilabel, tmp_path):
    folder, _ = multilabel
    shown = CliRunner().invoke(app, ["evaluate", str(folder)])
    assert "mean average precision" in shown.stdout and "all labels correct" in shown.stdout
    Image.fromarray(squares(1, 5).X[0]).save(tmp_path / "one.png")
    answer = json.loads(CliRunner().invoke(app, ["predict", str(folder), str(tmp_path / "one.png"), "--json"]).stdout)
    assert set(answer[0]) == {"path", "labels", "probabilities"}


# ---- again


def test_a_regression_can_be_repeated_bit_for_bit(tmp_path):
    train = squares(60, 4)
    np.savez(tmp_path / "few.npz", x_train=train.X, y_train=train.left.astype(float))
    striate.train(tmp_path / "few.npz", network=tiny(1), task="regression", steps=4, output=tmp_path / "run", diagnose=False)
    assert repro(ReproRequest(run=tmp_path / "run")).equal


# ---- what is refused


def test_each_task_has_its_losses():
    assert suited_to("regression", TrainSettings()).loss == "mse"
    assert suited_to("regression", TrainSettings(loss="huber")).loss == "huber"
    assert suited_to("multilabel", TrainSettings()).loss == "binary_cross_entropy"
    assert suited_to("classify", TrainSettings(loss="mse")).loss == "mse"
    with pytest.raises(UsageError, match=r"`task='regression'` cannot be trained on the hinge loss\nTake one of mse, l1, huber"):
        suited_to("regression", TrainSettings(loss="hinge"))


@pytest.mark.parametrize("asked", [{"loss": "cross_entropy"}, {"set": {"settings.loss": "cross_entropy"}}])
def test_a_loss_that_was_asked_for_is_not_silently_another(asked, tmp_path):
    arrays = np.zeros((9, HEIGHT, WIDTH), np.uint8), np.eye(3, dtype=np.int64).repeat(3, 0)
    words = r"`task='multilabel'` cannot be trained on the cross_entropy loss\nTake one of binary_cross_entropy"

    with pytest.raises(UsageError, match=words):
        striate.train(arrays, task="multilabel", network=tiny(3), steps=1, output=tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()


def test_other_targets_than_the_models_are_an_error(regression):
    folder, _ = regression
    test = squares(4, 3)
    with pytest.raises(DataError, match=r"has the targets 1 \(y\), but the model gives 2 \(left, top\)"):
        striate.evaluate(folder, (test.X, test.numbers[:, 0]), split="train")
