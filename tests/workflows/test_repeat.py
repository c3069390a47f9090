"""`striate repeat`: several seeds on one division, or k folds, with mean and deviation."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from striate.apps.cli import main
from striate.core.errors import DataError, UsageError
from striate.data.folds import folds
from striate.data.sources import open_data
from striate.data.splits import fold_places
from striate.workflows.training.repeat import RepeatRequest, repeat
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.spread import share_spread, spread_of

QUICK = {"network": "lenet5", "steps": 4, "batch_size": 32}


def test_each_picture_validates_once_and_classes_are_dealt_evenly():
    source = open_data("digits")

    parts = folds(source, 4, seed=1)

    paths = [path for part in parts for path in part.read("val").paths]
    assert sorted(paths) == sorted(source.read("train").paths)
    for part in parts:
        train, val = part.read("train"), part.read("val")
        assert not set(train.paths) & set(val.paths)
        assert len(train) + len(val) == source.num_images("train")
        assert part.splits == ("train", "val")
    per_class = np.array([np.bincount(part.read("val").labels, minlength=10) for part in parts])
    assert np.ptp(per_class, axis=0).max() <= 1
    assert np.ptp(per_class.sum(1)) <= 1
    one = parts[2].read("val")
    whole = source.read("train")
    np.testing.assert_array_equal(one.images[5], whole.images[whole.paths.index(one.paths[5])])


def test_folds_depend_on_names_and_seed_alone():
    labels, names = np.array([0, 1, 0, 1, 0, 1]), ["a", "b", "c", "d", "e", "f"]
    order = np.array([4, 3, 0, 5, 2, 1])

    dealt = fold_places(labels, names, ("x", "y"), count=3, seed=0)
    shuffled = fold_places(labels[order], [names[place] for place in order], ("x", "y"), count=3, seed=0)

    np.testing.assert_array_equal(shuffled, dealt[order])
    assert any((fold_places(labels, names, ("x", "y"), count=3, seed=seed) != dealt).any() for seed in range(1, 9))
    with pytest.raises(DataError, match="6 training pictures of classes with two or more for 7 folds"):
        fold_places(labels, names, ("x", "y"), count=7, seed=0)


def test_no_fold_trains_without_a_class_of_one_or_two_pictures(tmp_path):
    labels = np.array([0, 1, 1, 2, 2, 2, 2, 2])

    dealt = fold_places(labels, [f"{place}.png" for place in range(8)], ("one", "two", "five"), count=4, seed=0)

    for fold in range(4):
        assert set(labels[dealt != fold]) == {0, 1, 2}
        assert (dealt == fold).any()
    assert dealt[0] == -1


def test_mean_deviation_and_interval_by_hand():
    spread = spread_of([0.8, 0.9, 1.0])

    assert (spread.mean, spread.deviation) == (pytest.approx(0.9), pytest.approx(0.1))
    assert spread.interval[1] - 0.9 == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)  # t of 2 degrees of freedom


def test_no_interval_leaves_what_its_measure_can_be():
    assert spread_of([0.1, 0.5]).interval[0] == 0.0
    assert share_spread([0.96, 0.99], 140).interval[1] == 1.0


def test_seeds_share_the_division_and_differ_in_their_weights(tmp_path, capsys):
    words = ["repeat", "digits", "--seeds", "2", "--model", "lenet5", "--steps", "4", "--batch-size", "32", "--test"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--output", str(tmp_path / "all"), "--json"])

    report = json.loads(capsys.readouterr().out)
    assert not end.value.code
    assert [one["what"] for one in report["repetitions"]] == ["seed 0", "seed 1"]
    assert report["repetitions"][0]["loss"] != report["repetitions"][1]["loss"]
    losses = [one["loss"] for one in report["repetitions"]]
    assert report["loss"]["mean"] == pytest.approx(sum(losses) / 2)
    assert json.loads((tmp_path / "all" / "repeat.json").read_text())["accuracy"] == report["accuracy"]
    configs = [(Path(one["run"]) / "config.yaml").read_text() for one in report["repetitions"]]
    assert all("val_seed: 0" in text for text in configs)
    low, high = report["accuracy"]["interval"]
    assert 0 <= low < high <= 1
    assert report["test_accuracy"]["mean"] == pytest.approx(sum(one["test_accuracy"] for one in report["repetitions"]) / 2)
    assert (tmp_path / "all" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_measures_are_printed_for_a_paper(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["repeat", "digits", "--seeds", "2", "--model", "lenet5", "--steps", "2", "--output", str(tmp_path / "a_b"), "--latex"])

    text = capsys.readouterr().out
    assert text.startswith("\\begin{table}\n")
    assert "Measure & Mean & Deviation & 95 \\% interval of the mean \\\\\n\\midrule\naccuracy & 0." in text
    assert "2 training runs say little about the spread, use 5 or more" in text


def test_folds_train_one_after_the_other(tmp_path):
    report = repeat(RepeatRequest(training=TrainRequest(data="digits", **QUICK), folds=3, output=tmp_path / "all"))

    assert [one.what for one in report.repetitions] == ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3"]
    assert sum(one.num_val for one in report.repetitions) == open_data("digits").num_images("train")
    assert all((Path(one.run) / "best.safetensors").exists() for one in report.repetitions)


def test_wrong_requests_say_what_is_wrong(tmp_path):
    with pytest.raises(UsageError, match="repeat needs either `seeds` or `folds`"):
        repeat(RepeatRequest(training=TrainRequest(data="digits")))
    with pytest.raises(UsageError, match="repeat names the folders of its runs itself"):
        repeat(RepeatRequest(training=TrainRequest(data="digits", output=tmp_path), seeds=2))
