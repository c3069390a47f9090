"""`striate compare`: networks by their counts, runs by a paired test on the same pictures."""

import csv
import json

import numpy as np
import pytest

import striate
from striate.apps.cli import main
from striate.core.errors import UsageError
from striate.data.sources import open_data
from striate.insight.measure.paired import mcnemar
from striate.workflows.evaluation.compare import CompareRequest, compare
from striate.workflows.evaluation.comparison import summary


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for name, seed, steps in (("a", 1, 30), ("b", 2, 15)):
        striate.train("digits", network="lenet5", steps=steps, batch_size=64, seed=0, set={"settings.seed": seed}, output=root / name)
    return root / "a", root / "b"


def test_the_p_value_is_the_binomial_sum_by_hand():
    assert mcnemar(1, 8) == pytest.approx(2 * (1 + 9) / 2**9)
    assert mcnemar(8, 1) == mcnemar(1, 8)
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1


def test_networks_stand_side_by_side(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "resnet20_cifar", "plain20_cifar", "--json"])

    report = json.loads(capsys.readouterr().out)
    assert [one["totals"]["params"] for one in report["subjects"]] == [
        striate.network(name).params for name in ("resnet20_cifar", "plain20_cifar")
    ]
    assert report["pairs"] == []
    assert report["subjects"][0]["accuracy"] is None


def test_runs_are_tested_on_the_same_pictures(two_runs, tmp_path):
    report = compare(CompareRequest(subjects=two_runs, split="test", measure=True, output=tmp_path / "differ.csv"))

    test = open_data("digits").read("test")
    answers = [np.array([int(item.class_name) for item in striate.load(run).predict(test.images)]) for run in two_runs]
    right = [a == test.labels for a in answers]
    pair = report.pairs[0]
    assert pair.first_only == (right[0] & ~right[1]).sum()
    assert pair.second_only == (~right[0] & right[1]).sum()
    assert pair.both_right + pair.both_wrong + pair.first_only + pair.second_only == len(test)
    assert pair.accuracy_difference == pytest.approx(right[1].mean() - right[0].mean())
    assert len(report.differences) == (answers[0] != answers[1]).sum() > 0
    assert report.subjects[0].accuracy == pytest.approx(right[0].mean())
    assert report.subjects[1].latency.latency_ms_p50 > 0
    with (tmp_path / "differ.csv").open() as lines:
        assert len(list(csv.reader(lines))) == 1 + len(report.differences)
    assert "McNemar's exact p = " in summary(report)


def test_of_runs_that_record_their_pictures_nothing_is_said_to_be_unknown(two_runs):
    said = []

    compare(CompareRequest(subjects=two_runs), say=said.append)

    assert said == ["val: the 143 pictures that the training held out"]


def test_each_opening_of_the_test_split_is_counted(two_runs):
    said = []
    held = two_runs[0] / "test-openings.jsonl"
    before = len(held.read_text().splitlines()) if held.exists() else 0

    compare(CompareRequest(subjects=two_runs))
    assert before == (len(held.read_text().splitlines()) if held.exists() else 0)
    for _ in range(2):
        compare(CompareRequest(subjects=two_runs, split="test"), say=said.append)

    assert len(held.read_text().splitlines()) == before + 2
    assert f"test: used {before + 2} times by now" in said[-2]


def test_runs_that_held_out_other_pictures_are_not_compared_on_them(two_runs, tmp_path):
    striate.train("digits", network="lenet5", steps=3, batch_size=64, seed=3, output=tmp_path / "other")

    with pytest.raises(UsageError, match=r"val_seed is 3, of .*they held out different pictures"):
        compare(CompareRequest(subjects=(two_runs[0], tmp_path / "other")))


def test_wrong_requests_say_what_is_wrong(two_runs):
    with pytest.raises(UsageError, match="compare needs two networks or runs, got 1"):
        compare(CompareRequest(subjects=("lenet5",)))
    with pytest.raises(UsageError, match="data applies only to trained models"):
        compare(CompareRequest(subjects=("lenet5", two_runs[0]), data="digits"))
