"""The list of demos, and how one is run: what it writes, what it prints, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.apps.cli import main
from striate.core.errors import UnknownNameError, UsageError
from striate.demos.registry import DEMOS, DemoRequest, demonstrate, summary, text_of
from striate.demos.shown import Table
from striate.drawing.animation import stages, tiles

EVERY_TIME = ("hopfield", "backpropagation", "art", "svm", "pooling", "dropout", "rbm")  # these draw in a second or two


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(d.name, marks=() if d.name in EVERY_TIME else pytest.mark.release) for d in DEMOS])
def test_each_demo_draws_what_it_says(tmp_path: Path, name: str):
    report = demonstrate(DemoRequest(name=name, output=tmp_path / name, short=True))

    assert report.files
    for file in report.files:
        with Image.open(file) as image:
            assert min(image.size) >= 300
            assert max(image.size) <= 1300
            first = np.asarray(image.convert("RGB"), int)
            assert first.std() > 10
            if file.endswith(".gif"):
                assert image.info["duration"] == 1000  # time to see where it starts
                image.seek(image.n_frames - 1)
                assert np.abs(np.asarray(image.convert("RGB"), int) - first).max() > 100
    numbers = json.loads((tmp_path / name / "numbers.json").read_text(encoding="utf-8"))
    assert [part["title"] for part in numbers] == [table.title for table in report.tables]
    printed = summary(report)
    assert all(table.title in printed for table in report.tables)
    assert all(len(line) <= 100 for line in printed.splitlines() if not line.startswith(("picture", "numbers")))


def test_the_list_names_each_demo_in_one_line(capsys):
    """Without torch, as tests of imports show."""
    with pytest.raises(SystemExit) as end:
        main(["demo"])

    assert not end.value.code
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["train", *(demo.name for demo in DEMOS)]
    assert max(map(len, lines)) <= 120


def test_a_demo_from_the_command_line_prints_its_record(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["demo", "art", "--json", "--short", "--out", str(tmp_path / "shown")])

    report = json.loads(capsys.readouterr().out)
    assert not end.value.code
    assert report["name"] == "art"
    assert report["tables"][0]["heading"][0] == "vigilance"
    assert [Path(file).name for file in report["files"]] == ["art.png"]


def test_python_runs_a_demo_by_its_name(tmp_path):
    report = striate.demo("art", output=tmp_path / "shown", short=True)

    assert report.tables[0].rows[0][0] == "0.3"
    assert Path(report.files[0]).parent == tmp_path / "shown"
    with pytest.raises(UsageError, match="shrot"):
        striate.demo("art", shrot=True)


def test_a_wrong_name_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match=r"unknown demo 'hopfild'\nDid you mean hopfield\? `striate demo` lists all\."):
        demonstrate(DemoRequest(name="hopfild", output=tmp_path / "shown"))
    assert not (tmp_path / "shown").exists()


def test_a_folder_with_files_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")

    with pytest.raises(UsageError, match="exists already"):
        demonstrate(DemoRequest(name="art", output=tmp_path))


def test_a_table_is_printed_with_numbers_to_the_right():
    table = Table(title="t", heading=("name", "count", "share"), rows=(("a", 12000, 0.123456), ("long", 3, 1.0)))

    assert text_of(table) == "  name   count   share\n  a     12,000  0.1235\n  long       3       1\n"
    assert table.column("count") == {"a": 12000, "long": 3}


def test_frames_are_denser_at_the_start_and_hold_both_ends():
    chosen = stages(100, 10)

    assert (chosen[0], chosen[-1], len(chosen)) == (0, 99, 10)
    assert chosen[1] - chosen[0] < chosen[-1] - chosen[-2]
    assert list(stages(3, 10)) == [0, 1, 2]


def test_tiles_stand_row_by_row_with_gaps():
    sheet = tiles(np.arange(3)[:, None, None] * np.ones((3, 1, 2)), 2, fill=9)

    assert sheet.tolist() == [[0, 0, 9, 1, 1], [9] * 5, [2, 2, 9, 9, 9]]
