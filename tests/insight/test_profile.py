"""Profiles agree with other people's counters, and measuring leaves a network as it was."""

import copy
import time

import pytest
import torch
from torch import nn

import striate
from striate.insight.profile.layers import batches, may_save, time_layers
from striate.insight.profile.machine import Machine, measure_machine, raised
from striate.insight.profile.published import PRINTED
from striate.insight.profile.whole import peak_memory, time_inference, time_training

SMALL = ("lenet5", "cifar_notes", "nin_cifar", "resnet20_cifar", "densenet_40_12", "preact_resnet110_cifar")
LARGE = ("mobilenet_v2", "googlenet", "efficientnet_b0", "convnext_tiny", "resnext50_32x4d", "fcn8s_vgg16")


def on_meta(net):
    with torch.device("meta"):
        return net.build().eval().requires_grad_(False), torch.zeros(2, *net.input_shape)


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_flops_equal_those_of_torchs_counter(name):
    from torch.utils.flop_counter import FlopCounterMode

    net = striate.network(name)
    module, images = on_meta(net)

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(images)

    assert counter.get_total_flops() == 2 * net.flops  # of two pictures


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # fvcore traces as torch no longer likes
@pytest.mark.parametrize("name", ["lenet5", "nin_cifar", "resnet20_cifar", "mobilenet_v2", "resnext50_32x4d"])
def test_macs_equal_those_of_fvcore(name):
    from fvcore.nn import FlopCountAnalysis

    net = striate.network(name)
    module, images = net.build().eval(), torch.zeros(1, *net.input_shape)

    counted = FlopCountAnalysis(module, images).unsupported_ops_warnings(False).uncalled_modules_warnings(False).by_operator()

    assert counted["conv"] + counted["linear"] == net.macs  # fvcore calls a multiply-add a FLOP


@pytest.mark.parametrize("name", ["lenet5", "nin_cifar", "resnet20_cifar", "mobilenet_v2"])
def test_params_and_macs_equal_those_of_torchinfo(name):
    import torchinfo

    net = striate.network(name)
    module = net.build().eval()
    biases = {part: part.bias.numel() for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None}

    counted = torchinfo.summary(module, (1, *net.input_shape), verbose=0, device="cpu")

    assert counted.total_params == net.params
    norms = sum(part.weight.numel() for part in module.modules() if isinstance(part, nn.BatchNorm2d))
    extra = counted.total_mult_adds - net.macs  # torchinfo counts norms, and biases in one way or another
    assert 0 <= extra <= norms * 2 + sum(row.cost.connections for row in net.rows) - net.macs + sum(biases.values())


@pytest.mark.parametrize("name", PRINTED)
def test_counts_are_those_that_the_papers_print_up_to_their_rounding(name):
    net, printed = striate.network(name), PRINTED[name]

    if printed.params is not None:
        assert net.params == pytest.approx(printed.params, rel=0.05)
    if printed.macs is not None:
        assert net.macs == pytest.approx(printed.macs, rel=0.03)


def test_peak_memory_of_a_chain_of_maps_is_known():
    """In inference a chain holds two maps at once, what comes in and what goes out; the batch itself is not counted."""
    images = torch.randn(3, 4, 6, 5)
    chain = nn.Sequential(nn.Tanh(), nn.Tanh(), nn.Tanh(), nn.Tanh())

    assert peak_memory(chain, images, training=False) == 2 * images.nbytes


def test_training_keeps_what_the_backward_pass_needs():
    """Three tanh keep their outputs; the first, which needs no gradient, keeps nothing; then gradients come and go."""
    images = torch.randn(3, 4, 6, 5)
    scale = nn.Conv2d(4, 4, 1, bias=False)
    chain = nn.Sequential(scale, nn.Tanh(), nn.Tanh(), nn.Tanh())

    peak = peak_memory(chain, images, training=True)

    assert 4 * images.nbytes <= peak <= 7 * images.nbytes


def test_measuring_leaves_modes_buffers_gradients_and_random_numbers():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(2))
    module(torch.zeros(2, 3, 7, 6))
    module.train()
    module[1].eval()
    before, state = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    images = next(batches(module, (3, 7, 6), (5,)))

    time_layers(module, images, budget=0.001)
    time_inference(module, images, budget=0.001)
    time_training(module, images, budget=0.001)
    peak_memory(module, images, training=True)

    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(param.grad is None for param in module.parameters())
    assert [part.training for part in module] == [True, False, True, True, True, True]
    assert module[2].inplace


def test_backward_is_told_apart_from_forward_within_each_step():
    """A machine that becomes faster while it is measured makes no backward pass of no time."""

    class SlowAtFirst(nn.Linear):
        calls = 0

        def forward(self, x):
            self.calls += 1
            time.sleep(0.05 if self.calls < 8 else 0)
            return super().forward(x)

    forward_ms, backward_ms = time_training(SlowAtFirst(4, 3), torch.zeros(2, 4), budget=0.001)

    assert forward_ms >= 50
    assert 0 < backward_ms < 50


def test_each_layer_is_timed_and_the_slow_one_shows():
    class Slow(nn.Module):
        def forward(self, x):
            time.sleep(0.05)
            return x * 2

    relu = nn.ReLU()
    module = nn.Sequential(nn.Conv2d(2, 3, 3), relu, Slow(), relu)

    times = time_layers(module, torch.randn(2, 2, 8, 7), budget=0.01)

    assert {path: len(found) for path, found in times.items()} == {"0": 1, "1": 2, "2": 1}
    assert times["2"][0].forward_ms >= 50
    assert times["0"][0].forward_ms < 50
    assert all(time.backward_ms > 0 for found in times.values() for time in found)


def test_the_roofline_bends_where_memory_is_no_longer_the_limit():
    machine = Machine(flops_per_second=100.0, bytes_per_second=5.0)

    assert [machine.attainable(x) for x in (2, 20, 40)] == [10, 100, 100]


def test_a_peak_is_at_least_what_layers_reached_that_need_every_multiply_add():
    machine = Machine(flops_per_second=100.0, bytes_per_second=5.0)

    assert raised(machine, [40.0, 156.0]) == Machine(156.0, 5.0)
    assert raised(machine, [40.0]) == raised(machine, []) == machine


@pytest.mark.parametrize(
    ("layer", "on_cpu", "on_gpu"),
    [
        (nn.Conv2d(4, 4, 3), True, True),
        (nn.Conv2d(4, 4, 5), False, True),
        (nn.Conv2d(4, 4, 1), False, False),
        (nn.Conv2d(4, 4, 3, stride=2), False, False),
        (nn.Conv2d(4, 4, 3, groups=4), False, False),
        (nn.Linear(4, 4), False, False),
    ],
)
def test_only_overlapping_windows_may_save_multiplications(layer, on_cpu, on_gpu):
    assert may_save(layer, torch.device("cpu")) == on_cpu
    assert may_save(layer, torch.device("cuda")) == on_gpu


def test_a_machine_multiplies_faster_than_it_copies():
    machine = measure_machine(torch.device("cpu"))

    assert machine.flops_per_second > machine.bytes_per_second > 1e8
