"""`striate diagnose RUN` and the probe beside a training, end to end on small runs."""

import csv
import json
import math
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

import striate
from striate.apps.cli import main
from striate.core.errors import RefusedFileError, UsageError
from striate.data.archives import npz_arrays
from striate.data.sources import open_data
from striate.insight.diagnose.replay import doubted_labels
from striate.workflows.diagnosis.diagnose import DiagnoseRequest, diagnose
from striate.workflows.diagnosis.record import stopped_at
from striate.workflows.diagnosis.words import summary
from striate.workflows.runs.folder import RunFolder
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver
from striate.workflows.training.train import train


class Heard(QuietObserver):
    """Keeps what is said."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def quick(folder, **fields):
    heard = Heard()
    defaults = {"data": "digits", "network": "compact_cnn", "epochs": 3, "output": folder}
    report = train(TrainRequest(**{**defaults, **fields}), observer=heard)
    return report, [line for line in heard.lines if line.startswith(("warning:", "error:", "note:"))]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("healthy") / "run"
    _, said = quick(folder)
    return folder, said


@pytest.fixture(scope="module")
def too_fast(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fast") / "run"
    _, said = quick(folder, learning_rate=30.0)
    return folder, said


def test_of_a_healthy_run_nothing_is_said_and_nothing_found(healthy):
    folder, said = healthy

    report = diagnose(DiagnoseRequest(run=folder))

    assert said == []
    assert report.findings == ()
    assert (report.epochs, report.batches) == (3, 8)
    assert report.looks == len(RunFolder(folder).read_history()) == 7  # steps 1, 2, 5, 10, 20, 50 and 100 of 123
    assert summary(report).endswith("8 batches run again\nnothing found\n")
    for name in ("gradients.png", "layers.png", "curves.png"):
        with Image.open(folder / "report" / "diagnose" / name) as picture:
            assert min(picture.size) > 200


def test_a_rate_that_is_too_high_is_said_once_while_training_and_found_afterwards(too_fast):
    folder, said = too_fast

    report = diagnose(DiagnoseRequest(run=folder))

    assert len(said) == 1 and said[0].startswith("warning: learning rate too high: update ")
    assert said[0].endswith("Try: `learning_rate=0.025`")  # the default for batches of 32
    assert [finding.kind for finding in report.findings] == ["learning_rate_too_high"]
    assert report.findings[0].picture == "gradients.png"
    assert "try    `learning_rate=0.025`\n" in summary(report)


def test_diagnosing_changes_no_file_of_the_run_and_is_repeatable(healthy, tmp_path):
    folder, _ = healthy
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "diagnose" not in path.parts}

    reports = [diagnose(DiagnoseRequest(run=folder, output=tmp_path / name)) for name in ("a", "b")]

    assert {path: path.read_bytes() for path in before} == before
    assert reports[0].findings == reports[1].findings
    assert (tmp_path / "a" / "gradients.png").read_bytes() == (tmp_path / "b" / "gradients.png").read_bytes()


@pytest.mark.slow
def test_a_run_without_a_probe_has_the_same_weights_and_no_history(healthy, tmp_path):
    folder, _ = healthy

    quick(tmp_path / "run", diagnose=False)

    assert not RunFolder(tmp_path / "run").history.exists()
    assert weights(tmp_path / "run") == weights(folder)
    report = diagnose(DiagnoseRequest(run=tmp_path / "run"))
    assert (report.findings, report.looks) == ((), 0)


def weights(run):
    module = striate.load(run).module
    return {name: value.numpy().tobytes() for name, value in module.state_dict().items()}


def test_the_command_line_prints_the_report_as_json(too_fast, capsys):
    folder, _ = too_fast

    with pytest.raises(SystemExit) as stop:
        main(["diagnose", str(folder), "--json"])

    assert stop.value.code in (0, None)
    report = json.loads(capsys.readouterr().out)
    assert [finding["kind"] for finding in report["findings"]] == ["learning_rate_too_high"]
    written = json.loads((folder / "report" / "diagnose" / "findings.json").read_text())
    assert written == report


@pytest.mark.slow
def test_wrong_labels_are_found_while_training_and_afterwards_and_listed(healthy, tmp_path):
    """A third of them, and the rest of 1,200 digits right; the list holds the labels that a model is sure to be wrong.

    The model that learned them is sure of few or none; one that learned the right ones, of many.
    """
    rng = np.random.default_rng(0)
    digits = npz_arrays(write_digits(tmp_path / "digits.npz", wrong=rng.permutation(1200)[:400]))
    run = tmp_path / "run"

    _, said = quick(run, data=str(tmp_path / "digits.npz"), epochs=6)
    report = diagnose(DiagnoseRequest(run=run))

    assert [line.split(":")[1].strip() for line in said] == ["label noise"]
    assert ([finding.kind for finding in report.findings], report.withdrawn) == (["label_noise"], ())
    with (run / "report" / "diagnose" / "doubted-labels.csv").open() as lines:
        rows = [list(row.values()) for row in csv.DictReader(lines)]
    for doubted, fewest in ((rows, 0), (doubted_labels(striate.load(healthy[0]), open_data(tmp_path / "digits.npz").read("train")), 300)):
        right = [str(digits["right"][int(path.rsplit("/", 1)[1])]) == answer for path, _, answer, _ in doubted]
        assert len(right) >= fewest and sum(right) >= 0.9 * len(right)


def test_what_was_said_is_kept_in_the_journal_and_withdrawn_where_it_holds_no_longer(healthy, tmp_path):
    folder, _ = healthy
    run = tmp_path / "run"
    shutil.copytree(folder, run, ignore=shutil.ignore_patterns("report"))
    said = {"step": 60, "event": "finding", "kind": "learning_rate_too_low", "message": "an update changes little"}
    journal = (run / "events.jsonl").read_text().splitlines()
    (run / "events.jsonl").write_text("\n".join([*journal[:-2], json.dumps(said), journal[-2]]) + "\n")

    report = diagnose(DiagnoseRequest(run=run))

    assert report.findings == ()
    assert [(one.kind, one.reason) for one in report.withdrawn] == [("learning_rate_too_low", "the loss fell all the same")]
    assert "reported during training, and withdrawn:\n  learning rate too low: the loss fell all the same\n" in summary(report)


def test_the_same_is_said_while_training_and_afterwards(too_fast):
    """The journal holds what was said, and the answers of the kept model, by which both verdicts go."""
    folder, said = too_fast
    journal = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]

    report = diagnose(DiagnoseRequest(run=folder))

    assert [line["kind"] for line in journal if line["event"] == "finding"] == ["learning_rate_too_high"]
    assert len(said) == 1 and report.findings[0].kind == "learning_rate_too_high" and report.withdrawn == ()
    assert [line["train"]["num_images"] for line in journal if line["event"] == "examined"] == [236]  # 6 % of 123 batches of 32


def test_a_run_of_before_that_was_not_examined_is_examined_now(healthy, tmp_path):
    folder, _ = healthy
    run = tmp_path / "run"
    shutil.copytree(folder, run, ignore=shutil.ignore_patterns("report"))
    kept = [line for line in (run / "events.jsonl").read_text().splitlines() if json.loads(line)["event"] not in ("examined", "closed")]
    (run / "events.jsonl").write_text("\n".join(kept) + "\n")

    assert diagnose(DiagnoseRequest(run=run)).findings == ()


def write_digits(path, *, wrong):
    """An .npz of 1,200 digits, those at `wrong` with the label after theirs."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images, labels = (images * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)[:1200], labels[:1200]
    shown = labels.copy()
    shown[wrong] = (shown[wrong] + 1) % 10
    np.savez(path, x_train=images, y_train=shown, right=labels)
    return path


