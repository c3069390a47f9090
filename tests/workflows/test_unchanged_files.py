"""The files beside the weights are those that the run was trained with, or it is refused or said; and runs that never began."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.core.errors import DataError, RefusedFileError, UsageError
from striate.engine.checkpoints import CheckpointStore
from striate.networks.layers import BatchNorm, Chain, Conv, Flatten, Linear
from striate.networks.model_file import read_model, save_model
from striate.networks.network import Network
from striate.workflows.ablation.lesion import LesionRequest, lesion_model
from striate.workflows.diagnosis.diagnose import DiagnoseRequest, diagnose
from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate
from striate.workflows.predict import PredictRequest, predict
from striate.workflows.profiling.profile import ProfileRequest, profile
from striate.workflows.reporting.report import ReportRequest, report
from striate.workflows.runs.folder import RunFolder
from striate.workflows.show import ShowRequest, show
from striate.workflows.training.repro import ReproRequest, repro
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver
from striate.workflows.training.train import train

SMALL = {"data": "digits", "network": "lenet5", "image_size": 32, "train_images": 40, "device": "cpu", "diagnose": False}


class Heard(QuietObserver):
    """Keeps what is said."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(TrainRequest(**SMALL, epochs=2, output=folder))
    return folder


@pytest.fixture
def copy(run, tmp_path):
    return RunFolder(Path(shutil.copytree(run, tmp_path / "run")))


def replace(path, held, other):
    text = path.read_text()
    assert held in text
    path.write_text(text.replace(held, other, 1))


def test_a_run_whose_network_was_edited_does_not_go_on(copy):
    replace(copy.network, '"name": "tanh"', '"name": "relu"')

    with pytest.raises(RefusedFileError, match=r"network\.json: is not the file that the run was trained with"):
        train(TrainRequest(resume=copy.path, epochs="+1"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), r"cannot read: No such file"),
        (lambda path: path.write_bytes(b""), r"not a safetensors file, or cut short"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x7f"), r"holds NaN or Inf|does not match its SHA-256"),
    ],
)
def test_a_run_whose_kept_model_is_ruined_does_not_go_on(copy, damage, words):
    damage(copy.model)

    with pytest.raises(RefusedFileError, match=rf"best\.safetensors: .*({words}).*; it holds the model of epoch \d"):
        train(TrainRequest(resume=copy.path, epochs="+1"))


def test_a_run_does_not_go_on_with_the_whole_model_of_another_run(copy, tmp_path):
    train(TrainRequest(**{**SMALL, "train_images": 30}, epochs=2, output=tmp_path / "other"))
    shutil.copy(tmp_path / "other" / "best.safetensors", copy.model)

    with pytest.raises(RefusedFileError, match=r"best\.safetensors: is not the model that the run kept in epoch"):
        train(TrainRequest(resume=copy.path, epochs="+1"))


def test_what_needs_the_model_alone_says_where_it_is_that_of_another_run(copy, tmp_path):
    train(TrainRequest(**SMALL, epochs=2, set={"settings.seed": 1}, output=tmp_path / "other"))
    shutil.copy(tmp_path / "other" / "best.safetensors", copy.model)
    picture, said = tmp_path / "picture.png", []
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(picture)

    predict(PredictRequest(run=copy.path, pictures=[picture]), say=said.append)
    profile(ProfileRequest(network=copy.path, measure=False), say=said.append)

    words = f"{copy.config}: is not the file that the run was trained with; the answers are those of best.safetensors"
    assert [line.startswith(words) for line in said] == [True, True]


def test_a_model_that_was_kept_after_the_last_checkpoint_is_the_runs_own(copy):
    """A kill between the save of a better model and the checkpoint that follows leaves such a one."""
    held = read_model(copy.model)
    info = {**held.info, "epoch": 3}
    save_model(copy.model, held.network, held.tensors, classes=held.classes, images=held.images, info=info)

    report = train(TrainRequest(resume=copy.path, epochs="+1"))

    assert report.epochs == 3


