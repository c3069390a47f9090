"""`--batch-size auto` takes what the memory has room for, and no more than the number of pictures suits."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

import striate
from striate.core.errors import EnvironmentFault, UsageError
from striate.workflows.training import batch_size
from striate.workflows.training.batch_size import bytes_needed, largest_that_runs, power_below, size_for_memory
from striate.workflows.training.planning import resolve
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver


class Notes(QuietObserver):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def request_for_auto(tmp_path) -> TrainRequest:
    images = np.zeros((700, 8, 10), np.uint8)
    labels = np.arange(700) % 3
    np.savez(tmp_path / "data.npz", x_train=images, y_train=labels, x_val=images[:30], y_val=labels[:30])
    return TrainRequest(data=tmp_path / "data.npz", network="compact_cnn", batch_size="auto")


def test_half_of_the_free_memory_is_enough_for_the_batch_and_not_for_twice_as_many():
    net = striate.network("compact_cnn", num_classes=3, in_channels=1, input_size=(8, 10))
    for_eight = 16 * net.params + 8 * net.training_memory_bytes

    assert size_for_memory(net, 2 * for_eight, 1024) == 8
    assert size_for_memory(net, 2 * for_eight - 1, 1024) == 4
    assert size_for_memory(net, 2 * for_eight, 2) == 2


def test_one_picture_that_does_not_fit_is_an_error_with_both_sizes():
    net = striate.network("vgg16")
    needed = 16 * net.params + net.training_memory_bytes

    assert bytes_needed(net, 1) == needed
    with pytest.raises(EnvironmentFault) as error:
        size_for_memory(net, 100 * 2**20, 32)
    assert error.value.message == f"`batch_size='auto'`: one picture takes {needed / 2**20:,.0f} MiB, and 100 MiB are free"


def test_many_pictures_are_not_needed_for_few(request_for_auto):
    notes = Notes()

    plan = resolve(request_for_auto, notes)

    assert plan.config.settings.batch_size == 32  # 700 / 20 = 35
    assert any(line.startswith("batch size 32: at least 20 updates per epoch; takes about ") for line in notes.said)


def test_a_computer_with_little_free_memory_gets_smaller_batches_and_is_told(request_for_auto, monkeypatch):
    net = resolve(request_for_auto, QuietObserver()).fitting.network
    monkeypatch.setattr(batch_size, "free_memory_bytes", lambda: 2 * (16 * net.params + 5 * net.training_memory_bytes))
    notes = Notes()

    plan = resolve(request_for_auto, notes)

    assert plan.fitting.settings.batch_size == 4
    assert any(line.startswith("batch size 4: half of the ") and " MiB that are free; takes about " in line for line in notes.said)


def test_sizes_are_tried_upwards_until_one_does_not_run():
    tried: list[int] = []

    def runs(size: int) -> bool:
        tried.append(size)
        return size <= 20

    assert largest_that_runs(runs, 256) == 16
    assert tried == [2, 4, 8, 16, 32]
    assert largest_that_runs(runs, 8) == 8
    assert [power_below(value) for value in (0.2, 1, 63.9, 64)] == [1, 1, 32, 64]


@pytest.mark.gpu
def test_a_device_is_tried_out(request_for_auto, monkeypatch):
    import dataclasses

    import torch

    free, _ = torch.cuda.mem_get_info()
    request = dataclasses.replace(request_for_auto, device="cuda")
    assert resolve(request, QuietObserver()).fitting.settings.batch_size == 32
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1, free))
    assert resolve(request, QuietObserver()).fitting.settings.batch_size == 1


def test_another_word_is_refused_by_the_command_line():
    from striate.apps.cli import app

    result = CliRunner().invoke(app, ["train", "digits", "--batch-size", "automatic"])

    assert isinstance(result.exception, UsageError)
    assert result.exception.message == "`batch_size`: must be a whole number or auto, got 'automatic'"