def test_a_run_that_stopped_at_nan_names_its_batch(healthy, tmp_path):
    folder, _ = healthy
    (tmp_path / "report").mkdir()
    np.savez(tmp_path / "report" / "not-finite.npz", images=np.zeros((5, 8, 8, 1), np.uint8), labels=np.zeros(5, np.int64))

    found = stopped_at(tmp_path, striate.load(folder))

    assert [(finding.kind, finding.where, finding.evidence) for finding in found] == [("not_finite", "", 5.0)]
    assert "its batch is in not-finite.npz; the kept model, which is from an earlier epoch, gives finite numbers for it" in found[0].message


def test_python_says_the_same_as_the_workflow_and_refuses_too_few_batches(too_fast):
    folder, _ = too_fast

    assert striate.diagnose(str(folder)).findings == diagnose(DiagnoseRequest(run=folder)).findings
    with pytest.raises(UsageError, match="`batches`: must be at least 3, got 1"):
        striate.diagnose(folder, batches=1)


def test_no_run_folder_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"none: no such run folder\nGive the folder of a training run\."):
        diagnose(DiagnoseRequest(run=tmp_path / "none"))


def test_of_a_step_whose_length_is_searched_for_nothing_is_said(tmp_path):
    """L-BFGS's own: its steps are as long as they must be, whatever the learning rate."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (60, 8, 8, 1), dtype=np.uint8)

    _, said = quick(tmp_path / "run", data=(pictures, np.arange(60) % 3), optimizer="lbfgs", epochs=2)

    assert [line for line in said if "learning rate" in line] == []
    samples = RunFolder(tmp_path / "run").read_history()
    assert samples and all(layer.update_ratio is None for sample in samples for layer in sample.layers)


def test_damaged_metrics_and_history_name_the_place(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,val_loss\n1,0.5\n2,high\n")
    (tmp_path / "probe.jsonl").write_text('{"step": 1, "layers": []}\n{"step": "soon"}\n')

    with pytest.raises(RefusedFileError, match=r"metrics\.csv: val_loss of row 2 must be a number, got 'high'"):
        RunFolder(tmp_path).read_metrics()
    with pytest.raises(RefusedFileError, match=r"probe\.jsonl: line 2 is not a sample: .*\nRemove the file to continue without it\."):
        RunFolder(tmp_path).read_history()


def test_a_run_on_arrays_is_diagnosed_from_its_curves_and_its_probe(tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (60, 8, 8, 1), dtype=np.uint8)
    quick(tmp_path / "run", data=(pictures, np.arange(60) % 3), epochs=1)
    said = []

    report = diagnose(DiagnoseRequest(run=tmp_path / "run"), say=said.append)

    assert report.batches == 0 and report.looks > 0
    assert said == ["the run was trained on arrays: only its curves and the observations during training are examined"]
    assert not any(math.isnan(finding.evidence) for finding in report.findings)


def test_a_run_of_another_task_is_diagnosed_from_its_curves_and_its_probe(too_fast, tmp_path):
    folder, _ = too_fast
    for name in ("metrics.csv", "probe.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, "task": "regression"}))
    said = []

    report = diagnose(DiagnoseRequest(run=tmp_path), say=said.append)

    assert said[0] == "task regression: only the run's curves and the observations during training are examined"
    assert [finding.kind for finding in report.findings] == ["learning_rate_too_high"]
    assert report.batches == 0
