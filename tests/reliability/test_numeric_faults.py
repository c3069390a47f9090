"""Numbers that go wrong in a training: nothing that is not finite is kept; and numbers that must not change, whatever looks at a model."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

import striate
from striate.core.errors import DataError, NumericError, StriateError, UsageError
from striate.core.images import ImageSpec
from striate.data.augmentation.record import Augmentation
from striate.data.sources import open_data
from striate.engine.checkpoints import CheckpointStore
from striate.engine.settings import TrainSettings
from striate.models.fitting import Fitting, FittingRun, fit_images
from striate.networks.catalog import network
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.train import train

CURVE = Path(__file__).parents[1] / "golden" / "training" / "losses.txt"
UPDATES = 9


@pytest.fixture
def training() -> FittingRun:
    """Three epochs of three updates on the digits, with batch norm and a mean of the weights, in float32."""
    digits = open_data("digits").read("train").take(np.arange(120))
    net = network("compact_cnn", num_classes=10, in_channels=1, input_size=8)
    settings = TrainSettings(epochs=3, batch_size=40, ema=0.9, learning_rate=0.05, precision="float32", device="cpu")
    images = ImageSpec(height=8, width=8, channels=1, mean=(0.3,), std=(0.4,))
    fitting = Fitting(network=net, images=images, classes=digits.classes, settings=settings, augmentation=Augmentation(crop_padding=1))
    return fit_images(fitting, digits, digits)


# ---- what is not finite


def first(module: nn.Module, kind: type[nn.Module]) -> nn.Module:
    return next(part for part in module.modules() if isinstance(part, kind))


def spoil(training: FittingRun, place: str, value: float) -> None:
    """Put NaN or Inf in one number, as a fault of a machine would."""
    module, average = training.module, training.loop.average
    assert average is not None
    tensor = {
        "weight": lambda: first(module, nn.Conv2d).weight,
        "norm": lambda: first(module, nn.BatchNorm2d).running_var,
        "mean of weights": lambda: next(iter(average.state().values())),
        "optimizer": lambda: next(each for each in training.loop.optimizer.state().values() if each.is_floating_point()),
        "gradient": lambda: None,
    }[place]()
    if tensor is None:
        first(module, nn.Linear).weight.register_hook(lambda gradient: gradient * value)
    else:
        with torch.no_grad():
            tensor.view(-1)[0] = value


@pytest.mark.row("004-21")
@pytest.mark.parametrize("at", [1, 5, 8])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", ["weight", "norm", "mean of weights", "optimizer", "gradient"])
def test_whatever_stops_being_finite_ends_the_training_and_is_never_saved(training, tmp_path, place, value, at):
    store, saved = CheckpointStore(tmp_path, say=lambda _: None), 0

    def consume() -> None:
        nonlocal saved
        for event in training.events:
            if event.step == at and event.row is None:
                spoil(training, place, value)
            store.save(event.step, training.loop.tensors(), {})
            saved += 1

    with pytest.raises(NumericError) as error:
        consume()

    assert error.value.exit_code == 5
    assert saved >= at - 1
    for path in tmp_path.rglob("*.safetensors"):
        assert all(np.isfinite(array).all() for array in load_file(path).values()), path


# ---- what cannot be trained


WRONG = [
    ({"labels": 1}, DataError, "at least two classes"),
    ({"count": 3}, DataError, "has 1 training picture; at least 2 are needed"),
    ({"count": 0}, DataError, "must be pictures"),
    ({"set": {"settings.class_weights": (0.0, 0.0, 0.0)}}, UsageError, "class_weights: at least one must be above 0"),
    ({"set": {"settings.class_weights": (1.0, 2.0)}}, UsageError, "class_weights must have an entry for each of the 3 classes, got 2"),
    ({"learning_rate": 1e38, "warmup_epochs": 0}, NumericError, "not finite at step"),
    ({"batch_size": 1, "network": "resnet18", "image_size": 32}, UsageError, "with 1 picture at a time, a batch norm gets one value"),
]


@pytest.mark.parametrize(("given", "kind", "words"), WRONG, ids=[words for *_, words in WRONG])
def test_a_training_that_cannot_be_ends_in_words(tmp_path, given, kind, words):
    fields = {"network": "compact_cnn", "steps": 3, "diagnose": False, "output": tmp_path / "run", **given}
    count, labels = fields.pop("count", 40), fields.pop("labels", 3)
    values = np.random.default_rng(0)
    data = (values.integers(0, 256, (count, 8, 8), dtype=np.uint8), np.arange(count) % labels)

    with pytest.raises(kind, match=words) as error:
        train(TrainRequest(data=data, **fields))

    assert isinstance(error.value, StriateError)


@pytest.mark.parametrize("given", [{"batch_size": 1}, {"smoothing": 1.0}, {"set": {"settings.class_weights": (1.0, 0.0, 0.0)}}])
def test_a_training_at_the_edge_of_what_can_be_gives_finite_numbers(tmp_path, given):
    values = np.random.default_rng(0)
    data = (values.integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40) % 3)

    report = train(TrainRequest(data=data, network="compact_cnn", steps=3, diagnose=False, output=tmp_path / "run", **given))

    assert math.isfinite(report.val.loss)
    assert all(np.isfinite(array).all() for array in load_file(tmp_path / "run" / "best.safetensors").values())


# ---- what must stay as it is


def test_the_first_losses_are_those_of_the_golden_file(training, request):
    """Of torch 2.15 on an x86 processor, in float32; other versions and processors may differ by rounding, which grows with the updates."""
    losses = [float(event.loss) for event in training.events if event.loss is not None]

    if request.config.option.update_golden:
        CURVE.parent.mkdir(parents=True, exist_ok=True)
        CURVE.write_text("".join(f"{loss:.6f}\n" for loss in losses), encoding="utf-8")
    expected = [float(line) for line in CURVE.read_text(encoding="utf-8").splitlines()]
    assert len(losses) == len(expected) == UPDATES
    np.testing.assert_allclose(losses, expected, rtol=1e-3)


@pytest.mark.slow
def test_looking_at_a_model_moves_no_random_numbers_and_leaves_it_as_it_was(tmp_path):
    run = tmp_path / "run"
    striate.train("digits", network="compact_cnn", steps=30, output=run)
    model = striate.load(run)
    model.module.train()  # as a user may have it
    pictures = open_data("digits").read("test").images[:8]
    looks = {
        "predict": lambda: striate.predict(model, pictures),
        "evaluate": lambda: striate.evaluate(model, "digits", split="test"),
        "calibrate": lambda: striate.calibrate(run, output=tmp_path / "calibrated.safetensors"),
        "diagnose": lambda: striate.diagnose(run),
        "profile": lambda: striate.profile(model, measure=False),
    }
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 (the old generator is the one that libraries share)
    random.seed(3)

    def state() -> tuple[object, ...]:
        old = np.random.get_state()  # noqa: NPY002
        weights = b"".join(value.numpy().tobytes() for value in model.module.state_dict().values())
        return torch.get_rng_state().numpy().tobytes(), old[1].tobytes(), old[2], random.getstate(), weights, model.module.training

    before = state()
    for name, look in looks.items():
        look()
        assert state() == before, name
