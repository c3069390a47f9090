"""Healthy trainings of networks of the catalogue, each with its default recipe: nothing is said of them, and nothing found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.data.sources import open_data
from striate.networks.catalog import network
from striate.networks.layers import Activation, Chain, Flatten, Linear
from striate.networks.network import Network
from striate.workflows.diagnosis.diagnose import DiagnoseRequest, diagnose
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver
from striate.workflows.training.train import train

pytestmark = pytest.mark.release


class Heard(QuietObserver):
    """Keeps the findings that are said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        if text.startswith(("warning:", "error:", "note:")):
            self.lines.append(text)


def perceptron() -> Network:
    """64, 128, 64 and 10 units."""
    hidden = {f"hidden{i}": Chain(linear=Linear(units), act=Activation("relu")) for i, units in enumerate((128, 64), start=1)}
    return Network("mlp", (1, 8, 8), Chain(flatten=Flatten(), **hidden, head=Linear(10)))


def small_vgg() -> Network:
    """Its first dense layer reads maps of 1 x 1, not 49 copies of them."""
    return network("vgg11_bn", num_classes=10, input_size=32).without("head.pool")


def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    split = open_data("digits").read("train")
    return split.images[:count], split.labels[:count]


HEALTHY: dict[str, dict[str, Any]] = {
    "lenet5 on mnist": {"data": "mnist", "network": "lenet5", "epochs": 1},
    "compact_cnn on fashion_mnist": {"data": "fashion_mnist", "network": "compact_cnn", "epochs": 1},
    "cifar_notes on cifar10": {"data": "cifar10", "network": "cifar_notes", "epochs": 2},
    "resnet20 on cifar10": {"data": "cifar10", "network": "resnet20_cifar", "epochs": 1},
    "vgg11_bn on cifar10": {"data": "cifar10", "network": small_vgg(), "image_size": 32, "steps": 150},
    "compact_cnn on digits": {"data": "digits", "network": "compact_cnn", "epochs": 15},
    "a perceptron on digits": {"data": "digits", "network": perceptron(), "epochs": 15},
    "every augmentation at once": {
        "data": "digits", "network": "compact_cnn", "epochs": 15, "policy": "trivial", "erasing": 0.25,
        "set": {"augmentation.rotation": 10.0, "augmentation.brightness": 0.2},
    },
    "mix-up and cut-mix": {"data": "digits", "network": "compact_cnn", "epochs": 15, "mixup": 0.4, "cutmix": 1.0},
    "smoothed labels and a mean of the weights": {"data": "digits", "network": "compact_cnn", "epochs": 15, "smoothing": 0.1, "ema": 0.95},
}  # fmt: skip
FILES = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw", "cifar10": "cifar-10-batches-py"}


def found(run: Path, **fields: Any) -> list[str]:
    """What is said of the training, and what is found afterwards."""
    heard = Heard()
    train(TrainRequest(output=run, **fields), observer=heard)
    again = diagnose(DiagnoseRequest(run=run, data=fields["data"] if isinstance(fields["data"], tuple) else None))
    return heard.lines + [str(finding) for finding in again.findings]


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_said_of_a_healthy_training(name, data_dir, tmp_path):
    fields = HEALTHY[name]
    if fields["data"] in FILES and not (data_dir / FILES[fields["data"]]).exists():
        pytest.skip(f"not on this machine: {data_dir / FILES[fields['data']]}")

    assert found(tmp_path / "run", data_dir=data_dir, **fields) == []


def test_nothing_is_said_of_a_healthy_transfer(tmp_path):
    """From digits 0 to 4 to digits 5 to 9, all layers and the last one alone."""
    images, labels = digits(1295)
    low, high = labels < 5, labels >= 5
    first = tmp_path / "low"
    train(TrainRequest(data=(images[low], labels[low]), network="compact_cnn", epochs=10, output=first))

    for name, more in (("all", {}), ("frozen", {"freeze": ("stage1",)})):
        fields = {"data": (images[high], labels[high]), "pretrained": first, "epochs": 10, **more}
        assert found(tmp_path / name, **fields) == []


def test_nothing_is_said_of_a_healthy_regression(tmp_path):
    """Where a bright square lies."""
    values = np.random.default_rng(0)
    places = values.integers(0, 12, (600, 2))
    images = values.integers(0, 40, (600, 16, 16), dtype=np.uint8)
    for image, (row, column) in zip(images, places, strict=True):
        image[row : row + 4, column : column + 4] = 220

    assert found(tmp_path / "run", data=(images, places.astype(float)), network="compact_cnn", epochs=15) == []