def test_a_run_that_goes_on_twice_still_knows_its_files(copy):
    train(TrainRequest(resume=copy.path, epochs="+1"))
    train(TrainRequest(resume=copy.path, epochs="+1"))

    kept = CheckpointStore(copy.checkpoints).load_latest().state["files"]
    assert set(kept) >= {"config.yaml", "network.json", "classes.json", "best.safetensors"}
    assert evaluate(EvaluateRequest(run=copy.path, split="val")).num_images == 143


def test_a_run_without_the_seed_of_its_division_is_not_measured(copy):
    replace(copy.config, "val_seed: 0\n", "")

    with pytest.raises(RefusedFileError, match=r"config\.yaml: lacks val_seed"):
        evaluate(EvaluateRequest(run=copy.path, split="val"))


@pytest.mark.parametrize("verb", ["evaluate", "explain", "attack", "calibrate", "compare", "lesion", "diagnose", "report"])
def test_a_run_whose_division_was_edited_is_refused_by_every_verb_that_reads_it(copy, verb):
    """With another seed, val would hold pictures that the model was trained on."""
    replace(copy.config, "val_seed: 0\n", "val_seed: 1\n")
    call = {
        "lesion": lambda: lesion_model(LesionRequest(run=copy.path)),
        "compare": lambda: striate.compare(copy.path, copy.model, split="val"),
        "evaluate": lambda: striate.evaluate(copy.path, split="val"),
    }.get(verb, lambda: getattr(striate, verb)(copy.path))

    with pytest.raises(RefusedFileError, match=r"config\.yaml: is not the file that the run was trained with"):
        call()


def test_a_comment_in_the_configuration_changes_nothing(copy):
    copy.config.write_text("# my best run\n" + copy.config.read_text())

    assert evaluate(EvaluateRequest(run=copy.path, split="val")).num_images == 143


def test_an_old_model_without_hashes_is_measured_and_that_is_said(copy):
    held = read_model(copy.model)
    info = {name: value for name, value in held.info.items() if name != "files"}
    save_model(copy.model, held.network, held.tensors, classes=held.classes, images=held.images, info=info)
    said = []

    evaluate(EvaluateRequest(run=copy.path, split="val"), say=said.append)

    assert (
        said[0] == f"{copy.path}: it records no hashes of its files, as runs of older versions: whether they were edited since is unknown"
    )


def test_repro_says_what_was_edited_and_refuses_another_length(copy):
    replace(copy.config, "weight_decay: 0.01", "weight_decay: 0.02")
    heard = Heard()

    report = repro(ReproRequest(run=copy.path), observer=heard)

    assert not report.equal
    assert f"{copy.config}: is not the file that the run was trained with; it is repeated with the current values" in heard.lines
    replace(copy.config, "epochs: 2", "epochs: 900000000")
    with pytest.raises(RefusedFileError, match=r"settings\.epochs is 900000000, and the run was trained with 2"):
        repro(ReproRequest(run=copy.path))


