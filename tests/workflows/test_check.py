"""`striate check` on a small folder with everything wrong that it looks for, and `--drop` in the training that follows."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import striate
from striate.apps.cli.app import app
from striate.core.errors import DataError, EnvironmentFault, RefusedFileError, UnknownNameError, UsageError
from striate.data.dropped import read_drop_list
from striate.data.sources import open_data
from striate.insight.check import embedding
from striate.workflows.checking import judging
from striate.workflows.checking.record import CheckReport
from striate.workflows.checking.surveying import Picture

LABELS = ("oak", "pine")


def scene(seed: int, side: int = 40) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((side, side + 8), Image.Resampling.BICUBIC)


def clean(root: Path, splits: tuple[str, ...] = ("train", "test"), count: int = 6) -> Path:
    """root/SPLIT/CLASS/N.png of pictures that differ."""
    seed = 0
    for split in splits:
        for label in LABELS:
            (root / split / label).mkdir(parents=True)
            for number in range(count):
                seed += 1
                scene(seed).save(root / split / label / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy, a leak, a turned and re-encoded leak, two labels, a cut file, a blank picture and folders that are none."""
    root = clean(tmp_path_factory.mktemp("check") / "trees")
    train, test = root / "train", root / "test"
    shutil.copy(train / "oak/0.png", train / "oak/copy.png")
    shutil.copy(train / "oak/1.png", test / "oak/leak.png")
    Image.open(train / "pine/1.png").rotate(90, expand=True).save(test / "pine/turned.jpg", quality=85)
    shutil.copy(train / "oak/2.png", train / "pine/same.png")
    (train / "pine/cut.png").write_bytes((train / "pine/0.png").read_bytes()[:300])
    Image.new("RGB", (40, 48), (9, 9, 9)).save(train / "pine/blank.png")
    (train / "oak/pine").mkdir()
    scene(99).save(train / "oak/pine/inner.png")
    (train / ".ipynb_checkpoints").mkdir()
    scene(98).save(train / ".ipynb_checkpoints/hidden.png")
    return root


@pytest.fixture(scope="module")
def report(sick: Path) -> CheckReport:
    return striate.check(sick, output=sick.parent / "page.html", fix_list=sick.parent / "drop.csv", preview=True, seed=1)


def names(paths: tuple[str, ...], root: Path) -> set[str]:
    return {Path(path).relative_to(root).as_posix() for path in paths}


def test_each_thing_that_is_wrong_is_found_and_nothing_else(sick: Path, report: CheckReport):
    assert report.trainable and report.num_images == 31 and report.splits == {"train": 17, "test": 14}
    assert report.classes == {"oak": 15, "pine": 16}
    assert [names((one.path,), sick) for one in report.unreadable] == [{"train/pine/cut.png"}]
    leaks = [names(one.paths, sick) for one in report.leaks]
    assert {frozenset(leak) for leak in leaks} == {
        frozenset({"train/oak/1.png", "test/oak/leak.png"}),
        frozenset({"train/pine/1.png", "test/pine/turned.jpg"}),
    }
    assert [names(one.paths, sick) for one in report.two_labels] == [{"train/oak/2.png", "train/pine/same.png"}]
    assert {"train/oak/0.png", "train/oak/copy.png"} in [names(group, sick) for group in report.duplicates]
    assert names(report.flaws["blank"], sick) == {"train/pine/blank.png"}
    kinds = {finding.kind: finding for finding in report.findings}
    assert kinds["leaks"].severity == "error" and report.findings[0].kind == "leaks"
    assert {"unreadable", "two_labels", "duplicates", "flaws", "nested_folders", "left_out"} <= kinds.keys()
    assert "oak/pine/ (1)" in kinds["nested_folders"].message
    assert ".ipynb_checkpoints/hidden.png" in kinds["left_out"].message
    assert report.judged is not None and report.exit_code == 1


def test_the_page_holds_its_pictures_and_nothing_from_elsewhere(report: CheckReport):
    page = Path(report.page).read_text()
    assert page.count("data:image/jpeg;base64,") > 15
    assert "In two splits" in page and "What the network sees" in page
    assert "http" not in page.replace("http-equiv", "")
    assert json.loads(Path(report.page).with_suffix(".json").read_text())["num_images"] == 31


def test_the_list_says_what_to_drop_and_why(sick: Path, report: CheckReport):
    with Path(report.fix_list).open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    sure = {name: row["reason"] for name, row in rows.items() if row["drop"] == "yes"}
    assert sure == {
        "train/pine/cut.png": "unreadable",
        "train/oak/copy.png": "duplicate",
        "train/oak/1.png": "leak",
        "train/pine/1.png": "near leak",
        "train/oak/2.png": "copy with another label",
        "train/pine/same.png": "copy with another label",
        "train/pine/blank.png": "blank",
    }
    assert report.num_dropped == 7


def test_a_training_and_an_evaluation_leave_out_what_the_list_says(sick: Path, report: CheckReport, tmp_path: Path):
    given = {"network": "lenet1", "image_size": 28, "epochs": 1, "diagnose": False}
    with pytest.raises(DataError, match=r"cut\.png"):
        striate.train(sick, output=tmp_path / "none", **given)
    trained = striate.train(sick, drop=report.fix_list, output=tmp_path / "run", **given)

    assert trained.num_train + trained.num_val == 17 - 7
    assert sum(one.count for one in trained.left_out if "list of what to drop" in one.why) == 7
    kept = json.loads((tmp_path / "run" / "split.json").read_text())
    assert "train/oak/copy.png" not in str(kept) and "train/oak/0.png" in str(kept)
    assert striate.evaluate(trained.run, split="val").num_images == trained.num_val

    rest = tmp_path / "rest.csv"
    rest.write_text(f"drop,name,sha256,reason,beside\nyes,test/oak/leak.png,{digest(report, sick, 'test/oak/leak.png')},leak,\n")
    assert striate.evaluate(trained.run, sick, split="test", drop=rest, skip_unreadable=True).num_images == 13


