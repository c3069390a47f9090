"""The verbs as functions: `striate.explain` and the others take the fields of their requests, and say which field is wrong."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

import striate
from striate.core.errors import DataError, UsageError
from striate.networks.layers import Chain, Flatten, Linear
from striate.workflows.ablation.ablate import AblateRequest
from striate.workflows.attack import AttackRequest
from striate.workflows.diagnosis.diagnose import DiagnoseRequest
from striate.workflows.evaluation.calibrate import CalibrateRequest
from striate.workflows.evaluation.compare import CompareRequest
from striate.workflows.evaluation.evaluate import EvaluateRequest
from striate.workflows.explanation.explain import ExplainRequest
from striate.workflows.explanation.filters import FilterRequest
from striate.workflows.profiling.profile import ProfileRequest
from striate.workflows.recipes.book import RECIPES
from striate.workflows.reporting.report import ReportRequest
from striate.workflows.training.repro import ReproRequest
from striate.workflows.training.request import summary

VERBS = ("ablate", "attack", "calibrate", "check", "compare", "convert", "diagnose", "evaluate", "explain", "filter", "predict", "profile")
VERBS += ("repeat", "report", "repro", "train")
MODEL = striate.Model.of(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)), input_size=32, classes=("a", "b"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/CLASS/*.png of bright and dark pictures, with a test split."""
    folder = tmp_path_factory.mktemp("face") / "photos"
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        for number in range(count):
            place = folder / split / ("dark", "bright")[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 100, (16, 12, 3), dtype=np.uint8) + np.uint8(150 * (number % 2))).save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def run(photos: Path) -> Path:
    network = striate.network("cifar_notes", num_classes=2, input_size=(16, 12))
    return Path(striate.train(photos, network=network, epochs=1, batch_size=4, output=photos.parent / "run").run)


@contextlib.contextmanager
def kept_for_the_gradient() -> Iterator[dict[str, int]]:
    """Largest number of bytes that the updates under way keep for their way back, the weights included."""
    found, since = {"most": 0}, 0

    def pack(kept: Tensor) -> Tensor:
        nonlocal since
        since += kept.numel() * kept.element_size()
        found["most"] = max(found["most"], since)
        return kept

    def unpack(kept: Tensor) -> Tensor:
        nonlocal since
        since = 0
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield found


@pytest.mark.row("000-3")
def test_full_batch_single_sample_and_mini_batch_descent_need_memory_by_the_batch_whatever_the_data(tmp_path: Path):
    """24 pictures are 24 updates of 1, 4 of 6 or 1 of all; an update of 6 of 48 pictures needs what one of 6 of 24 does."""
    images, labels = np.random.default_rng(0).integers(0, 256, (64, 8, 10), dtype=np.uint8), np.arange(64) % 2
    network = striate.network("cifar_notes", num_classes=2, in_channels=1, input_size=(8, 10))
    steps, memory = {}, {}
    for number, size in ((24, 1), (24, 6), (24, 24), (48, 6)):
        given = {"network": network, "optimizer": "gd", "learning_rate": 0.01, "epochs": 1, "val_fraction": 0.25, "diagnose": False}
        given |= {"precision": "float32"}  # bfloat16 keeps casts of the weights, too, whatever the batch
        count = number * 4 // 3
        with kept_for_the_gradient() as kept:
            report = striate.train((images[:count], labels[:count]), batch_size=size, output=tmp_path / f"{number}-{size}", **given)
        steps[number, size], memory[number, size] = report.steps, kept["most"]

    assert list(steps.values()) == [24, 4, 1, 8]
    assert memory[48, 6] == memory[24, 6]
    assert (memory[24, 24] - memory[24, 6]) / 18 == pytest.approx((memory[24, 6] - memory[24, 1]) / 5, rel=0.01)
    assert memory[24, 24] > 1.5 * memory[24, 6]


@pytest.mark.row("001-14", "001-22")
def test_steps_go_round_the_pictures_as_often_as_they_need_and_answers_go_round_once(tmp_path: Path):
    """The notes' 2,000 updates of 128 are 4.65 passes of 55,000 pictures with 5,000 held out; here all but the batch is a tenth of that."""
    images, labels = np.random.default_rng(0).integers(0, 256, (6_000, 4, 4), dtype=np.uint8), np.arange(6_000) % 10
    network = striate.Network("one layer", (1, 4, 4), Chain(Flatten(), Linear(10)))
    given = {"network": network, "recipe": "notes", "val_fraction": 1 / 12, "diagnose": False}
    report = striate.train((images, labels), steps=200, output=tmp_path / "run", **given)
    notes, settings = RECIPES["notes"](network, 55_000).settings, yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["settings"]

    assert (notes.steps, notes.batch_size, notes.optimizer, notes.learning_rate) == (2000, 128, "adam", 1e-3)
    assert (settings["batch_size"], settings["optimizer"], settings["learning_rate"]) == (128, "adam", 1e-3)
    assert round(notes.steps * 128 / 55_000, 2) == 4.65 == round(report.steps * 128 / report.num_train, 2)
    assert (report.num_train, report.num_val, report.steps, report.epochs) == (5_500, 500, 200, 5)
    with (tmp_path / "run" / "metrics.csv").open() as file:  # 42 batches of 128 and one of 124 go round once
        assert [int(row["step"]) for row in csv.DictReader(file)] == [43, 86, 129, 172, 200]
    answers = striate.predict(report.run, images[:130])  # two batches, of 128 and of 2
    assert [answer.path for answer in answers] == [f"{place}" for place in range(130)]