# ---- what grows while a run trains


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A run with a probe."""
    folder = tmp_path_factory.mktemp("runs") / "watched"
    train(TrainRequest(**{**SMALL, "diagnose": True}, epochs=2, output=folder))
    return folder


def without_line(path, number):
    lines = path.read_text().splitlines(keepends=True)
    del lines[number]
    path.write_text("".join(lines))


@pytest.mark.parametrize("verb", ["diagnose", "report", "repro"])
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("probe.jsonl", lambda path: path.write_text("")),
        ("probe.jsonl", lambda path: without_line(path, 1)),
        ("metrics.csv", lambda path: without_line(path, -1)),
        ("metrics.csv", lambda path: path.write_text(path.read_text()[:-2] + ("8\n" if path.read_text()[-2] == "7" else "7\n"))),
        ("events.jsonl", lambda path: without_line(path, 0)),
        ("events.jsonl", lambda path: without_line(path, -2)),
    ],
)
def test_what_the_training_wrote_and_was_edited_since_is_refused_where_it_is_read(watched, tmp_path, verb, name, damage):
    copy = Path(shutil.copytree(watched, tmp_path / "run"))
    damage(copy / name)
    calls = {
        "diagnose": lambda: diagnose(DiagnoseRequest(run=copy)),
        "report": lambda: report(ReportRequest(run=copy, measure=False)),
        "repro": lambda: repro(ReproRequest(run=copy)),
    }
    if (verb, name) == ("repro", "probe.jsonl"):  # which it does not read
        assert calls[verb]().equal
        return

    with pytest.raises(RefusedFileError, match=rf"{name}: is not the file that the training wrote\nRestore the file"):
        calls[verb]()


def test_a_run_that_does_not_tell_what_it_wrote_is_looked_at_and_that_is_said(watched, tmp_path):
    copy, said = Path(shutil.copytree(watched, tmp_path / "run")), []
    without_line(copy / "events.jsonl", -1)
    (copy / "probe.jsonl").write_text("")

    assert diagnose(DiagnoseRequest(run=copy), say=said.append).looks == 0
    assert any(
        line.startswith(f"{copy / 'metrics.csv'}: no hash of it is recorded, as for a run that is in progress, was killed or is old")
        for line in said
    )


def test_a_history_that_is_gone_is_said(watched, tmp_path):
    copy, said = Path(shutil.copytree(watched, tmp_path / "run")), []
    (copy / "probe.jsonl").unlink()

    diagnose(DiagnoseRequest(run=copy), say=said.append)

    assert f"{copy / 'probe.jsonl'}: is missing: what was observed while the run trained is unknown" in said


def test_a_run_that_goes_on_from_an_edited_history_ends_with_its_own(watched, tmp_path):
    copy = Path(shutil.copytree(watched, tmp_path / "run"))
    (copy / "metrics.csv").write_text("")

    train(TrainRequest(resume=copy, epochs="+1"))

    assert diagnose(DiagnoseRequest(run=copy)).epochs == 3


@pytest.mark.parametrize("verb", ["evaluate", "explain", "attack", "calibrate", "compare", "lesion", "diagnose", "report", "repro"])
def test_a_run_without_its_configuration_is_refused_by_every_verb_that_needs_it(copy, verb):
    copy.config.unlink()
    call = {
        "lesion": lambda: lesion_model(LesionRequest(run=copy.path)),
        "compare": lambda: striate.compare(copy.path, copy.model, split="val"),
        "evaluate": lambda: striate.evaluate(copy.path, split="val"),
        "repro": lambda: repro(ReproRequest(run=copy.path)),
    }.get(verb, lambda: getattr(striate, verb)(copy.path))

    with pytest.raises(RefusedFileError, match=r"config\.yaml: is missing from the folder of a run"):
        call()


def test_data_that_is_not_where_the_configuration_says_is_said_with_its_name(copy):
    replace(copy.config, "data: digits\n", "data: /gone/digit\n")

    with pytest.raises(DataError, match=r"/gone/digit: is not there, which config\.yaml names as the data of the run"):
        striate.attack(copy.path)


# ---- runs that never began


def unstarted(folder):
    """Leave what a run has that is killed before its first checkpoint."""
    for path in folder.path.iterdir():
        if path.name not in ("run.lock", "config.yaml", "network.json", "env.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder.checkpoints / ".ckpt-00000000.tmp-1").mkdir(parents=True)


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_with_what_it_has(copy, run):
    unstarted(copy)
    heard = Heard()

    report = train(TrainRequest(resume=copy.path), observer=heard)

    assert report.epochs == 2
    assert any(line.endswith("from      the beginning: the run was stopped before its first checkpoint") for line in heard.lines)
    ours, theirs = (read_model(each.model).tensors for each in (copy, RunFolder(run)))
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_a_run_that_was_killed_before_its_first_checkpoint_keeps_its_settings(copy):
    unstarted(copy)

    with pytest.raises(UsageError, match=r"settings\.weight_decay: 0\.01 in the checkpoint, now 0\.5"):
        train(TrainRequest(resume=copy.path, weight_decay=0.5))
    with pytest.raises(UsageError, match=r"has not started, `epochs='\+1'` cannot extend it"):
        train(TrainRequest(resume=copy.path, epochs="+1"))


def test_a_new_run_may_take_the_name_of_one_that_never_began_and_of_no_other(copy):
    request = TrainRequest(**{**SMALL, "train_images": 30}, epochs=1, output=copy.path)
    with pytest.raises(UsageError, match="exists already"):
        train(request)
    unstarted(copy)
    (copy.path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        train(request)
    (copy.path / "notes.txt").unlink()

    assert train(request).epochs == 1
    assert copy.read_config().train_images == 30


def test_a_folder_of_the_users_own_is_not_taken_for_a_run_that_never_began(tmp_path):
    (tmp_path / "classes.json").write_text(json.dumps(["a"]))

    with pytest.raises(UsageError, match="exists already"):
        train(TrainRequest(**SMALL, epochs=1, output=tmp_path))


def test_a_training_that_is_refused_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match="nosuch"):
        train(TrainRequest(**SMALL, epochs=1, freeze=("nosuch",)))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("diagnosed", [False, True])
def test_a_training_that_is_refused_at_its_first_update_leaves_no_folder(tmp_path, monkeypatch, diagnosed):
    """A batch norm gets one number a channel of one picture at a time, which shows when the first batch is computed."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    body = Chain(conv=Conv(4, 8), norm=BatchNorm(), flat=Flatten(), head=Linear(2))
    tiny = Network("tiny", (3, 8, 8), body)
    request = TrainRequest(data=(values, np.arange(8) % 2), network=tiny, batch_size=1, epochs=1, diagnose=diagnosed, device="cpu")

    with pytest.raises(UsageError, match="a batch norm gets one value per channel"):
        train(request)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["diagnose", "report"])
