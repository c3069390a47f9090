"""A data set in Python and as a picture: `striate.dataset` and `striate datasets NAME`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import striate
from striate.apps.cli import main
from striate.core.errors import DataError, UsageError
from striate.drawing.sheet import SheetRow, contact_sheet
from striate.workflows.datasets import DatasetRequest, look_at


@pytest.mark.row("001-23")
def test_a_data_set_gives_its_splits_classes_and_arrays():
    digits = striate.dataset("digits")

    assert digits.splits == ("train", "test") and digits.classes == tuple("0123456789")
    train, test = (digits.read(split) for split in digits.splits)
    assert train.images.shape == (1438, 8, 8, 1) and train.images.dtype == np.uint8 and train.labels.shape == (1438,)
    assert len(test) == 359 and test.paths[0] == "digits/test/00000"


@pytest.mark.row("001-23")
def test_a_contact_sheet_shows_the_first_pictures_of_each_class(tmp_path, capsys, monkeypatch):
    """Rows are classes with their counts; each picture stands there as it is."""
    drawn = {}
    monkeypatch.setattr(
        "striate.workflows.datasets.contact_sheet", lambda rows, **named: drawn.update(rows=rows) or contact_sheet(rows, **named)
    )
    images, labels = np.random.default_rng(0).integers(0, 256, (9, 6, 8, 3), np.uint8), np.array([2, 0, 2, 2, 0, 2, 2, 0, 2])
    np.savez(tmp_path / "some.npz", x_train=images, y_train=labels, x_test=images[:2], y_test=labels[:2])

    with pytest.raises(SystemExit) as end:
        main(f"datasets {tmp_path}/some.npz --plot {tmp_path}/sheet.png --num 4 --json".split())

    assert not end.value.code
    report = json.loads(capsys.readouterr().out)
    assert report["splits"] == {"train": 9, "test": 2} and report["image"] == "6x8x3"
    assert report["class_counts"]["train"] == {"0": 3, "2": 6}
    assert [row.label for row in drawn["rows"]] == ["0 (3)", "2 (6)"]
    for row, places in zip(drawn["rows"], ([1, 4, 7], [0, 2, 3, 5]), strict=True):
        assert isinstance(row, SheetRow) and np.array_equal(row.images, images[places])
    with Image.open(tmp_path / "sheet.png") as picture:
        seen = {tuple(colour) for colour in np.asarray(picture.convert("RGB")).reshape(-1, 3).tolist()}
    assert {tuple(colour) for colour in images[[1, 2]].reshape(-1, 3).tolist()} <= seen


def test_pictures_of_many_sizes_are_drawn_small_and_counted(tmp_path):
    for name, size in (("a", (300, 200)), ("b", (40, 50))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", size, "red").save(tmp_path / "photos" / name / "1.png")
    report = look_at(DatasetRequest(data=tmp_path / "photos", plot=tmp_path / "sheet.png"))

    assert report.image == "of various sizes" and (tmp_path / "sheet.png").stat().st_size > 500
    with pytest.raises(DataError, match="photos has no test split; it has train"):
        look_at(DatasetRequest(data=tmp_path / "photos", plot=tmp_path / "sheet.png", split="test"))
    with pytest.raises(UsageError, match="arrays has rows, and only pictures can be drawn"):
        look_at(DatasetRequest(data=(np.random.default_rng(0).normal(size=(8, 3)), np.arange(8) % 2), plot=tmp_path / "rows.png"))


def test_a_plot_is_of_one_data_set(capsys):
    with pytest.raises(SystemExit) as end:
        main(["datasets", "--plot", "sheet.png"])
    assert end.value.code == 2 and "--plot: draws one data set" in capsys.readouterr().err
