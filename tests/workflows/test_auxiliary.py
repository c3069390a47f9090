"""A second task beside the classes: rotations and coarser classes, trained together with a weight."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import striate
from striate.apps.cli import main
from striate.core.errors import DataError, UsageError
from striate.engine.optimizers import SGD, ParamGroup
from striate.engine.step import StepRule, train_step
from striate.networks.layers import Activation, Chain, Conv, Dropout, Flatten, GlobalPool, Linear
from striate.networks.modules.heads import grouped
from striate.networks.network import AuxiliaryHead, Network

NETWORK = Network(
    "tiny",
    (1, 6, 6),
    Chain(conv=Conv(4, 3), act=Activation("relu"), flatten=Flatten(), hidden=Linear(8), tanh=Activation("tanh"), linear=Linear(3)),
)
GROUPS = {"0": "round", "1": "straight", "2": "round"}


@pytest.fixture(scope="module")
def tops() -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, 6, 6) that are bright in their upper third, with classes that nothing in them tells."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (60, 6, 6), dtype=np.uint8)
    images[:, :2] += 150
    return images, rng.integers(0, 3, 60)


@pytest.mark.row("003-43")
def test_the_loss_is_that_of_the_classes_and_weighted_that_of_the_turned_pictures():
    """By hand: NumPy turns picture n by n mod 4 quarters, the tower is applied to both, and the two cross-entropies are added."""
    net = NETWORK.auxiliary("rotation", weight=0.3)
    torch.manual_seed(0)
    module: Any = net.build(heads=True).double().eval()  # its turns are 0, 1, 2, 3, 0, ...
    images, labels = torch.randn(5, 1, 6, 6, dtype=torch.float64), torch.tensor([2, 0, 1, 1, 2])
    turns = torch.tensor([0, 1, 2, 3, 0])
    turned = torch.from_numpy(np.stack([np.rot90(image[0], k).copy() for image, k in zip(images.numpy(), turns, strict=True)]))[:, None]
    body = module.network[:-1]
    expected = F.cross_entropy(module.network(images), labels) + 0.3 * F.cross_entropy(module.heads[0](body(turned)), turns)

    optimizer = SGD([ParamGroup("all", list(module.parameters()), 0.0)])
    batch: Any = type("Batch", (), {"images": images, "labels": labels})
    result = train_step(module, batch, optimizer, StepRule(loss_fn=F.cross_entropy), 0.0)

    assert net.heads[0].at == "tanh" and net.heads[0].task == "rotation"
    assert result.loss.item() == pytest.approx(expected.item(), abs=1e-12)
    assert module(images).shape == (5, 3)  # the pictures of the classes alone


def test_coarser_classes_of_labels_and_of_shares():
    """Groups 1, 0, 1: the shares of the first and the third class add up."""
    assert grouped(torch.tensor([0, 1, 2, 2]), (1, 0, 1)).tolist() == [1, 0, 1, 1]
    torch.testing.assert_close(grouped(torch.tensor([[0.2, 0.5, 0.3]]), (1, 0, 1)), torch.tensor([[0.5, 0.5]]))


@pytest.mark.row("003-43")
def test_a_network_learns_which_way_pictures_are_turned_while_their_classes_are_noise(tops, tmp_path):
    report = striate.train(
        tops, network=NETWORK, auxiliary="rotation", auxiliary_weight=2, epochs=30, learning_rate=0.02, crop_padding=0, flip=False,
        output=tmp_path / "run", diagnose=False,
    )  # fmt: skip

    with (Path(report.run) / "metrics.csv").open() as file:
        found = [float(row["val_auxiliary_accuracy"]) for row in csv.DictReader(file)]
    assert found[-1] == 1.0 and report.val.accuracy < 0.9
    assert report.val.measures == {"auxiliary_accuracy": pytest.approx(found[report.best_epoch - 1])}
    model = striate.load(report.run)
    assert not model.network.heads and model.network.params == NETWORK.params  # the head is left behind


@pytest.mark.row("003-43")
def test_groups_of_the_digits_from_the_command_line(tmp_path, capsys):
    """Odd and even digits; the run can be repeated exactly, its second task included."""
    groups = "{" + ", ".join(f"{digit}: {'odd' if digit % 2 else 'even'}" for digit in range(10)) + "}"
    words = ["train", "digits", "--auxiliary", groups, "--auxiliary-weight", "0.3", "--model", "lenet5", "--img-size", "32"]
    words += ["--train-images", "200", "--epochs", "2", "--l1", "0.0001", "--output", str(tmp_path / "run"), "--no-diagnose"]
    with pytest.raises(SystemExit) as end:
        main(words)

    out, err = capsys.readouterr()
    assert not end.value.code and "2 groups of the classes, loss x 0.3" in err
    assert "auxiliary accuracy 0." in out and "zeros: " in out
    assert striate.repro(tmp_path / "run").equal


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"auxiliary": {"0": "a", "1": "b"}}, "needs a group for each class and for nothing else, which is not so for '2'"),
        ({"auxiliary": {"0": "a", "1": "a", "2": "a"}}, "needs two groups or more"),
        ({"auxiliary_weight": 0.3}, "auxiliary_weight: no second task to train on"),
        (
            {"auxiliary": "rotation", "network": Network("one", (1, 6, 6), Chain(Flatten(), Linear(3)))},
            "no layer that two tasks could share",
        ),
        ({"auxiliary": GROUPS, "task": "regression", "network": None}, "groups are of classes"),
    ],
)
def test_a_second_task_that_cannot_be_trained_is_one_clear_error(options, words, tops, tmp_path):
    images, labels = tops
    data = (images, labels * 0.37) if options.get("task") else tops
    with pytest.raises(UsageError, match=words):
        striate.train(data, **{"network": NETWORK, "epochs": 1, **options}, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def shades() -> tuple[np.ndarray, np.ndarray, dict[str, list[str]]]:
    """Pictures (n, 6, 6) with classes that nothing in them tells, and in a column whether they are dark or bright."""
    rng = np.random.default_rng(1)
    bright = rng.integers(0, 2, 60)
    images = rng.integers(0, 60, (60, 6, 6), dtype=np.uint8) + 150 * bright[:, None, None].astype(np.uint8)
    return images, rng.integers(0, 3, 60), {"shade": [("dark", "bright")[place] for place in bright]}


SHORT = {"network": NETWORK, "epochs": 8, "learning_rate": 0.02, "crop_padding": 0, "flip": False, "diagnose": False}


@pytest.mark.row("003-43")
def test_a_column_of_a_table_or_of_arrays_is_a_second_task_with_classes_of_its_own(shades, tmp_path, capsys):
    """The same pictures as a table of files from the command line; there the run is repeated exactly."""
    images, labels, columns = shades
    lines = ["path,label,shade"]
    for place, (image, label, shade) in enumerate(zip(images, labels, columns["shade"], strict=True)):
        Image.fromarray(image).save(tmp_path / f"{place:02}.png")
        lines.append(f"{place:02}.png,c{label},{shade}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    words = [
        "train",
        str(tmp_path / "table.csv"),
        "--auxiliary",
        "shade",
        "--model",
        str(tmp_path / "net.json"),
        "--epochs",
        "8",
        "--lr",
        "0.02",
    ]
    (tmp_path / "net.json").write_text(NETWORK.to_json())

    report = striate.train(shades, auxiliary="shade", auxiliary_weight=1, output=tmp_path / "arrays", **SHORT)
    with pytest.raises(SystemExit) as end:
        main([*words, "--crop-padding", "0", "--no-flip", "--no-diagnose", "--output", str(tmp_path / "run")])

    out, err = capsys.readouterr()
    assert report.val.measures["auxiliary_accuracy"] == 1.0 and report.val.accuracy < 0.9
    assert not end.value.code, err
    assert "besides   the column 'shade', loss x 0.5" in err and "auxiliary accuracy 1.0000" in out
    assert striate.repro(tmp_path / "run").equal


@pytest.mark.parametrize(
    ("columns", "options", "error", "words"),
    [
        ({}, {"auxiliary": "shadow"}, UsageError, "unknown second task or column in auxiliary 'shadow'\nDid you mean shade"),
        ({}, {"auxiliary": "shade", "mixup": 0.2}, UsageError, "auxiliary: mixed pictures have no single label in the column 'shade'"),
        ({"shade": [""] + ["dark", "bright"] * 29 + ["dark"]}, {"auxiliary": "shade"}, DataError, "has nothing in the column 'shade'"),
        ({"shade": ["dark"] * 60}, {"auxiliary": "shade"}, UsageError, "an auxiliary task needs two groups or more"),
        ({"shade": ["dark"] * 59}, {}, DataError, r"columns must be names with 60 values each, 'shade' has shape \(59,\)"),
    ],
)
def test_a_column_that_cannot_be_a_second_task_is_one_clear_error(columns, options, error, words, shades, tmp_path):
    data = (*shades[:2], columns or shades[2])
    with pytest.raises(error, match=words):
        striate.train(data, output=tmp_path / "run", **{**SHORT, "epochs": 1, **options})
    assert not (tmp_path / "run").exists()


def test_the_labels_are_no_second_task_by_whatever_name(shades, tmp_path):
    images, labels, _ = shades
    data = (images, labels, {"kind": [f"kind {label}" for label in labels]})
    with pytest.raises(UsageError, match="auxiliary: the column 'kind' tells the same as the labels, so it is no second task"):
        striate.train(data, auxiliary="kind", output=tmp_path / "run", **SHORT)
    assert not (tmp_path / "run").exists()


def test_rotations_are_of_square_pictures():
    with pytest.raises(UsageError, match="rotation turns square pictures"):
        NETWORK.with_input((1, 6, 8)).auxiliary("rotation")


def test_the_head_reads_what_the_last_layer_with_weights_reads():
    """A fully convolutional network: the maps before its last convolution, averaged; dropout is passed over."""
    net = Network(
        "maps", (2, 8, 8), Chain(conv=Conv(4, 3), act=Activation("relu"), drop=Dropout(0.5), last=Conv(3, 1), pool=GlobalPool("avg"))
    )

    (head,) = net.auxiliary((0, 1, 1)).heads

    assert head == AuxiliaryHead("act", Chain(pool=GlobalPool("avg"), linear=Linear(2)), 0.5, (0, 1, 1))
    assert Network.from_json(net.auxiliary((0, 1, 1)).to_json()).heads == (head,)
