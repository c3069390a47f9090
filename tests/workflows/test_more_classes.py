"""A run taken to more classes: what it knew is replayed and measured, its order of classes stays, and the result is a run like others."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.core.errors import DataError, UsageError
from striate.core.intervals import wilson_interval
from striate.models.transfer import Weights, with_more_classes
from striate.networks.catalog import network
from striate.workflows.reporting.sections import repeating
from striate.workflows.runs.folder import RunFolder
from striate.workflows.runs.split import read_record
from striate.workflows.training.running import QuietObserver

QUICK = {"batch_size": 4, "epochs": 2, "precision": "float32", "device": "cpu", "diagnose": False, "learning_rate": 0.02}
SIZE = 12
COLOURS = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200), "grey": (120, 120, 120)}


def photos(folder: Path, classes: list[str], count: int = 10, *, first: int = 0) -> Path:
    """Noise of a colour for each class."""
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            noise = np.random.default_rng([number, *name.encode()]).integers(-19, 20, (SIZE, SIZE, 3))
            Image.fromarray((np.array(COLOURS[name]) + noise).astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


class Lines(QuietObserver):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos of two classes, a run on them, and photos of two others and of one of the old classes."""
    place = tmp_path_factory.mktemp("extended")
    photos(place / "old", ["red", "green"])
    photos(photos(place / "new", ["blue", "grey"]), ["green"], 3, first=50)
    striate.train(place / "old", network="compact_cnn", output=place / "run", val_fraction=0.2, **QUICK)
    return place


@pytest.fixture(scope="module")
def extended(trained: Path) -> tuple[Path, Lines, striate.TrainReport]:
    lines = Lines()
    report = striate.train(trained / "new", extend=trained / "run", output=trained / "more", observer=lines, **QUICK)
    return trained, lines, report


def test_the_old_classes_keep_their_places_and_new_ones_follow(extended):
    place, lines, _ = extended

    assert striate.load(place / "run").classes == ("green", "red")
    assert striate.load(place / "more").classes == ("green", "red", "blue", "grey")
    assert f"extends   {place / 'run'}: 2 classes, new: blue, grey" in lines.said
    assert f"pictures  of {place / 'run'}: 16 trained on, 4 held out; new: 20 to train on, 3 held out (stratified, seed 0)" in lines.said


def test_what_was_held_out_stays_so_and_nothing_is_on_both_sides(extended):
    place, *_ = extended
    before, after = read_record(place / "run"), read_record(place / "more")

    assert set(before.val.digests) < set(after.val.digests)
    assert set(before.train.digests) < set(after.train.digests)
    assert not set(after.val.digests) & set(after.train.digests)
    assert len({*after.val.digests, *after.train.digests}) == 20 + 23


def test_the_start_answers_the_old_classes_as_before_and_a_new_one_with_their_mean(trained):
    """A head of rows w_k for new classes: logits x w_k + b_k are kept, and the new one is their mean."""
    net = network("compact_cnn", num_classes=2, in_channels=3, input_size=8)
    torch.manual_seed(0)
    module, images = net.build().eval(), torch.rand(5, 3, 8, 8)
    more = network("compact_cnn", num_classes=4, in_channels=3, input_size=8)
    weights = Weights(source="here", tensors=module.state_dict(), network=net, classes=("b", "a"))

    grown = with_more_classes(weights, more, ("b", "a", "c", "d"))

    larger = more.build().eval()
    larger.load_state_dict(dict(grown.tensors))
    with torch.inference_mode():
        before, after = module(images), larger(images)
    assert torch.allclose(after[:, :2], before)
    assert torch.allclose(after[:, 2:], before.mean(1, keepdim=True).expand(5, 2), atol=1e-6)


def test_forgetting_is_measured_on_what_the_run_had_held_out(extended):
    place, _, report = extended
    old, new = striate.load(place / "run"), striate.load(place / "more")
    held_out = [place / "old" / name for name in read_record(place / "run").val.names]
    truth = [path.parent.name for path in held_out]
    right = [sum(answer.class_name == name for answer, name in zip(model.predict(held_out), truth, strict=True)) for model in (old, new)]

    found = report.retention

    assert [round(share.accuracy * share.num_images) for share in (found.before, found.after)] == right
    assert found.before.num_images == len(held_out) == 4
    assert found.after.interval == wilson_interval(right[1], 4)
    assert found.added.num_images == report.num_val - 4
    text = str(striate.workflows.training.request.summary(report))
    assert f"kept: of 4 pictures that the extended run held out, it named {right[0] / 4:.4f} (95 % interval " in text
    assert "added: of " in text


