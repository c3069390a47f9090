"""`striate attack` on a trained model: invariants, files, words."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import nn

import striate
from striate.apps.cli import app, main
from striate.core.errors import UsageError
from striate.drawing.pictures import montage as striate_montage
from striate.insight.attack.corruptions import corrupted
from striate.workflows.attack import AttackRequest, attack, summary
from striate.workflows.effort import time_in_words
from striate.workflows.subjects.labelled import DataRequest, open_labelled


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    striate.train("digits", network="compact_cnn", epochs=3, output=folder)
    return folder


def right_of(model, val, images):
    """The share of changed pictures of val that a model answers rightly."""
    answers = model.predict(np.ascontiguousarray(images))
    return sum(answer.class_name == str(label) for answer, label in zip(answers, val.labels, strict=True)) / len(val)


@pytest.mark.row("004-19", "001-9", "003-26")
def test_what_a_model_withstands(digits_run):
    """Eps 0 is the accuracy that evaluate counts, accuracy never rises with eps, and PGD is at least as strong as FGSM."""
    every = ("fgsm", "pgd", "noise", "rotation", "shift", "flip", "corruptions")
    report = attack(AttackRequest(run=digits_run, attacks=every, steps=4, num_images=400, epsilons=(0.0, 0.05, 0.1, 0.3)))

    assert report.num_images == striate.evaluate(digits_run, split="val").num_images  # all of the split
    assert report.accuracy == pytest.approx(striate.evaluate(digits_run, split="val").accuracy)
    curves = {result.attack: result for result in report.results}
    assert set(curves) == {
        "fgsm",
        "pgd",
        "noise",
        "rotation",
        "shift",
        "horizontal_flip",
        "vertical_flip",
        "brightness",
        "contrast",
        "blur",
        "gaussian_noise",
        "jpeg",
        "elastic",
        "uneven_light",
        "occlusion",
        "clutter",
    }
    for result in report.results:
        assert result.accuracies[0] == pytest.approx(report.accuracy)
        if result.unit.startswith("eps"):
            assert list(result.accuracies) == sorted(result.accuracies, reverse=True)
    fgsm, pgd = (next(result.accuracies for result in report.results if result.attack == name) for name in ("fgsm", "pgd"))
    assert all(strong <= weak for strong, weak in zip(pgd, fgsm, strict=True))
    assert pgd[-1] < 0.3 < report.accuracy
    turned = curves["rotation"]
    assert turned.sizes == (0, 15, 30, 45, 90) and turned.accuracies[-1] < turned.accuracies[1]
    model = striate.load(digits_run)
    val = open_labelled(model, digits_run, DataRequest(), verb="attack RUN").read("val", lambda _text: None)
    assert turned.accuracies[-1] == pytest.approx(right_of(model, val, np.rot90(val.images, axes=(1, 2))))
    shifted, (mirrored, turned_over) = curves["shift"], (curves[f"{axis}_flip"] for axis in ("horizontal", "vertical"))
    assert (shifted.unit, shifted.sizes) == ("pixels", (0, 1, 2, 4, 8))
    assert shifted.accuracies[0] > shifted.accuracies[2] > shifted.accuracies[4]
    assert mirrored.sizes == (0, 1) and mirrored.accuracies[1] == pytest.approx(right_of(model, val, val.images[:, :, ::-1]))
    assert turned_over.accuracies[1] == pytest.approx(right_of(model, val, val.images[:, ::-1]))
    folder = digits_run / "report" / "attack"
    assert json.loads((folder / "attack.json").read_text())["accuracy"] == report.accuracy
    for name in ("accuracy.png", "fgsm.png", "rotation.png", "shift.png", "horizontal_flip.png", "clutter.png"):
        with Image.open(folder / name) as picture:
            assert picture.size[0] > 300
    page = (folder / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 17 and "https:" not in page  # the curves, and pictures of each attack
    assert all(f"<h2>{name}</h2>" in page for name in ("fgsm", "gaussian noise", "rotation"))
    assert f'<td>90</td><td class="n">{100 * turned.accuracies[-1]:.2f} %</td>' in page
    assert (folder / "accuracy.csv").read_text().startswith("attack,unit,size,accuracy\nfgsm,eps (linf),0,")


def test_the_way_to_a_wrong_answer_is_measured(digits_run, tmp_path):
    report = attack(AttackRequest(run=digits_run, attacks=("deepfool",), num_images=40, output=tmp_path / "out"))

    (deepfool,) = report.results
    assert report.num_images == 40 and deepfool.accuracies[0] == pytest.approx(report.accuracy)
    assert "median distance to a wrong answer" in summary(report)
    with Image.open(tmp_path / "out" / "deepfool.png") as picture:
        assert picture.size[0] > 300


@pytest.mark.row("003-26")
def test_light_deformation_and_clutter_make_recognition_hard(digits_run):
    """What a model reads well is read worse in flat light, warped, or with another digit's strokes at its side."""
    model = striate.load(digits_run)
    val = open_labelled(model, digits_run, DataRequest(), verb="attack RUN").read("val", lambda _text: None)
    beside = np.roll(val.images, 1, axis=0)[:, :, ::-1]  # of another picture, mirrored
    cluttered = np.concatenate([np.maximum(val.images[:, :, :4], beside[:, :, :4]), val.images[:, :, 4:]], axis=2)

    def accuracy(images: np.ndarray) -> float:
        return float((model.probabilities(np.ascontiguousarray(images)).argmax(1) == val.labels).mean())

    clean = accuracy(val.images)
    assert clean > 0.9
    for changed in (corrupted(val.images, "contrast", 5), corrupted(val.images, "elastic", 5), cluttered):
        assert accuracy(changed) < clean - 0.1


