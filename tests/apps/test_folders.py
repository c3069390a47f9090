"""Folders of pictures through the command line: nothing is lost without a word, in any verb, and every error has its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.apps.cli import main
from striate.workflows.training.runs import new_run_folder

Run = Callable[..., tuple[int, str, str]]
JXL = b"\0\0\0\x0cJXL " + bytes(40)
STEPS = ("--model", "compact_cnn", "--steps", 2, "--img-size", 8)


def save(*paths: Path) -> None:
    """Pictures 9 x 8, each with its own noise; those below a folder called cat are darker."""
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        dark = 100 if "cat" in path.parts else 0
        Image.fromarray(np.random.default_rng(number).integers(100 - dark, 255 - dark, (9, 8, 3)).astype(np.uint8)).save(path)


@pytest.fixture
def run_striate(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run in `run`, its data in `photos`: two classes of four pictures, two of them thumbnails, and a text."""
    root = tmp_path_factory.mktemp("folders")
    save(*(root / f"photos/{name}/{number}.png" for name in ("cat", "dog") for number in range(4)))
    save(root / "photos/cat/@eaDir/0.png/thumb.jpg", root / "photos/@eaDir/thumb.jpg")
    (root / "photos/dog/notes.txt").write_text("a dog")
    striate.train(root / "photos", network="compact_cnn", steps=2, image_size=8, output=root / "run")
    return root


def said(text: str) -> bool:
    return "2 pictures left out, hidden or in system folders" in text and "1 file ignored, no pictures: " in text


VERBS = (
    "evaluate run --split train",
    "explain run --split val",
    "attack run --attack fgsm",
    "calibrate run",
    "predict run photos",
    *(pytest.param(words, marks=pytest.mark.slow) for words in ("diagnose run", "ablate run --lesion", "report run")),
)