def digest(report: CheckReport, root: Path, name: str) -> str:
    import hashlib

    return hashlib.sha256((root / name).read_bytes()).hexdigest()[:16]


def test_a_picture_that_changed_since_the_check_is_read_and_said(sick: Path, report: CheckReport, tmp_path: Path):
    moved = tmp_path / "trees"
    shutil.copytree(sick, moved)
    scene(500).save(moved / "train/oak/copy.png")
    (moved / "train/oak/1.png").unlink()
    said: list[str] = []
    source = open_data(moved, drop=Path(report.fix_list), say=said.append)

    assert source.num_images("train") == 17 - 6
    assert "drop.csv: 1 picture has changed since the list was written, read: train/oak/copy.png" in said
    assert "drop.csv: 1 picture is not there: train/oak/1.png" in said


def test_arrays_are_checked_and_dropped_by_number(tmp_path: Path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20, 12, 10), dtype=np.uint8), np.arange(20) % 2
    images[7], labels[7] = images[1], labels[1]
    report = striate.check((images, labels), output=tmp_path / "page.html", fix_list=tmp_path / "drop.csv")

    assert report.duplicates == (("arrays/train/00001", "arrays/train/00007"),)
    assert read_drop_list(tmp_path / "drop.csv").digests.keys() == {"train/00007"}
    source = open_data((images, labels), drop=tmp_path / "drop.csv")
    assert source.num_images("train") == 19 and np.array_equal(source.read("train").images[7, ..., 0], images[8])
    assert source.identities("train").names[7] == "train/00008"


def test_clean_data_has_no_findings_and_data_that_cannot_teach_is_told_apart(tmp_path: Path):
    runner = CliRunner()
    good, bad = clean(tmp_path / "good"), clean(tmp_path / "bad", ("train",))
    shutil.rmtree(bad / "train" / "pine")
    lost = clean(tmp_path / "lost", ("train",))
    for file in (lost / "train/pine").iterdir():
        file.write_bytes(b"")

    results = [
        runner.invoke(app, ["check", str(folder), "--output", str(tmp_path / f"{folder.name}.html"), "--json"])
        for folder in (good, bad, lost)
    ]

    assert [result.exit_code for result in results] == [0, 3, 3]
    assert [json.loads(result.stdout)["trainable"] for result in results] == [True, False, False]
    assert "a classifier needs at least two classes, got only 'oak'" in json.loads(results[1].stdout)["findings"][0]["message"]
    assert "no readable training picture of class 'pine'" in results[2].stdout


def test_bad_input_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no such folder or file"):
        striate.check("nowhere/photos")
    with pytest.raises(UnknownNameError, match="unknown data set 'mnits'"):
        striate.check("mnits")
    with pytest.raises(DataError, match="no pictures"):
        striate.check("empty")
    with pytest.raises(UsageError, match="only pictures can be checked"):
        striate.check((np.zeros((8, 30), np.float32), np.arange(8) % 2))
    with pytest.raises(UsageError, match=r"must end in \.html"):
        striate.check("empty", output="page.pdf")
    with pytest.raises(EnvironmentFault, match="its folder does not exist"):
        striate.check("empty", fix_list="none/drop.csv")
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(EnvironmentFault, match="is not a folder"):
        striate.check("empty")
    assert [path.name for path in tmp_path.iterdir()] == ["empty", "runs"] or {path.name for path in tmp_path.iterdir()} == {
        "empty",
        "runs",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\n", "must begin with drop,name,sha256,reason,beside"),
        ("drop,name,sha256,reason,beside\nperhaps,a.png,00,x,\n", "line 2: not yes or no, a name and a hash: perhaps"),
        ("drop,name,sha256,reason,beside\nyes,a.png,zz,x,\n", "line 2"),
    ],
)
def test_a_list_that_is_none_names_the_line(tmp_path: Path, text: str, words: str):
    path = tmp_path / "drop.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_drop_list(path)
    with pytest.raises(DataError, match="no such list of pictures to drop"):
        read_drop_list(tmp_path / "other.csv")


def test_labels_of_too_many_classes_are_not_judged_and_it_is_said(monkeypatch: pytest.MonkeyPatch):
    pictures = [Picture("train", place, f"{place}.png", f"{place}.png", place % 5, b"") for place in range(20)]
    monkeypatch.setattr(judging, "MOST_ANSWERS", 99)

    verdict = judging.judge(pictures, np.eye(20), tuple("abcde"), [], 0)

    assert verdict == ([], None, ("labels were not judged: 20 pictures of 5 classes are too many", "Check fewer classes at a time."))


def test_a_damaged_network_leaves_the_rest_of_a_check_and_is_said(sick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The name of the data is cut off where a path begins with it, and not inside of another path."""

    def damaged(_name: str) -> None:
        raise RefusedFileError(f"/a/{sick.name}/weights.pth: its SHA-256 is another", "Install weights again.")

    monkeypatch.setattr(embedding, "builtin_tensors", damaged)
    monkeypatch.chdir(sick.parent)
    report = striate.check(sick.name, output=tmp_path / "page.html")

    assert report.num_images == 31 and report.judged is None
    (told,) = (one for one in report.findings if one.kind == "not_judged")
    words = f"labels were not judged by a network: /a/{sick.name}/weights.pth: its SHA-256 is another"
    assert (told.message, told.remedy) == (words, "Install weights again.")
    with pytest.raises(RefusedFileError, match="weights"):
        striate.check(sick, deep=True, output=tmp_path / "page.html")
