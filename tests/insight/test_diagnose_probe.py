"""The probe's numbers by hand, and that a training is the same bits with and without it."""

import math
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.insight.diagnose.probe import EARLY, Probe, share_alike
from striate.insight.diagnose.records import LayerSample, Sample
from striate.insight.diagnose.rules import Record, judge


def layers_of(sample: Sample) -> dict[str, LayerSample]:
    return {layer.path: layer for layer in sample.layers}


def one_look(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, rate: float = 0.1) -> dict[str, LayerSample]:
    """What is seen of one update by plain descent."""
    probe = Probe()
    with probe.watch(model):
        F.cross_entropy(model(images), labels).backward()
        with torch.no_grad():
            for weight in model.parameters():
                weight.sub_(rate * weight.grad)
        sample = probe.after_step(1, 1.5, rate)
    assert sample is not None and sample.step == 1 and sample.loss == 1.5 and sample.learning_rate == rate
    return layers_of(sample)


def test_the_signal_of_the_last_layer_is_p_minus_q():
    """dL_n / d logits_n = softmax(logits_n) - onehot(label_n), the root mean square of whose length over n is the signal."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    images, labels = torch.randn(5, 1, 2, 3), torch.tensor([0, 1, 2, 1, 0])
    probs, shares = model(images).softmax(1), F.one_hot(labels, 3)
    expected = (probs - shares).square().sum(1).mean().sqrt().item()

    seen = one_look(model, images, labels)

    assert seen["3"].signal == pytest.approx(expected, rel=1e-5)
    assert seen["1"].signal is not None and seen["2"].signal is None


def test_the_update_ratio_is_the_change_over_the_size():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 2 * 4, 5))
    before = model[0].weight.detach().clone()
    images, labels = torch.randn(4, 2, 4, 6), torch.tensor([0, 1, 4, 2])

    seen = one_look(model, images, labels, rate=0.3)

    change = 0.3 * model[0].weight.grad
    assert seen["0"].update_ratio == pytest.approx((change.norm() / before.norm()).item(), rel=1e-5)


def test_dead_saturated_constant_and_equal_units_are_counted_as_by_hand():
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 5), nn.Sigmoid(), nn.Linear(5, 3))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0], [0, 1], [0, 0], [-1, -1]]))
        model[0].bias.copy_(torch.tensor([0.0, 0, -1, 0]))
        model[2].weight.zero_()
        model[2].weight[0, 0] = 1.0
        model[2].bias.copy_(torch.tensor([0.0, 9, 9, -9, 1]))
    images = torch.tensor([[1.0, 2], [3, 1], [2, 2]])  # all positive: unit 3 of the first layer is never positive, unit 2 neither

    seen = one_look(model, images, torch.tensor([0, 1, 2]), rate=0.0)

    assert seen["1"].dead == pytest.approx(2 / 4)
    assert seen["0"].constant == pytest.approx(1 / 4)  # unit 2
    assert seen["2"].constant == pytest.approx(4 / 5)
    assert seen["3"].saturated == pytest.approx(3 / 5)  # sigmoid(9) = 0.9999, sigmoid(-9), and 0.73 to 0.95 of the others
    assert seen["2"].alike == pytest.approx(2 / 5)  # units 1 and 2


def test_a_dead_unit_was_silent_in_three_looks():
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model[0].bias.zero_()
    probe, shares = Probe(every=1), []
    with probe.watch(model):
        for step, value in enumerate([1.0, -1.0, 1.0, 1.0, 1.0], start=1):
            F.cross_entropy(model(torch.full((3, 1), value)), torch.tensor([0, 1, 0])).backward()
            shares.append(layers_of(probe.after_step(step))["1"].dead)  # type: ignore[arg-type]

    assert shares == [0.5, 0.0, 0.0, 0.0, 0.5]


def test_the_drift_of_a_batch_norm_is_the_divergence_of_two_normal_distributions():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3, eps=0).eval()
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0)
    model = nn.Sequential(norm, nn.Flatten(), nn.Linear(3 * 5 * 7, 2))
    images = torch.randn(12, 3, 5, 7)

    seen = one_look(model, images, torch.zeros(12, dtype=torch.long))

    batch = [torch.distributions.Normal(images[:, c].mean(), images[:, c].std()) for c in range(3)]
    running = torch.distributions.Normal(torch.tensor(1.0), torch.tensor(2.0))
    expected = sorted(torch.distributions.kl_divergence(one, running).item() for one in batch)[1] - 2 / 12
    assert seen["0"].drift == pytest.approx(expected, rel=1e-4)


def test_a_young_batch_norm_tells_nothing():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 2 * 4, 2))

    seen = one_look(model, 5 + torch.randn(6, 3, 2, 4), torch.zeros(6, dtype=torch.long))

    assert seen["0"].drift is None


@pytest.mark.parametrize("kept", [False, True])
def test_a_slow_batch_norm_counts_at_once_in_a_model_that_was_kept(kept):
    """Of 12 + 16 N(0, 1) against N(0, 1): (256 - 1 - ln 256 + 144) / 2 = 197 nats, where a training would say nothing yet."""
    model = nn.Sequential(nn.BatchNorm2d(3, momentum=1e-6), nn.Flatten(), nn.Linear(3 * 9 * 14, 2))
    probe = Probe(every=1, kept=kept)

    with probe.watch(model):
        model(12 + 16 * torch.randn(40, 3, 9, 14, generator=torch.Generator().manual_seed(0)))
        drift = layers_of(probe.after_step(1))["0"].drift

    assert drift == (pytest.approx(197, rel=0.1) if kept else None)


@pytest.mark.parametrize("amount", [0, 1e-3])
def test_units_are_alike_when_weights_and_biases_are(amount):
    layer = nn.Conv2d(2, 6, 3)
    with torch.no_grad():
        layer.weight[4] = layer.weight[1]
        layer.bias[4] = layer.bias[1] + amount

    assert share_alike(layer).item() == pytest.approx(2 / 6 if amount == 0 else 0)


def trained(make_probe, steps: int = 60):
    """Weights, buffers, modes, hooks and the generator's state after a training with dropout and batch norm."""
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Flatten(), nn.Linear(4 * 4 * 6, 3)
    )
    model[1].eval()  # a frozen batch norm stays frozen
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    probe = make_probe()
    with probe.watch(model) if probe else torch.enable_grad():
        for step in range(1, steps + 1):
            loss = F.cross_entropy(model(torch.randn(5, 1, 4, 6)), torch.randint(3, (5,)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if probe:
                probe.after_step(step, loss, 1e-2)
                probe.news()
    hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()]
    return model.state_dict(), [part.training for part in model.modules()], hooks, torch.get_rng_state(), probe


@pytest.mark.parametrize("every", [1, 7, 50])
def test_a_training_is_the_same_bits_with_and_without_a_probe(every):
    state, modes, _, random_state, _ = trained(lambda: None)

    probed, probed_modes, hooks, probed_random_state, probe = trained(lambda: Probe(every=every))

    assert all(torch.equal(value, probed[name]) for name, value in state.items())
    assert modes == probed_modes
    assert torch.equal(random_state, probed_random_state)
    assert not any(hooks)
    assert [sample.step for sample in probe.samples] == sorted({*EARLY, *range(every, 61, every)})


def test_a_validation_between_two_updates_is_not_looked_at():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    images, labels = torch.randn(6, 1, 2, 2), torch.tensor([0, 1, 0, 1, 0, 1])
    probe = Probe(every=1)
    with probe.watch(model):
        F.cross_entropy(model(images), labels).backward()
        with torch.no_grad():
            model(torch.full((6, 1, 2, 2), math.nan))
        sample = probe.after_step(1)

    assert sample is not None and all(layer.finite for layer in sample.layers)


def test_the_first_part_that_gives_nan_for_finite_inputs_is_named():
    sample = Sample(step=3, layers=(LayerSample(path="stem"), LayerSample(path="stage2.act", finite=False), LayerSample(path="head")))

    found = judge(Record([sample]))

    assert [(finding.kind, finding.where, finding.severity) for finding in found] == [("not_finite", "stage2.act", "error")]
    assert str(found[0]).startswith("not finite at stage2.act: at step 3 its output is the first that is NaN or Inf")


def test_what_another_finding_explains_is_named_among_its_consequences():
    layers = (LayerSample(path="a", alike=1.0), LayerSample(path="b", dead=1.0), LayerSample(path="c", saturated=0.2))

    found = judge(Record([Sample(step=step, layers=layers) for step in (20, 50, 100)]))

    assert [(finding.kind, finding.consequences) for finding in found] == [("symmetric_units", ("dead_relu",))]


def test_two_looks_are_too_few_for_a_state_to_be_said():
    layers = (LayerSample(path="b", dead=1.0),)

    assert judge(Record([Sample(step=step, layers=layers) for step in (10, 20, 50)])) == []


@pytest.mark.parametrize(("rate", "advised"), [(0.5, "0.05"), (1e6, "0.1")])
def test_a_remedy_of_the_learning_rate_names_a_tenth_but_no_more_than_is_usual(rate, advised):
    layers = (LayerSample(path="a", update_ratio=0.9),)

    found = judge(Record([Sample(step=step, layers=layers, learning_rate=rate) for step in (1, 2)]))

    assert [finding.remedy for finding in found] == [f"`learning_rate={advised}`"]
    assert found[0].message == "update 2 changes the weights by 90 % of their size, where about 0.1 % is healthy"


@pytest.mark.parametrize("between", ["nothing", "a validation", "an epoch's end"])
def test_the_time_until_the_model_begins_is_waiting_unless_something_else_was_done(between, monkeypatch):
    """By a clock that goes on by an hour at once."""
    clock, hours = time.perf_counter, [0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + 3600 * hours[0])
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    images, labels = torch.randn(6, 1, 2, 2), torch.tensor([0, 1, 0, 1, 0, 1])
    probe = Probe(every=1)
    with probe.watch(model):
        for step in (1, 2):
            if step == 2 and between == "a validation":
                with torch.no_grad():
                    model(images)
            if step == 2 and between == "an epoch's end":
                probe.after_epoch()
            hours[0] += 1
            F.cross_entropy(model(images), labels).backward()
            probe.after_step(step)

    assert probe.samples[0].wait_share is None  # nobody knows when the first update began
    share = probe.samples[1].wait_share
    assert (share is not None and share > 0.5) if between == "nothing" else share is None