@pytest.mark.row("002-20")
def test_a_training_with_l1_has_weights_that_are_exactly_0_and_counts_them(photos: Path):
    network = striate.network("cifar_notes", num_classes=2, input_size=(16, 12))
    report = striate.train(photos, network=network, epochs=1, batch_size=4, output=photos.parent / "l1", set={"settings.l1": 0.1})

    zeros = sum(int((weight == 0).sum()) for weight in striate.load(report.run).module.parameters())
    assert report.zeros == zeros > network.params / 100
    assert f"zeros: {zeros:,} of {network.params:,} parameters are exactly 0" in summary(report)


def test_every_verb_is_a_function_of_striate_with_an_example():
    for verb in VERBS:
        function = getattr(striate, verb)
        assert verb in striate.__all__ and function.__name__ == verb
        assert function.__module__ == "striate.workflows.face"
        if verb != "predict":
            assert f"`striate.{verb}(" in function.__doc__


def test_every_argument_of_a_verb_reaches_its_request():
    records = (AblateRequest, AttackRequest, CalibrateRequest, CompareRequest, DiagnoseRequest, EvaluateRequest, ExplainRequest)
    for record in (*records, FilterRequest, ProfileRequest, ReportRequest, ReproRequest):
        verb = record.__name__.removesuffix("Request").lower()
        arguments = set(inspect.signature(getattr(striate, verb)).parameters)
        passed_on_by_hand = {"model", "observer"} | ({"module"} if verb == "repro" else set())
        assert arguments - passed_on_by_hand <= {field.name for field in dataclasses.fields(record)}, verb


def test_a_module_of_the_users_own_trains_as_module_or_as_network(photos: Path, tmp_path: Path):
    module = nn.Sequential(nn.Flatten(), nn.Linear(16 * 16 * 3, 2))
    asked = {"epochs": 1, "image_size": 16, "batch_size": 4}

    reports = [striate.train(photos, **{name: module}, **asked, output=tmp_path / name) for name in ("module", "network")]
    repeated = striate.repeat(photos, seeds=2, module=module, **asked, output=tmp_path / "seeds")

    assert reports[0].val == reports[1].val
    assert striate.evaluate(reports[0].run, split="val", module=module).accuracy == reports[0].val.accuracy
    assert len(repeated.repetitions) == 2


def test_what_predict_leaves_out_is_warned_of_at_the_line_that_calls_it(run: Path, photos: Path, tmp_path: Path):
    shutil.copy(photos / "test" / "dark" / "0.png", tmp_path)
    (tmp_path / "notes.txt").write_text("x")

    with pytest.warns(UserWarning, match="notes.txt") as warned:
        striate.predict(run, tmp_path)

    assert warned[0].filename == __file__


def test_runs_are_compared_as_arguments_or_as_a_list(run: Path):
    assert [row.name for row in striate.compare([run, "lenet5"]).subjects] == [row.name for row in striate.compare(run, "lenet5").subjects]


def test_a_run_is_repeated_and_a_training_is_repeated_from_seeds(run: Path, photos: Path, tmp_path: Path):
    assert striate.repro(run).equal

    report = striate.repeat(photos, seeds=2, network="cifar_notes", image_size=16, steps=1, output=tmp_path / "seeds")

    assert [one.what for one in report.repetitions] == ["seed 0", "seed 1"]
    with pytest.raises(UsageError, match="epoch"):
        striate.repeat(photos, seeds=2, epoch=3)


def test_verbs_look_at_a_run(run: Path, photos: Path, tmp_path: Path):
    model = striate.load(run)

    shown = striate.explain(model, photos / "test" / "dark", methods=("saliency",), sanity=False, output=tmp_path / "explain")
    assert [item.path for item in shown.pictures] == ["0.png", "2.png"] and shown.methods == ("saliency",)
    attacked = striate.attack(run, attacks=("noise",), epsilons=(0.0,), output=tmp_path / "attack")
    assert attacked.results[0].accuracies == (striate.evaluate(run, split="val").accuracy,)
    assert striate.calibrate(run, output=tmp_path / "calibrated.safetensors").num_images == 4
    assert striate.diagnose(run, output=tmp_path / "diagnose").epochs == 1
    assert striate.profile(run, measure=False).totals.params == model.network.params
    assert [one.name for one in striate.compare("lenet5", run).subjects] == ["lenet5", str(run)]
    assert "Summary" in striate.report(run, measure=False, output=tmp_path / "page.html").sections


