"""Every verb that prints, on data, classes and files whose names a terminal, a spreadsheet, a page or a codec would trip over."""

import csv
import io
import json
import os
import re

import numpy as np
import pytest
from PIL import Image

from striate.apps.cli import main

ESCAPES = "\x1b[31mred\x07\x9b2J"
BROKEN = "line\nbreak\u202e"
NO_UTF8 = os.fsdecode(b"caf\xe9")
CLASSES = (ESCAPES, BROKEN, "=1+1", "-90", "$x$ 🐈 <b>", "n" * 200)  # a class must be text
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
VERBS = {
    "show": ["show", "RUN"],
    "evaluate": ["evaluate", "RUN", "--split", "val"],
    "predict": ["predict", "RUN", "DATA", "--top", "3", "--plot", "a.png"],
    "explain": ["explain", "RUN", "DATA", "-n", "2", "--no-sanity", "--view", "by_class", "--view", "pca"],
    "attack": ["attack", "RUN", "-a", "fgsm", "--images", "7"],
    "profile": ["profile", "RUN", "--no-measure", "--output", "profile"],
    "compare": ["compare", "RUN", "OTHER", "--output", "differences.csv"],
    "calibrate": ["calibrate", "RUN"],
    "diagnose": ["diagnose", "RUN", "--batches", "3"],
    "lesion": ["ablate", "RUN", "--lesion", "--images", "7"],
    "ablate": ["ablate", "lenet5", "DATA", "--swap", "pooling=max", "--seeds", "1", "--steps", "1", "--jobs", "1", "--output", "study"],
    "repro": ["repro", "RUN"],
    "repeat": ["repeat", "DATA", "--seeds", "2", "--steps", "1", "--model", "lenet5"],
    "filter": ["filter", "PICTURE", "-k", "blur"],
    "report": ["report", "RUN", "--no-measure", "-n", "2"],
    "nothing": ["predict", "RUN", f"{ESCAPES}{BROKEN}.png"],
}
AGAIN = {"ablate": ["ablate", "--resume", "study"]}  # its finished trials are not trained again


def write_pictures(root):
    """root/CLASS/CLASS-*.png, four of each class, each class of a grey of its own."""
    rng = np.random.default_rng(0)
    for shade, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for index in range(4):
            pixels = rng.normal(20 + 32 * shade, 9, (16, 16, 3)).clip(0, 255).astype("uint8")
            Image.fromarray(pixels).save(root / name / f"{index}{NO_UTF8}{name}.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the pictures `DATA` and two runs trained on them, all of hostile names."""
    folder = tmp_path_factory.mktemp("names")
    write_pictures(folder / f"data{NO_UTF8}{ESCAPES}")
    for steps, run in ((3, "RUN"), (2, "OTHER")):
        words = ["train", "DATA", "--model", "lenet5", "--steps", str(steps), "-b", "8", "--val-fraction", "0.25"]
        code, _, err = run_in(folder, [*words, "--output", run])
        assert code == 0, err
    return folder


def run_in(folder, words):
    """Run the command line in `folder`, with the hostile names in place of the words in capitals: exit code, stdout, stderr."""
    data = f"data{NO_UTF8}{ESCAPES}"
    names = {"RUN": f"run{BROKEN}{NO_UTF8}", "OTHER": "other=", "DATA": data, "PICTURE": f"{data}/{BROKEN}/0{NO_UTF8}{BROKEN}.png"}
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict") for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.stdout", streams[0])
        patch.setattr("sys.stderr", streams[1])
        with pytest.raises(SystemExit) as end:
            main([names.get(word, word) for word in words])
    for stream in streams:
        stream.flush()
    return (end.value.code or 0, *(stream.buffer.getvalue().decode() for stream in streams))


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_no_name_is_obeyed_or_ends_the_work(place, verb):
    code, out, err = run_in(place, VERBS[verb])
    assert code == (0 if verb != "nothing" else 3), err
    assert not OBEYED.search(out + err)
    assert not re.search("line\n *break", out + err)

    for picture in place.glob("*-filtered.png"):
        picture.unlink()
    code, out, err = run_in(place, [*AGAIN.get(verb, VERBS[verb]), "--json"])
    assert code == (0 if verb != "nothing" else 3), err
    if verb == "nothing":
        assert f"{ESCAPES}{BROKEN}" in json.loads(err.splitlines()[-1])["error"]["message"]
    else:
        json.loads(out, parse_constant=pytest.fail)
        assert not OBEYED.search(out)


@pytest.mark.slow
def test_the_answers_hold_the_names_exactly(place):
    paths = sorted(f"data{NO_UTF8}{ESCAPES}/{name}/{index}{NO_UTF8}{name}.png" for name in CLASSES for index in range(4))

    answers = json.loads(run_in(place, ["predict", "RUN", "DATA", "--json"])[1])
    rows = list(csv.DictReader(io.StringIO(run_in(place, ["predict", "RUN", "DATA", "--csv"])[1], newline="")))

    assert sorted(answer["path"] for answer in answers) == paths
    assert {answer["class"] for answer in answers} <= set(CLASSES)
    assert all((place / answer["path"]).is_file() for answer in answers)
    assert sorted(row["path"] for row in rows) == sorted(path.replace(NO_UTF8, r"caf\xe9") for path in paths)
    assert [row["class"] for row in rows] == [answer["class"] for answer in answers]


@pytest.mark.slow
def test_every_file_of_text_is_utf8_and_every_page_escapes(place):
    run = place / f"run{BROKEN}{NO_UTF8}"
    run_in(place, VERBS["evaluate"])
    run_in(place, VERBS["explain"])
    run_in(place, VERBS["report"])
    files = [path for path in run.rglob("*") if path.suffix in (".csv", ".json", ".jsonl", ".yaml", ".html")]

    texts = {path.relative_to(run): path.read_text(encoding="utf-8") for path in files}

    assert len([path for path in texts if path.suffix == ".html"]) >= 2
    for path, text in texts.items():
        if path.suffix == ".html":
            assert "<b>" not in text.replace("<b></b>", "") and not OBEYED.search(text), path
        if path.suffix == ".json":
            json.loads(text, parse_constant=pytest.fail)
    with (run / "report" / "evaluate-val" / "confusion.csv").open(newline="", encoding="utf-8") as file:
        assert set(next(csv.reader(file))[1:]) == set(CLASSES)