def test_the_command_line_attacks(digits_run, tmp_path, capsys):
    words = ["attack", str(digits_run), "--attack", "fgsm", "--eps", "0", "--eps", "51/255", "--json"]

    with pytest.raises(SystemExit) as end:
        main([*words, "--images", "50", "--output", str(tmp_path / "out")])

    assert not end.value.code
    (curve,) = json.loads(capsys.readouterr().out)["results"]
    assert curve["sizes"] == [0, 0.2]
    assert curve["accuracies"][1] < curve["accuracies"][0]
    assert (tmp_path / "out" / "accuracy.csv").is_file()


@pytest.mark.row("001-9")
def test_shifts_and_flips_are_asked_for_by_name_and_printed(digits_run, tmp_path, capsys):
    app(
        [
            "attack",
            str(digits_run),
            "-a",
            "shift",
            "-a",
            "flip",
            "--pixels",
            "0",
            "--pixels",
            "3",
            "--images",
            "20",
            "--output",
            str(tmp_path),
        ],
        standalone_mode=False,
    )

    printed = capsys.readouterr().out
    assert re.search(r"shift, pixels\n  size +0 +3\n", printed)
    assert re.search(r"vertical_flip, flips\n  size +0 +1\n", printed)
    table = (tmp_path / "accuracy.csv").read_text().splitlines()
    assert [line.rsplit(",", 1)[0] for line in table[1:]] == [
        *(f"shift,pixels,{size}" for size in (0, 3)),
        *(f"{axis}_flip,flips,{size}" for axis in ("horizontal", "vertical") for size in (0, 1)),
    ]


