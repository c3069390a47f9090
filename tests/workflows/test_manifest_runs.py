"""Runs on a table of pictures: every later verb finds pictures, groups and weights again."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import striate
from striate.apps.cli import app
from striate.core.errors import UnknownNameError, UsageError
from striate.data.folds import folds
from striate.data.sources import open_data
from striate.data.splits import Division
from striate.workflows.runs.folder import RunFolder

runner = CliRunner()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 40 dark cats and light dogs in photos/, their table.csv, and a run on that; ten cameras with two of each."""
    folder = tmp_path_factory.mktemp("manifest")
    values = np.random.default_rng(0)
    rows = [["file", "animal", "camera", "importance"]]
    for number in range(40):
        kind = ("cat", "dog")[number % 2]
        path = folder / "photos" / kind / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.normal(60 + 80 * (number % 2), 15, (12, 12)).clip(0, 255).astype(np.uint8)).save(path)
        rows.append([f"{kind}/{path.name}", kind, f"camera {number % 20 // 2}", str(1 + number % 3)])
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    columns = ["--columns", "path=file,label=animal", "--columns", "weight=importance", "--group", "camera"]
    options = ["--root", str(folder / "photos"), "--model", "lenet5", "--epochs", "1", "--no-diagnose", "--output", str(folder / "run")]
    result = runner.invoke(app, ["train", str(folder / "table.csv"), *columns, *options])
    assert result.exit_code == 0, result.output
    return folder


def test_a_whole_group_is_held_out_and_slices_measure_its_parts(trained: Path, tmp_path: Path):
    report = striate.evaluate(trained / "run", slices=["camera", "animal"], output=tmp_path)

    (camera,) = report.slices["camera"].items()
    assert camera[1].num_images == report.num_images == 4  # one camera of ten
    assert {name: one.num_images for name, one in report.slices["animal"].items()} == {"cat": 2, "dog": 2}
    for name, one in report.slices["animal"].items():
        assert one.accuracy == report.classes[name].recall
        assert one.accuracy_interval == report.classes[name].recall_interval
    lines = (tmp_path / "slices.csv").read_text().splitlines()
    assert lines[0] == "column,value,accuracy,accuracy_low,accuracy_high,pictures"
    assert len(lines) == 4
    with pytest.raises(UnknownNameError, match=r"unknown column in `slices` 'camra'\nDid you mean camera"):
        striate.evaluate(trained / "run", slices=["camra"])
    with pytest.raises(UsageError, match="the data is no table of pictures"):
        striate.evaluate(trained / "run", trained / "photos", slices=["camera"])


def test_a_run_on_a_table_is_repeated_bit_for_bit_with_its_weights(trained: Path):
    assert striate.repro(trained / "run").equal
    assert RunFolder(trained / "run").read_config().columns == {"path": "file", "label": "animal", "weight": "importance"}


def test_a_run_on_a_table_is_continued(trained: Path, tmp_path: Path):
    shutil.copytree(trained / "run", tmp_path / "run")

    assert striate.train(None, resume=tmp_path / "run", epochs="+1").epochs == 2


def test_other_verbs_find_the_held_out_pictures_of_a_table(trained: Path, tmp_path: Path):
    calibrated = striate.calibrate(trained / "run", output=tmp_path / "model.safetensors")
    assert calibrated.fitted.num_images == 4
    for shade in (60, 140):
        Image.fromarray(np.full((12, 12), shade, np.uint8)).save(tmp_path / f"{shade}.png")
    (tmp_path / "other.csv").write_text("file,kind\n60.png,cat\n140.png,dog\n")
    report = striate.evaluate(trained / "run", tmp_path / "other.csv", columns={"label": "kind"}, root=tmp_path)
    assert (report.split, report.num_images) == ("all", 2)


def test_folds_keep_cameras_together(trained: Path):
    source = striate.dataset(trained / "table.csv", columns={"path": "file", "label": "animal"}, group="camera", root=trained / "photos")
    for fold in folds(source, 5):
        train, val = (set(fold.facts(split).columns["camera"]) for split in ("train", "val"))
        assert not train & val
        assert fold.num_images("val") == 8


def test_the_table_of_a_folder_is_divided_as_the_folder_is(trained: Path):
    by_table = striate.dataset(trained / "table.csv", columns={"path": "file", "label": "animal"}, root=trained / "photos")
    by_folder = open_data(trained / "photos")

    assert by_table.identities("train") == by_folder.identities("train")
    np.testing.assert_array_equal(Division().divide(by_table).val, Division().divide(by_folder).val)