def test_filter_takes_its_steps_one_after_the_other(tmp_path: Path):
    Image.fromarray(np.full((5, 7), 100, np.uint8)).save(tmp_path / "grey.png")
    report = striate.filter(tmp_path / "grey.png", "blur", "[[2]]", output=tmp_path / "out.png")
    assert [step.name for step in report.steps] == ["blur", "kernel"]
    assert report.steps[-1].mean == 200 and (report.height, report.width) == (5, 7)


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("explain", ("run",)),
        ("attack", ("run",)),
        ("filter", ("a.png",)),
        ("report", ("run",)),
        ("calibrate", ("run",)),
        ("profile", ("lenet5",)),
    ],
)
def test_a_field_that_is_not_there_is_named(verb: str, arguments: tuple[str, ...]):
    with pytest.raises(UsageError, match="colour"):
        getattr(striate, verb)(*arguments, colour="blue")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: striate.train("digits", lr=0.1), "unknown argument 'lr'\nStriate calls it `learning_rate`."),
        (lambda: striate.train("digits", model="lenet5"), "unknown argument 'model'\nStriate calls it `network`."),
        (
            lambda: striate.train("digits", n_epochs=3),
            "unknown argument 'n_epochs'\nStriate calls it `epochs`.",
        ),
        (
            lambda: striate.explain("run", method="grad_cam"),
            (
                "unknown argument 'method'\nDid you mean methods or model or module? "
                "For example striate.explain('runs/train/digits-001', 'new/', methods=('grad_cam', 'occlusion'))."
            ),
        ),
        (
            lambda: striate.ablate("lenet5", "digits", without=("norm",)),
            "without: edits are texts after the data\nFor example striate.ablate(network, data, 'without norm').",
        ),
        (
            lambda: striate.ablate("lenet5", "digits", swap={"activation": "tanh"}),
            "swap: edits are texts after the data\nFor example striate.ablate(network, data, 'swap activation=tanh').",
        ),
        (
            lambda: striate.ablate("lenet5", "digits", factorize=True),
            "factorize: edits are texts after the data\nFor example striate.ablate(network, data, 'factorize').",
        ),
        (
            lambda: striate.ablate("lenet5", "digits", "without norm", epochs=3),
            "epochs: is an argument of the training\nUse training={'epochs': 3}.",
        ),
        (
            lambda: striate.train("photos", "lenet5"),
            (
                "train: only data can be positional, all other arguments must be named\n"
                "For example striate.train('photos/', network='resnet18', epochs=30)."
            ),
        ),
        (
            lambda: striate.evaluate("run", "photos", "val"),
            (
                "evaluate: only model and data can be positional, all other arguments must be named\n"
                "For example striate.evaluate(model, 'photos/', split='test')."
            ),
        ),
        (lambda: striate.evaluate(MODEL, "val"), "val: no data set or folder, but a split\nSay `split='val'`."),
        (
            lambda: striate.ablate("run", without=("norm",)),
            (
                "ablate: missing the argument: 'data'\n"
                "For example striate.ablate('resnet20_cifar', 'cifar10', 'without shortcut', 'swap activation=tanh')."
            ),
        ),
        (striate.demo, "demo: missing the argument: 'name'\nFor example striate.demo('hopfield')."),
        (
            lambda: MODEL.predict(np.zeros((1, 32, 32), np.uint8), top_k=3),
            "unknown argument 'top_k'\nDid you mean top? For example model.predict(['a.jpg', 'b.png'], top=3).",
        ),
        (
            lambda: MODEL.predict("nowhere.jpg"),
            "nowhere.jpg: no such file\nCheck the name.",
        ),
        (
            lambda: MODEL.predict("nowhere/*.jpg"),
            "nowhere/*.jpg: no such file\nNo file matches the pattern: check it. In Python, pass the result of glob.glob.",
        ),
        (lambda: striate.load(MODEL), "load: the Model is loaded already\nUse it as it is."),
        (
            lambda: striate.network("lenet5", classes=3),
            (
                "unknown argument 'classes'\nDid you mean num_classes? "
                "For example striate.network('lenet5', num_classes=10, in_channels=1, input_size=32)."
            ),
        ),
        (
            lambda: striate.network("lenet5").without(["norm"]),
            "without: takes one part at a time, as a text, got ['norm']\nFor example net.without('norm').without('shortcut').",
        ),
        (
            lambda: striate.network("lenet5").swap("activation", "tanh"),
            "swap: takes named arguments only\nFor example net.swap(activation='tanh').",
        ),
        (
            lambda: striate.network("lenet5").swap(act="tanh"),
            "unknown argument 'act'\nDid you mean activation? For example net.swap(activation='tanh').",
        ),
        (
            lambda: striate.train("digits", network="lenet5", module=object()),
            "network and module are both given\nGive one of them.",
        ),
    ],
)
def test_a_near_miss_names_the_right_form(call, words):
    with pytest.raises((UsageError, DataError)) as error:
        call()

    assert str(error.value) == words
