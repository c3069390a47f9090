"""What a continued training says of other conditions, of what a kill left, and to whom; extending under torchrun."""

from __future__ import annotations

import os

import numpy as np
import pytest

from striate.core.errors import EnvironmentFault, UsageError
from striate.workflows.recipes.checked import with_checked_fields
from striate.workflows.training.continuing import asked_of, conditions, warn_of_other_conditions
from striate.workflows.training.extending import extension_of
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver
from striate.workflows.training.sharing import locked
from striate.workflows.training.train import train

CONFIG = {"settings": {"epochs": 10, "steps": None}}


def test_another_number_of_processes_is_said_with_what_stays_equal():
    said = []

    warn_of_other_conditions(conditions(2), 1, said.append)
    warn_of_other_conditions(conditions(1), 4, said.append)

    assert said[0].startswith("not exact: the checkpoint was made by 2 processes, and now there is 1; order, batches, augmentation and")
    assert said[0].endswith("dropout and batch norms (without sync_norm) go by each process's part of a batch, so that the numbers differ")
    assert said[1].startswith("not exact: the checkpoint was made by 1 process, and now there are 4; ")
    assert len(said) == 2


def test_the_same_conditions_and_those_of_old_checkpoints_are_no_news():
    said = []
    before = conditions(3)

    warn_of_other_conditions(before, 3, said.append)
    warn_of_other_conditions({name: value for name, value in before.items() if name != "processes"}, 3, said.append)

    assert said == []


def test_other_versions_and_threads_are_said_by_name():
    said = []
    before = conditions(1)

    warn_of_other_conditions({**before, "versions": {**before["versions"], "torch": "2.3.1"}, "threads": 77}, 1, said.append)

    assert [line.partition(",")[0] for line in said] == [
        "not exact: the checkpoint was made with versions.torch 2.3.1",
        "not exact: the checkpoint was made with threads 77",
    ]


@pytest.mark.parametrize(("limit", "threads"), [("1", 1), ("99", 2), ("", 2), ("0", 2), ("many", 2)])
def test_a_limit_of_threads_counts_where_torch_does_not_know_of_it(monkeypatch, limit, threads):
    monkeypatch.setenv("OMP_THREAD_LIMIT", limit)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)

    assert conditions(1)["threads"] == threads


def test_who_follows_a_training_hears_what_was_cleared_in_its_folder(tmp_path, capsys):
    said = []
    (tmp_path / f".metrics.csv.tmp-{os.getpid()}").write_text("epoch,st")

    with (
        locked(tmp_path, None, said.append),
        pytest.raises(EnvironmentFault, match="another run is using this folder"),
        locked(tmp_path, None, print),
    ):
        pass

    assert said == [f"{tmp_path}: removed 1 unfinished file of a run that was killed"]
    assert capsys.readouterr() == ("", "")


def test_a_run_is_extended_by_a_number_or_to_a_total(tmp_path):
    def extension(epochs: int | str | None, **settings: object) -> int | None:
        config = {"settings": {**CONFIG["settings"], **settings}}
        return extension_of(TrainRequest(epochs=epochs), config, tmp_path, done=False)

    assert [extension(epochs) for epochs in ("+5", 15, 10, None)] == [5, 5, None, None]
    with pytest.raises(
        UsageError, match=r"has 10 epochs, `epochs` says 9\nExtend a run with `epochs='\+N'`, or to a larger number of epochs"
    ):
        extension(9)
    with pytest.raises(UsageError, match="has 10 epochs, `epochs` says 15"):
        extension(15, steps=300)