def test_what_is_not_there_is_said_by_its_name(copy, verb):
    said = []
    for path in (copy.metrics, copy.model, copy.events):
        path.unlink()
    requests = {"diagnose": lambda: diagnose(DiagnoseRequest(run=copy.path), say=said.append)}
    call = requests.get(verb, lambda: report(ReportRequest(run=copy.path, measure=False), say=said.append))

    call()

    assert any("metrics.csv: is missing" in line for line in said)
    assert any("best.safetensors" in line and "missing" in line for line in said)
    assert any("events.jsonl: is missing" in line for line in said) == (verb == "report")


@pytest.mark.parametrize("verb", ["diagnose", "report"])
def test_a_folder_in_place_of_the_model_is_refused(copy, verb):
    copy.model.unlink()
    copy.model.mkdir()

    with pytest.raises(RefusedFileError, match=r"best\.safetensors"):
        getattr(striate, verb)(copy.path)


def test_a_run_without_its_network_is_a_damaged_run_and_no_name(copy):
    copy.network.unlink()

    with pytest.raises(RefusedFileError, match=r"network\.json: cannot read: No such file"):
        show(ShowRequest(network=str(copy.path)))


def test_a_ruined_batch_of_a_run_that_stopped_is_refused(copy):
    copy.not_finite.write_bytes(b"no arrays")

    with pytest.raises(RefusedFileError, match=r"not-finite\.npz"):
        striate.diagnose(copy.path)
    np.savez(copy.not_finite, images=np.zeros((2, 8, 8, 1), np.uint8))
    with pytest.raises(RefusedFileError, match=r"images are not a batch of pictures of the model's size"):
        striate.diagnose(copy.path)