def test_the_result_is_evaluated_predicted_repeated_and_continued(extended):
    place, _, report = extended

    measured = striate.evaluate(place / "more")
    assert RunFolder(place / "more").read_config().extends.data[0].data == str(place / "old")
    assert (measured.num_images, measured.accuracy) == (report.num_val, pytest.approx(report.val.accuracy))
    assert striate.load(place / "more").predict(place / "new" / "blue" / "0.png")[0].class_name in COLOURS
    assert striate.repro(place / "more").equal
    config, net = RunFolder(place / "more").read_config(), RunFolder(place / "more").read_network()
    assert f"striate train {place / 'new'} --extend {place / 'run'} --recipe " in repeating(place / "more", config, "", net)
    shutil.copytree(place / "more", place / "longer")
    assert striate.train(resume=place / "longer", epochs="+1", data=None, diagnose=False).epochs == 3
    with pytest.raises(UsageError, match=r"extends\.run: .*more' in the checkpoint|extends\.run: '.*run' in the checkpoint, now '.*other'"):
        striate.train(None, resume=place / "longer", extend=place / "other", epochs="+1")


def test_a_run_that_was_extended_is_extended_again(extended, monkeypatch):
    place, *_ = extended
    monkeypatch.setitem(COLOURS, "white", (230, 230, 230))
    photos(place / "newest", ["white"])

    report = striate.train(place / "newest", extend=place / "more", output=place / "most", **QUICK)

    assert striate.load(place / "most").classes == ("green", "red", "blue", "grey", "white")
    assert report.retention.before.num_images == striate.evaluate(place / "more").num_images
    assert report.num_train + report.num_val == 43 + 10
    assert striate.evaluate(place / "most").num_images == report.num_val


def test_a_folder_that_has_grown_is_used_without_taking_a_picture_twice(trained, tmp_path):
    shutil.copytree(trained / "old", tmp_path / "photos")
    shutil.copytree(trained / "run", tmp_path / "run")
    config = RunFolder(tmp_path / "run").config
    config.write_text(config.read_text().replace(str(trained / "old"), str(tmp_path / "photos")))
    photos(tmp_path / "photos", ["blue"])
    shutil.copy(tmp_path / "photos" / "red" / "1.png", tmp_path / "photos" / "red" / "copy.png")

    report = striate.train(tmp_path / "photos", extend=tmp_path / "run", output=tmp_path / "more", **QUICK)

    assert report.num_train + report.num_val == 30
    assert report.retention.before.num_images == 4


def test_pictures_that_lie_elsewhere_now_are_found_by_content_and_lost_classes_are_refused(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    config = RunFolder(tmp_path / "run").config
    config.write_text(config.read_text().replace(str(trained / "old"), str(tmp_path / "gone")))
    photos(tmp_path / "new", ["blue"])
    with pytest.raises(
        DataError, match=r"no picture that it was trained on is at hand of class 'green', 'red'\nRestore them where they were"
    ):
        striate.train(tmp_path / "new", extend=tmp_path / "run", output=tmp_path / "more", **QUICK)

    for name in ("green", "red"):
        shutil.copytree(trained / "old" / name, tmp_path / "new" / name)
    report = striate.train(tmp_path / "new", extend=tmp_path / "run", output=tmp_path / "more", **QUICK)
    assert report.retention.before.num_images == 4


def test_a_new_class_of_one_picture_is_learned_and_said(trained, tmp_path):
    photos(tmp_path / "new", ["blue"], 1)
    lines = Lines()

    striate.train(tmp_path / "new", extend=trained / "run", output=tmp_path / "more", observer=lines, **QUICK)

    assert "val has no picture of class 'blue': it does not measure how well that is learned" in lines.said


def test_what_cannot_be_extended_is_refused(trained, tmp_path):
    new, run, options = trained / "new", trained / "run", {"output": tmp_path / "more", **QUICK}
    with pytest.raises(UsageError, match=r"`extend` .*old: knows|`extend` .*run: knows all classes of old: green, red\n.*--pretrained"):
        striate.train(trained / "old", extend=run, **options)
    with pytest.raises(UsageError, match=r"`extend` nowhere: no such run folder"):
        striate.train(new, extend="nowhere", **options)
    with pytest.raises(UsageError, match="`network`: is decided by the run that `extend` names"):
        striate.train(new, extend=run, network="lenet5", **options)
    with pytest.raises(UsageError, match=r"`set images\.mean`: is decided by the run"):
        striate.train(new, extend=run, set={"images.mean": [0.5]}, **options)
    X = np.random.default_rng(0).integers(0, 255, (20, SIZE, SIZE, 1), dtype=np.uint8)
    striate.train((X, np.arange(20) / 7), network="compact_cnn", output=tmp_path / "numbers", **QUICK)
    with pytest.raises(UsageError, match="has the task regression; only classifiers of pictures are extended"):
        striate.train(new, extend=tmp_path / "numbers", **options)
    striate.train((X, np.arange(20) % 2), network="compact_cnn", output=tmp_path / "grey", **QUICK)
    with pytest.raises(DataError, match=r"new: has pictures of 3 channels, and .*grey takes 1"):
        striate.train(new, extend=tmp_path / "grey", **options)
    (tmp_path / "grey" / "report" / "curves.png").unlink()
    with pytest.raises(UsageError, match=r"grey: the run has not come to its end\nContinue it first: striate train --resume"):
        striate.train(new, extend=tmp_path / "grey", **options)