@pytest.mark.parametrize(("steps", "remedy"), [(None, r"Give the total: `epochs=15`\."), (300, r"Leave --max-restarts out\.")])
def test_processes_that_may_start_again_are_not_told_to_add(tmp_path, monkeypatch, steps, remedy):
    """Each start would add 5 epochs more; a total is the same however often it is said."""
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    config = {"settings": {"epochs": 10, "steps": steps}}

    with pytest.raises(UsageError, match=rf"`epochs='\+5'`: torchrun --max-restarts would extend the run again at each start\n{remedy}"):
        extension_of(TrainRequest(epochs="+5"), config, tmp_path, done=True)
    assert extension_of(TrainRequest(epochs=15), CONFIG, tmp_path, done=True) == 5
    extended = {"settings": {"epochs": 15, "steps": None}}
    assert extension_of(TrainRequest(epochs=15), extended, tmp_path, done=False) is None


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("policy", "rand", r"`policy`: must be trivial, got 'rand'"),
        ("optimizer", "lion2", r"`optimizer`: must be .*got 'lion2'\nDid you mean lion"),
        ("image_size", "big", r"`image_size`: must be a whole number"),
        ("patience", "long", "^`patience`: must be a whole number"),
    ],
)
def test_a_wrong_field_is_named_as_an_argument_in_python(field, value, words):
    with pytest.raises(UsageError, match=words):
        with_checked_fields(TrainRequest, **{field: value})


@pytest.mark.parametrize("left", [(), (".config.yaml.tmp-1",), ("config.yaml",)])
def test_processes_that_died_before_they_described_themselves_begin_again(tmp_path, monkeypatch, left):
    """torchrun starts them again; all that the first ones left is a lock, and perhaps half of their description."""
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.lock").touch()
    for name in left:
        (run / name).write_text("data: di")
    images, labels = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2

    report = train(TrainRequest(data=(images, labels), network="compact_cnn", steps=1, diagnose=False, output=run))

    assert (report.run, report.steps) == (str(run), 1)


def test_a_folder_that_is_no_run_is_not_begun_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    (tmp_path / "photo.jpg").touch()
    images, labels = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2

    with pytest.raises(UsageError, match="exists already"):
        train(TrainRequest(data=(images, labels), network="compact_cnn", steps=1, output=tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_the_words_that_a_run_was_started_with_may_be_said_again_when_it_goes_on(tmp_path):
    """What was found for `auto` and `find` is what the run has; another number is another setting."""
    config = {"settings": {"batch_size": 64, "learning_rate": 0.03}, "augmentation": {}, "images": {}}

    assert asked_of(TrainRequest(resume=tmp_path, batch_size="auto", learning_rate="find"), config) == config
    assert asked_of(TrainRequest(resume=tmp_path, batch_size=32), config)["settings"]["batch_size"] == 32


def test_data_that_has_moved_and_weights_by_their_short_path_are_no_other_settings(tmp_path, monkeypatch):
    """The pictures are compared by themselves."""
    monkeypatch.chdir(tmp_path)
    config = {"settings": {}, "augmentation": {}, "images": {}, "data_dir": "/old", "pretrained": str(tmp_path / "runs" / "a")}

    assert asked_of(TrainRequest(resume=tmp_path, data_dir=tmp_path / "new", pretrained="runs/a"), config) == config
    assert asked_of(TrainRequest(resume=tmp_path, pretrained="runs/b"), config)["pretrained"] == str(tmp_path / "runs" / "b")


@pytest.mark.parametrize(
    ("precision", "fast", "slowdown", "said"),
    [("bfloat16", False, 9.12, True), ("bfloat16", False, 0.8, False), ("bfloat16", True, 9.12, False), ("auto", False, 9.12, False)],
)
def test_bfloat16_is_warned_of_where_the_processor_emulates_it(tmp_path, monkeypatch, precision, fast, slowdown, said):
    monkeypatch.setattr("striate.workflows.training.finishing.is_bfloat16_fast", lambda _device: fast)
    monkeypatch.setattr("striate.workflows.training.finishing.bfloat16_slowdown", lambda: slowdown)
    lines = []
    observer = QuietObserver()
    observer.say = lines.append

    train(
        TrainRequest(data="digits", network="lenet1", epochs=1, device="cpu", precision=precision, output=tmp_path / "run"),
        observer=observer,
    )

    expected = "bfloat16  takes 9.1 times as long as float32 on this processor, by a convolution; `precision='float32'` is faster"
    assert [line for line in lines if line.startswith("bfloat16")] == ([expected] if said else [])
