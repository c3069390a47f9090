"""Tables in CSV files end to end: numbers and classes are learned, measured and answered by the names of the columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_wine
from typer.testing import CliRunner

import striate
from striate.apps.cli import app
from striate.core.errors import DataError, UnknownNameError
from striate.data.tables import open_table, read_table

runner = CliRunner()


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], delimiter: str = ",") -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's wines with their cultivar as text in the middle column, and a run on them beside it."""
    folder, bunch = tmp_path_factory.mktemp("wine"), load_wine()
    names = [*bunch.feature_names[:6], "cultivar", *bunch.feature_names[6:]]
    rows = [[*row[:6], "abc"[label], *row[6:]] for row, label in zip(bunch.data, bunch.target, strict=True)]
    file, run = write(folder / "wine.csv", names, rows), folder / "run"
    options = ["--target", "cultivar", "--epochs", "12", "--output", str(run), "--no-diagnose"]
    result = runner.invoke(app, ["train", str(file), *options])
    assert result.exit_code == 0, result.output
    return folder


def test_classes_are_learned_from_a_csv_file_whose_columns_have_many_ranges(wine: Path):
    """Proline is about 750 and hue about 1; the mean and deviation of each are in the model file, with the columns' names."""
    model, bunch = striate.load(wine / "run"), load_wine()
    assert model.classes == ("a", "b", "c")
    assert model.images.columns == tuple(bunch.feature_names)
    assert model.images.mean[12] == pytest.approx(bunch.data[:, 12].mean(), rel=0.05)
    assert striate.evaluate(wine / "run").accuracy >= 0.9


def test_columns_are_found_by_name_in_whatever_order_and_others_are_not_read(wine: Path, tmp_path: Path):
    bunch, chosen = load_wine(), [0, 70, 177]
    header = ["note", *reversed(bunch.feature_names)]
    file = write(tmp_path / "new.csv", header, [["a, b", *reversed(bunch.data[place])] for place in chosen])
    result = runner.invoke(app, ["predict", str(wine / "run"), str(file), "--json"])
    assert result.exit_code == 0, result.output
    answers = json.loads(result.stdout)
    assert [answer["path"] for answer in answers] == [f"{file}:{line}" for line in (2, 3, 4)]
    by_array = striate.predict(wine / "run", bunch.data[chosen])
    assert [answer["class"] for answer in answers] == [answer.class_name for answer in by_array]
    assert [answer["probability"] for answer in answers] == [answer.probability for answer in by_array]


def test_numbers_are_learned_from_a_table_with_semicolons(tmp_path: Path):
    bunch = load_diabetes(scaled=False)
    rows = [[*row, target] for row, target in zip(bunch.data, bunch.target, strict=True)]
    file = write(tmp_path / "diabetes.csv", [*bunch.feature_names, "progression"], rows, delimiter=";")
    report = striate.train(file, epochs=4, output=tmp_path / "run", diagnose=False)
    measured = striate.evaluate(report.run)
    assert measured.r2 > 0.3
    assert list(measured.outputs) == ["progression"]
    assert set(striate.predict(report.run, file)[0].values) == {"progression"}


def test_arrays_in_files_are_answered_too(wine: Path, tmp_path: Path):
    data = load_wine().data[:3]
    np.save(tmp_path / "rows.npy", data)
    np.savez(tmp_path / "rows.npz", x=data)
    answers = [[item.class_name for item in striate.predict(wine / "run", tmp_path / f"rows.{suffix}")] for suffix in ("npy", "npz")]
    assert answers[0] == answers[1] == [item.class_name for item in striate.predict(wine / "run", data)]


def test_whole_numbers_are_classes_where_they_are_few_unless_the_task_says_otherwise(tmp_path: Path):
    file = write(tmp_path / "t.csv", ["x", "y"], [[place / 7, place % 3] for place in range(30)])
    assert open_table(read_table(file)).classes == ("0", "1", "2")
    assert open_table(read_table(file), task="regression").task == "regression"
    assert open_table(read_table(file), "x").task == "regression"


GOOD: list[list[object]] = [[1.5, 2, "a"], [2.5, 3, "b"], [3.5, 4, "a"]]


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        (["x", "y", "z"], [GOOD[0], [2.5, "", "b"], [3.5, "", "a"]], r"line 3, column 'y': the value is missing \(2 of 3 rows"),
        (["x", "y", "z"], [GOOD[0], [2.5, "tall", "b"], GOOD[2]], r"line 3, column 'y': must be a finite number, got 'tall'"),
        (["x", "y", "z"], [GOOD[0], ["inf", 3, "b"], GOOD[2]], r"line 3, column 'x': must be a finite number, got 'inf'"),
        (["x", "y", "z"], [GOOD[0], [2.5, 3], GOOD[2]], r"line 3 has 2 cells, but there are 3 columns"),
        (["x", "y", "z"], [GOOD[0], [2.5, 3, " "], GOOD[2]], r"line 3, column 'z': 1 of 3 rows have no target"),
        (["x", "x", "z"], GOOD, r"the first line must name the columns, each differently"),
        (["1", "2", "3"], GOOD, r"the first line must name the columns"),
        (["x", "y", "z"], [], r"needs two columns and one row at least"),
        (["x", "y", "z"], [[1, 2, "a"]] * 3, r"z: a classifier needs at least two classes, got only 'a'"),
    ],
)
def test_a_table_that_cannot_be_learned_is_refused_with_its_line(header: list[str], rows: list[list[object]], words: str, tmp_path: Path):
    with pytest.raises(DataError, match=words) as caught:
        striate.train(write(tmp_path / "t.csv", header, rows), output=tmp_path / "run")
    assert caught.value.exit_code == 3
    assert not (tmp_path / "run").exists()


def test_what_is_no_csv_and_a_column_that_is_not_there_are_refused(wine: Path, tmp_path: Path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00x,y\n1,2\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(UnknownNameError, match=r"unknown column of .*: 'cultivr'"):
        open_table(read_table(wine / "wine.csv"), "cultivr")
    other = write(tmp_path / "other.csv", ["x", "y"], [[1, 2], [3, 4]])
    for verb in ("predict", "evaluate"):
        refused = runner.invoke(app, [verb, str(wine / "run"), str(other)]).exception
        assert isinstance(refused, DataError)
        assert "has no column" in refused.message