def test_pictures_are_shown_at_every_angle_with_their_answers(digits_run, tmp_path, monkeypatch):
    """A row a picture, a column an angle; at 0 degrees the picture as it is."""
    drawn = {}
    monkeypatch.setattr(
        "striate.drawing.attacks.montage",
        lambda images, captions, **named: drawn.update(images=images, captions=captions, **named) or striate_montage(images, title="x"),
    )
    attack(AttackRequest(run=digits_run, attacks=("rotation",), degrees=(0, 90), num_images=3, output=tmp_path / "out"))

    model = striate.load(digits_run)
    val = open_labelled(model, digits_run, DataRequest(), verb="attack RUN").read("val", lambda _text: None)
    assert drawn["columns"] == 2 and len(drawn["images"]) == 6
    for place in range(3):
        for column, picture in enumerate((val.images[place], np.rot90(val.images[place]))):
            answer = model.predict(np.ascontiguousarray(picture)[None])[0].class_name
            cell = 2 * place + column
            np.testing.assert_array_equal(drawn["images"][cell], picture)
            assert drawn["captions"][cell] == f"{90 * column} degrees\nsaid {answer}"
            assert drawn["wrong"][cell] == (answer != str(val.labels[place]))


def test_where_nothing_is_right_there_is_nothing_to_fool(tmp_path):
    """A module that always gives a third class, which the data does not have: its accuracy is 0, at size 0 alone."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    module[1].weight.data.zero_()
    module[1].bias.data = torch.tensor([0.0, 0.0, 1.0])
    model = striate.Model.of(module, input_size=4)
    np.savez(tmp_path / "b.npz", x_train=np.full((20, 4, 4, 3), 9, np.uint8), y_train=np.arange(20) % 2)
    report = attack(AttackRequest(run=model, data=tmp_path / "b.npz", attacks=("deepfool", "cw"), split="train", num_images=2))
    assert report.accuracy == 0
    assert [(result.sizes, result.accuracies) for result in report.results] == [((0.0,), (0.0,))] * 2


def test_refusals(digits_run):
    for fields in ({"degrees": (0, float("nan"))}, {"degrees": ()}, {"attacks": ()}):
        with pytest.raises(ValidationError, match=next(iter(fields))):
            AttackRequest(run=digits_run, **fields)
    for words, message in (("0.1/0", "--eps 0.1/0: must be a number or a fraction"), ("a", "--eps a: must be a number")):
        with pytest.raises(UsageError, match=message):
            app(["attack", str(digits_run), "--eps", words], standalone_mode=False)
        with pytest.raises(UsageError, match=message.replace("--eps", "--adversarial-eps")):
            app(["train", "digits", "--adversarial", "pgd", "--adversarial-eps", words], standalone_mode=False)
    with pytest.raises(UsageError, match="the model does not record its data"):
        attack(AttackRequest(run=striate.load(digits_run)))
    with pytest.raises(UsageError, match=r"eps must grow from 0 or more, got 0.2, 0.1"):
        attack(AttackRequest(run=digits_run, attacks=("fgsm",), epsilons=(0.2, 0.1), num_images=4))


def test_the_time_is_told_before_the_work_and_how_far_it_is(digits_run, tmp_path):
    """PGD of 3 steps from 2 starts makes at most 2 (3 + 1) + 1 passes back and forth at an eps, and each eps and the end are looked at."""
    said, followed = [], []
    request = AttackRequest(run=digits_run, attacks=("pgd", "noise"), steps=3, num_images=20, epsilons=(0.0, 0.01), output=tmp_path)
    attack(request, say=said.append, follow=lambda *words: followed.append(words))

    (place,) = (k for k, text in enumerate(said) if "at most" in text)
    assert re.fullmatch(r"pgd, noise on 20 pictures: at most about \d+ s, less as pictures are fooled", said[place])
    assert said[place + 1 :] == ["pgd: 20 pictures", "noise: 20 pictures"]
    most = {"pgd": 20 * (2 + 9), "noise": 20 * 2}
    for name, passes in most.items():
        done = [one[1] for one in followed if one[0] == name]
        assert {one[2] for one in followed if one[0] == name} == {passes}
        assert done == sorted(done) and 0.5 * passes < done[-1] <= passes  # next to no picture is fooled at 0.01
    assert not striate.load(digits_run).module._forward_pre_hooks


def test_a_time_is_told_in_words():
    assert [time_in_words(seconds) for seconds in (0.2, 89, 100, 4000, 6000)] == ["1 s", "89 s", "2 min", "67 min", "1.7 h"]