@pytest.mark.parametrize("words", VERBS)
def test_every_verb_says_what_is_left_out(words: str, photos: Path, run_striate: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(photos)
    code, _, talk = run_striate(*words.split())
    assert code == 0 and said(talk), talk


def test_reports_carry_what_is_left_out(photos: Path, run_striate: Run, tmp_path: Path):
    _, trained, talk = run_striate("train", photos / "photos", *STEPS, "--output", tmp_path / "run", "--json")
    assert said(talk)
    _, measured, _ = run_striate("evaluate", tmp_path / "run", "--split", "val", "--json")
    for text in (trained, measured):
        left = {omission["why"]: (omission["count"], omission["paths"]) for omission in json.loads(text)["left_out"]}
        assert left["ignored, no pictures"] == (1, [str(photos / "photos/dog/notes.txt")])
        assert sorted(count for count, _ in left.values()) == [1, 2]


def test_training_inside_the_photos_finds_the_same_classes_again(run_striate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save(*(tmp_path / f"photos/{name}/{number}.png" for name in ("cat", "dog") for number in range(4)))
    monkeypatch.chdir(tmp_path / "photos")
    for _ in range(2):
        code, out, talk = run_striate("train", ".", *STEPS, "--json")
        assert code == 0
        assert run_striate("predict", json.loads(out)["run"], ".", "--csv")[1].count("\n") == 9
    assert "1 folder left out, written by Striate: runs" in talk
    assert json.loads(Path(json.loads(out)["run"], "classes.json").read_text()) == ["cat", "dog"]


def test_what_folders_are_is_stated_once_and_kept_by_the_run(run_striate: Run, tmp_path: Path):
    save(
        *(
            tmp_path / f"v/{name}/{colour}/{number}.png"
            for name in ("bus", "car", "train")
            for colour in ("red", "blue")
            for number in range(2)
        )
    )
    code, _, talk = run_striate("train", tmp_path / "v", *STEPS)
    assert code == 3 and "--layout splits, or --layout classes" in talk
    code, out, _ = run_striate("train", tmp_path / "v", *STEPS, "--layout", "classes", "--output", tmp_path / "run", "--json")
    assert code == 0 and json.loads((tmp_path / "run/classes.json").read_text()) == ["bus", "car", "train"]
    assert "layout: classes" in (tmp_path / "run/config.yaml").read_text()
    code, out, _ = run_striate("evaluate", tmp_path / "run", "--split", "val", "--json")
    assert code == 0 and list(json.loads(out)["classes"]) == ["bus", "car", "train"]
    assert run_striate("evaluate", tmp_path / "run", "--split", "val", "--layout", "splits")[0] == 3


def test_predict_answers_or_names_every_file(photos: Path, run_striate: Run, tmp_path: Path):
    save(tmp_path / "new/a.png")
    for name in ("IMG_1.HEIC", "noending", "x.txt"):
        (tmp_path / "new" / name).write_bytes((tmp_path / "new/a.png").read_bytes())
    (tmp_path / "new/real.jxl").write_bytes(JXL)
    (tmp_path / "new/b.csv").write_text("1")
    (tmp_path / "empty").mkdir()

    code, out, talk = run_striate("predict", photos / "run", tmp_path / "new")
    assert code == 3 and out == "" and "real.jxl (JPEG XL pictures are not supported)" in talk and "Convert them" in talk

    code, out, talk = run_striate("predict", photos / "run", tmp_path / "empty", tmp_path / "new", "--skip-unreadable", "--csv")
    assert code == 0 and [line.split(",")[0].rpartition("/")[2] for line in out.splitlines()] == [
        "path",
        "IMG_1.HEIC",
        "a.png",
        "noending",
        "x.txt",
    ]
    assert f"{tmp_path / 'empty'}: no pictures" in talk
    assert f"1 file unreadable and left out: {tmp_path / 'new/real.jxl'}" in talk
    assert f"1 file ignored, no pictures: {tmp_path / 'new/b.csv'}" in talk


@pytest.mark.parametrize("verb", ["predict", "explain", "filter"])
def test_a_picture_that_is_not_there_or_cannot_be_read_is_a_matter_of_data(verb: str, photos: Path, run_striate: Run, tmp_path: Path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "a.jxl").write_bytes(JXL)
    for name in ("bad.png", "typo.png", "a.jxl"):
        words = ("filter", tmp_path / name, "--kernel", "blur") if verb == "filter" else (verb, photos / "run", tmp_path / name)
        code, _, talk = run_striate(*words)
        assert code == 3 and name in talk, talk


@pytest.mark.parametrize("name", ["x" * 250, "\u732b" * 85, "a b" * 80], ids=["latin", "Chinese", "spaces"])
def test_the_longest_names_of_folders_are_no_hindrance(name: str, run_striate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save(*(tmp_path / name / (letter * 200) / f"{number}.png" for letter in "ab" for number in range(4)))
    monkeypatch.chdir(tmp_path)
    code, out, talk = run_striate("train", name, *STEPS, "--json")
    assert code == 0, talk
    run = Path(json.loads(out)["run"])
    assert len(run.name.encode()) < 110 and run.name.endswith("-001")
    assert run_striate("evaluate", run, "--split", "val")[0] == 0
    assert run_striate("predict", run, name, "--plot", f"{'p' * 251}.png")[0] == 0
    assert run_striate("filter", f"{name}/{'a' * 200}/0.png", "--kernel", "blur")[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("train", "digits", "--steps", "1", "--output", "x" * 300),
        ("train", "x" * 300 + "/y"),
        ("train", "digits", "--resume", "x" * 300),
        ("predict", "x" * 300, "a.png"),
        ("predict", "run", "x" * 300),
        ("explain", "run", "--output", "x" * 300),
        ("predict", "run", "photos", "--plot", "x" * 300 + ".png"),
        ("show", "lenet5", "--svg", "x" * 300 + ".svg"),
    ],
    ids=lambda words: f"{words[0]} {words[-2]}"[:30],
)
def test_a_name_that_is_too_long_is_told(words: tuple[str, ...], photos: Path, run_striate: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(photos)
    code, _, talk = run_striate(*words)
    assert code in (2, 3, 4) and "too long" in talk and "Traceback" not in talk, talk


def test_a_long_name_of_a_run_is_shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert str(new_run_folder("train", "n" * 400, None)) == f"runs/train/{'n' * 100}-001"


def test_the_python_face_warns_of_what_is_left_out(photos: Path):
    with pytest.warns(UserWarning, match="1 file ignored, no pictures"):
        assert len(striate.predict(photos / "run", photos / "photos/dog")) == 4
    with pytest.raises(striate.core.errors.DataError, match="no such file"):
        striate.predict(photos / "run", photos / "typo.png")
