"""A run that a hinge loss taught: its answers carry scores, until a temperature makes probabilities of them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.apps.cli import main
from striate.data.sources import open_data
from striate.workflows.evaluation.evaluate import summary


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "machine"
    striate.train("digits", network="compact_cnn", epochs=2, loss="squared_hinge", output=folder)
    return folder


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "digit.png"
    Image.fromarray(open_data("digits").read("test").images[0, :, :, 0]).save(path)
    return path


def command(*words: str) -> None:
    """A command that ends well."""
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    assert not caught.value.code


def test_the_command_line_prints_scores_in_each_form(run, picture, tmp_path, capsys):
    model = striate.load(run)
    row = model.outputs(model.read([picture]))[0]
    first, second = np.argsort(-row)[:2]

    command("predict", str(run), str(picture), "--top", "2", "--plot", str(tmp_path / "answer.png"))
    shown = capsys.readouterr()
    assert f"{first} score {row[first]:.2f}, {second} score {row[second]:.2f}" in shown.out and "%" not in shown.out
    assert "scores of a hinge loss, not probabilities; `striate calibrate` writes a model that gives probabilities" in shown.err
    assert (tmp_path / "answer.png").stat().st_size > 1000
    command("predict", str(run), str(picture), "--json")
    (record,) = json.loads(capsys.readouterr().out)
    assert record["score"] == pytest.approx(row[first]) and "probability" not in record
    assert record["top"] == [{"class": str(first), "score": record["score"]}]
    command("predict", str(run), str(picture), "--csv")
    assert next(csv.DictReader(capsys.readouterr().out.splitlines()))["score"] == f"{row[first]:.6f}"


def test_a_temperature_makes_probabilities_of_the_scores(run, picture):
    found = striate.calibrate(run)
    calibrated = striate.load(found.output)
    logits = calibrated.outputs(calibrated.read([picture]))[0] / found.after.temperature
    (answer,) = calibrated.predict([picture])
    assert answer.score is None
    assert answer.probability == pytest.approx(float(np.exp(logits.max()) / np.exp(logits).sum()))
    assert "(a hinge loss" not in summary(striate.evaluate(found.output, "digits", split="val"))


def test_evaluate_says_whose_softmax_is_measured(run):
    report = striate.evaluate(run, split="val")
    assert report.of_scores
    assert "(the network was trained with a hinge loss: the softmax of its scores" in summary(report)
