"""The CSV files of an evaluation, read back with the csv module."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from striate.core.errors import EnvironmentFault, UsageError
from striate.core.tables import csv_text
from striate.insight.measure import tables
from striate.insight.measure.classes import measure
from striate.insight.measure.tables import write_classes_csv, write_confusion_csv, write_confusions_csv, write_predictions_csv

CLASSES = ("cat", '=cmd|" /C calc"!A0', "two\nlines, and a comma")
PROBS = np.array([[0.7, 0.2, 0.1], [0.4, 0.4, 0.2], [0.1, 0.65, 0.25], [1.0, 0.0, 0.0]])
LABELS = np.array([0, 1, 1, 0])


def read(path: Path) -> list[list[str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, strict=True))


def test_the_confusion_table_has_true_classes_as_rows(tmp_path: Path) -> None:
    write_confusion_csv(tmp_path / "confusion.csv", CLASSES, measure(PROBS, LABELS, CLASSES).confusion_matrix or ())

    assert read(tmp_path / "confusion.csv") == [
        ["true \\ predicted", "cat", '=cmd|" /C calc"!A0', "two\nlines, and a comma"],
        ["cat", "2", "0", "0"],
        ['=cmd|" /C calc"!A0', "1", "1", "0"],
        ["two\nlines, and a comma", "0", "0", "0"],
    ]


def test_of_many_classes_the_pairs_that_occur_are_listed(tmp_path: Path) -> None:
    write_confusions_csv(tmp_path / "confusion.csv", CLASSES, np.array([0, 1, 1, 0, 1]), np.array([0, 0, 1, 0, 1]))

    assert read(tmp_path / "confusion.csv") == [
        ["true", "predicted", "pictures"],
        ["cat", "cat", "2"],
        [CLASSES[1], CLASSES[1], "2"],
        [CLASSES[1], "cat", "1"],
    ]


def test_the_first_of_many_classes_are_those_of_a_full_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    probs = np.random.default_rng(0).integers(0, 4, (50, 9)).astype(np.float32)
    expected = np.argsort(-probs, axis=1, kind="stable")[:, :5]

    monkeypatch.setattr(tables, "MOST_IN_MATRIX", 8)

    np.testing.assert_array_equal(tables.first_of(probs, 5), expected)


def test_the_class_table_leaves_the_unknown_empty(tmp_path: Path) -> None:
    """Wilson's limits of 2 of 3 and of 2 of 2, from scipy, to six digits."""
    write_classes_csv(tmp_path / "classes.csv", measure(PROBS, LABELS, CLASSES))

    header, cat, _, absent = read(tmp_path / "classes.csv")
    rates = [f"{rate}{limit}" for rate in ("precision", "recall", "f1") for limit in ("", "_low", "_high")]
    assert header == ["class", *rates, "support", "predicted"]
    assert cat[:7] == ["cat", "0.666667", "0.20766", "0.938508", "1", "0.34238", "1"]
    assert cat[7] == "0.8" and cat[10:] == ["2", "3"]
    assert absent == ["two\nlines, and a comma", *[""] * 9, "0", "0"]


def test_the_prediction_table_has_one_row_an_image(tmp_path: Path) -> None:
    """Ties keep the classes' order; names are what they are; a byte that is no text is escaped, so that the file is UTF-8."""
    names = ["a.png", "-1.png", "line\rbreak.png", "bad\udcff.png"]

    write_predictions_csv(tmp_path / "predictions.csv", names, PROBS, LABELS, CLASSES, top=2)

    formula = '=cmd|" /C calc"!A0'
    assert read(tmp_path / "predictions.csv") == [
        ["path", "label", "class", "probability", "correct", "label_probability", "class2", "probability2"],
        ["a.png", "cat", "cat", "0.7", "true", "0.7", formula, "0.2"],
        ["-1.png", formula, "cat", "0.4", "false", "0.4", formula, "0.4"],
        ["line\rbreak.png", formula, formula, "0.65", "true", "0.65", "two\nlines, and a comma", "0.25"],
        ["bad\\xff.png", "cat", "cat", "1", "true", "1", formula, "0"],
    ]


def test_the_prediction_table_needs_a_name_an_image(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names must have 4 entries, one per row of probs, got 1"):
        write_predictions_csv(tmp_path / "predictions.csv", ["a.png"], PROBS, LABELS, CLASSES)
    assert not list(tmp_path.iterdir())


def test_a_table_in_a_folder_that_is_gone_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"gone.confusion\.csv: cannot write"):
        write_confusion_csv(tmp_path / "gone" / "confusion.csv", CLASSES, [[0] * 3] * 3)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_is_a_formula_only_where_no_spreadsheet_is_meant(start: str) -> None:
    row = [f"{start}1+1", f"1{start}1", "", "-90", "+1.5e3"]

    exact = csv_text(["a", "b", "c", "d", "e"], [row])
    safe = csv_text(["a", "b", "c", "d", "e"], [row], spreadsheet=True)

    assert list(csv.reader(io.StringIO(exact, newline="")))[1] == row
    assert list(csv.reader(io.StringIO(safe, newline="")))[1] == [f"'{start}1+1", *row[1:]]
