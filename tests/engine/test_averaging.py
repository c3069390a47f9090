"""Averages of weights equal torch's, and leave the model as it was."""

from __future__ import annotations

import copy
from typing import NamedTuple

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from striate.core.errors import DataError, RefusedFileError, UsageError
from striate.engine.averaging import WeightAverage, average_of, refresh_norms
from striate.engine.settings import TrainSettings


class Batch(NamedTuple):
    images: Tensor
    labels: Tensor


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(24, 4)).double()
    return net.to(memory_format=torch.channels_last)


def batches(count: int = 3, shift: float = 2.0) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    made = [shift + torch.randn(5, 2, 4, 6, generator=generator).double() for _ in range(count)]
    return [Batch(images, torch.zeros(5)) for images in made]


def walk(net: nn.Module, step: int) -> None:
    """Another place, with other running statistics."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for param in net.parameters():
            param.add_(torch.randn(param.shape, generator=generator), alpha=0.1)
        net(torch.randn(5, 2, 4, 6, generator=generator).double())


def everything(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("decay", [None, 0.9])
def test_the_average_equals_torchs(decay, use_buffers):
    """torch.optim.swa_utils, 12 updates, to 1e-12; without the count of batches, a whole number, of which torch takes no equal mean."""
    net = small_net()
    net[1].num_batches_tracked = None
    average = WeightAverage(net, decay, use_buffers=use_buffers)
    peer = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay) if decay else None, use_buffers=use_buffers)

    for step in range(12):
        walk(net, step)
        average.update()
        peer.update_parameters(net)

    expected = everything(peer.module)
    with average.applied():
        for name, tensor in everything(net).items():
            torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize("use_buffers", [False, True])
def test_whole_numbers_are_those_of_the_last_update(use_buffers):
    net = small_net()
    average = WeightAverage(net, 0.9, use_buffers=use_buffers)
    for step in range(4):
        walk(net, step)
        average.update()
    walk(net, 4)

    with average.applied():
        assert int(net[1].num_batches_tracked) == 4
    assert int(net[1].num_batches_tracked) == 5


@pytest.mark.row("002-22")
def test_an_exponential_mean_is_the_sum_that_its_definition_says():
    """After w_1 .. w_4: a = d^3 w_1 + (1 - d) (d^2 w_2 + d w_3 + w_4)."""
    layer = nn.Linear(1, 1, bias=False).double()
    average = WeightAverage(layer, 0.8)
    for value in (1.0, 3.0, -2.0, 5.0):
        nn.init.constant_(layer.weight, value)
        average.update()

    with average.applied():
        assert layer.weight.item() == pytest.approx(0.512 * 1 + 0.2 * (0.64 * 3 - 0.8 * 2 + 5), abs=1e-12)


def test_the_model_gets_its_own_back_bit_for_bit_also_after_an_error():
    net = small_net()
    average = WeightAverage(net, 0.9, use_buffers=True)
    for step in range(3):
        walk(net, step)
        average.update()
    walk(net, 3)
    before, kept = everything(net), {name: tensor.clone() for name, tensor in average.state().items()}
    pointers = [param.data_ptr() for param in net.parameters()]

    def fail() -> None:
        with average.applied():
            assert not torch.equal(net[0].weight, before["0.weight"])
            refresh_norms(net, batches())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert all(torch.equal(tensor, before[name]) for name, tensor in everything(net).items())
    assert all(torch.equal(tensor, kept[name]) for name, tensor in average.state().items())
    assert pointers == [param.data_ptr() for param in net.parameters()]


def test_before_the_first_update_there_is_nothing_to_apply_or_to_save():
    net = small_net()
    average = WeightAverage(net)
    before = everything(net)

    with average.applied():
        assert all(torch.equal(tensor, before[name]) for name, tensor in everything(net).items())
    assert average.state() == {}


@pytest.mark.parametrize("decay", [None, 0.9])
def test_an_average_that_continues_from_a_file_equals_one_that_was_not_stopped(decay):
    straight, stopped = small_net(), small_net()
    first, other = WeightAverage(straight, decay, use_buffers=True), WeightAverage(stopped, decay, use_buffers=True)
    for step in range(7):
        for net, average in ((straight, first), (stopped, other)):
            walk(net, step)
            average.update()
        if step == 3:
            data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in other.state().items()})
            stopped = copy.deepcopy(stopped)
            other = WeightAverage(stopped, decay, use_buffers=True)
            other.load_state(safetensors.torch.load(data))

    assert first.state().keys() == other.state().keys()
    assert all(torch.equal(tensor, other.state()[name]) for name, tensor in first.state().items())
    other.load_state({})
    assert other.state() == {}


def test_the_average_of_another_model_is_refused_by_name():
    net = small_net()
    average = WeightAverage(net)
    average.update()
    state = average.state()
    remedy = "\nContinue with the network that it was saved with."

    def refusal(state: dict[str, Tensor]) -> str:
        with pytest.raises(RefusedFileError) as caught:
            WeightAverage(small_net()).load_state(state)
        return str(caught.value)

    missing = {name: tensor for name, tensor in state.items() if name != "4.bias"}
    assert refusal(missing) == "state of the averaged weights: 4.bias is missing" + remedy
    assert refusal(state | {"9.bias": torch.zeros(1)}) == "state of the averaged weights: the model has no 9.bias" + remedy
    expected = "state of the averaged weights: 4.bias must be torch.float64 of shape (4,), got torch.float32 of shape (4,)"
    assert refusal(state | {"4.bias": torch.zeros(4)}) == expected + remedy


def test_refreshed_norms_equal_torchs_and_each_part_keeps_its_mode():
    """torch.optim.swa_utils.update_bn, to 1e-12; no dropout stands before the norm. Momentum and modes are as they came."""
    ours, theirs = small_net(), small_net()
    for net in (ours, theirs):
        walk(net, 0)  # statistics that must go
    ours[2].eval()
    refresh_norms(ours, batches())

    update_bn([batch.images for batch in batches()], theirs)

    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(ours[1], name), getattr(theirs[1], name), rtol=0, atol=1e-12)
    assert (ours[1].momentum, ours[1].training, ours[2].training, ours.training) == (0.1, True, False, True)


def test_norms_see_what_evaluation_gives_them():
    """A dropout before the norm is off."""
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(2)).double()
    images = torch.cat([batch.images for batch in batches()])

    refresh_norms(net, [Batch(images, torch.zeros(len(images)))])

    torch.testing.assert_close(net[1].running_mean, images.mean((0, 2, 3)), rtol=0, atol=1e-12)
    torch.testing.assert_close(net[1].running_var, images.var((0, 2, 3), correction=1), rtol=0, atol=1e-12)


def test_a_frozen_norm_keeps_its_statistics_but_a_model_in_evaluation_mode_is_refreshed():
    net = small_net()
    net[1].eval()
    before = everything(net)
    refresh_norms(net, batches())
    assert all(torch.equal(tensor, before[name]) for name, tensor in everything(net).items())

    net.eval()
    refresh_norms(net, batches())
    assert not torch.equal(net[1].running_mean, before["1.running_mean"])
    assert not any(part.training for part in net.modules())


def test_refreshed_norms_can_be_kept_with_the_average():
    net = small_net()
    average = WeightAverage(net)
    for step in range(3):
        walk(net, step)
        average.update()
    own = net[1].running_mean.clone()

    with average.applied():
        refresh_norms(net, batches())
        refreshed = net[1].running_mean.clone()
        average.keep_buffers()

    assert torch.equal(net[1].running_mean, own)
    with average.applied():
        assert torch.equal(net[1].running_mean, refreshed) and not torch.equal(refreshed, own)


def test_norms_without_pictures_are_an_error_that_changes_nothing():
    net = small_net()
    walk(net, 0)
    before = everything(net)

    with pytest.raises(DataError, match="no pictures to estimate the statistics of the norms from"):
        refresh_norms(net, [])

    assert all(torch.equal(tensor, before[name]) for name, tensor in everything(net).items())
    assert net.training and net[1].momentum == 0.1


def test_the_settings_choose_the_average():
    net = small_net()

    assert average_of(TrainSettings(), net) is None
    ema, swa = average_of(TrainSettings(ema=0.99), net), average_of(TrainSettings(swa_start=0.75), net)
    assert (ema.decay, ema.use_buffers) == (0.99, True)
    assert (swa.decay, swa.use_buffers) == (None, False)
    with pytest.raises(UsageError, match=r"ema and swa_start are both given, but only one average can be kept\nLeave out one of them"):
        average_of(TrainSettings(ema=0.9, swa_start=0.5), net)
