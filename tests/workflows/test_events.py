"""The journal of a run tells when it was started and continued, and forgets what came after the checkpoint it went on from."""

import json

import numpy as np
import pytest

from striate.core.journal import read_journal
from striate.workflows.diagnosis.diagnose import DiagnoseRequest, diagnose
from striate.workflows.diagnosis.words import summary
from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate
from striate.workflows.reporting.sections import diagnosis
from striate.workflows.runs.folder import RunFolder
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver
from striate.workflows.training.train import train


class Cut(QuietObserver):
    """Ends the program at an update, as a kill would."""

    def __init__(self, at: int) -> None:
        self.at, self.steps = at, 0

    def step(self, epoch: int, step: int, num_steps: int) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise KeyboardInterrupt


def told(journal) -> list[tuple[int, str]]:
    return [(line["step"], line["event"]) for line in journal]


def test_a_run_that_is_cut_off_and_continued_has_one_history(tmp_path):
    values = np.random.default_rng(0)
    labels = values.integers(0, 3, 60)
    images = values.integers(0, 256, (60, 8, 10), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x_train=images, y_train=labels, x_val=images[:12], y_val=labels[:12])
    run = tmp_path / "run"
    request = TrainRequest(data=tmp_path / "data.npz", network="compact_cnn", epochs=3, batch_size=20, checkpoint_every=2, output=run)

    with pytest.raises(KeyboardInterrupt):
        train(request, observer=Cut(at=5))  # after the checkpoint of update 4, and the end of epoch 1 at update 3
    before = read_journal(run / "events.jsonl")
    with (run / "events.jsonl").open("a") as file:
        file.write(json.dumps({"step": 5, "event": "lost"}) + '\n{"half')
    train(TrainRequest(resume=run))

    assert told(before) == [(0, "started"), (0, "checkpoint"), (2, "checkpoint"), (3, "epoch"), (4, "checkpoint")]
    after = read_journal(run / "events.jsonl")
    assert after[:5] == before
    ended = [(9, "examined"), (9, "finding"), (9, "closed")]  # that nine updates are few
    assert [line for line in told(after[5:]) if line[1] != "checkpoint"] == [(4, "continued"), (6, "epoch"), (9, "epoch"), *ended]
    assert after[-2]["kind"] == "underfitting"
    assert set(after[-1]["files"]) == {"events.jsonl", "metrics.csv", "probe.jsonl"}
    assert [line["epoch"] for line in after if line["event"] == "epoch"] == [1, 2, 3]


def test_what_was_found_in_the_pictures_is_kept_and_said_again(tmp_path):
    """val is a copy of train, and one picture is there with two labels."""
    X = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    X[5] = X[2]
    np.savez(tmp_path / "a.npz", x_train=X, y_train=np.arange(12) % 2, x_val=X, y_val=np.arange(12) % 2)
    said = []

    class Observer(QuietObserver):
        def say(self, text: str) -> None:
            said.append(text)

    train(TrainRequest(data=tmp_path / "a.npz", network="compact_cnn", steps=1, output=tmp_path / "run"), observer=Observer())

    warnings = [text for text in said if text.startswith("warning: ")]
    assert warnings[0].startswith("warning: all 12 val pictures are also training pictures, pixel for pixel: a/val/00000 = a/train/00000; ")
    assert warnings[1].startswith("warning: 1 picture occurs with two labels: a/train/00002 (0) = a/train/00005 (1)")
    found = RunFolder(tmp_path / "run").read_data_findings()
    assert [finding.kind for finding in found] == ["shared_pictures", "two_labels"] and len(found[0].names) == 12
    report = diagnose(DiagnoseRequest(run=tmp_path / "run"))
    assert report.data == found and "warning: shared pictures" in summary(report)
    assert report.data_is_recorded and "not record" not in summary(report)
    assert [finding.kind for finding in report.findings].count("shared_pictures") == 0  # once is enough
    page = diagnosis(report, tmp_path / "run" / "report" / "diagnose")
    assert "all 12 val pictures are also training pictures" in page and "Nothing found" not in page
    said.clear()
    evaluate(EvaluateRequest(run=tmp_path / "run", split="val"), say=said.append)
    assert warnings[0] in said


def test_a_run_that_did_not_record_what_its_pictures_look_like_says_so(tmp_path):
    X = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x_train=X, y_train=np.arange(12) % 2)
    train(TrainRequest(data=tmp_path / "a.npz", network="compact_cnn", steps=1, output=tmp_path / "run"))
    assert RunFolder(tmp_path / "run").has_data_findings
    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    first = {name: value for name, value in json.loads(lines[0]).items() if name != "found_in_data"}  # as older versions wrote it
    (tmp_path / "run" / "events.jsonl").write_text("\n".join([json.dumps(first), *lines[1:-1]]) + "\n")
    report = diagnose(DiagnoseRequest(run=tmp_path / "run"))

    assert not report.data_is_recorded
    assert "the data: the run does not record what the check of its data found before the training" in summary(report)
    assert "is not recorded" in diagnosis(report, tmp_path / "run" / "report" / "diagnose")
