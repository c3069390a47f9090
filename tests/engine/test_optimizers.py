"""Each optimizer equals torch's, step for step, and does what it is for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import timm.optim
import torch
from torch import Tensor, nn

from striate.core.errors import UsageError
from striate.engine.optimizers import (
    LBFGS,
    SGD,
    Adagrad,
    Adam,
    Lion,
    Lookahead,
    Muon,
    NAdam,
    Optimizer,
    ParamGroup,
    RAdam,
    RMSprop,
    optimizer_of,
)
from striate.engine.settings import TrainSettings


def quadratic(p: Tensor) -> Tensor:
    """A bowl a hundred times steeper along y."""
    return (p[0] ** 2 + 100 * p[1] ** 2) / 2


def beale(p: Tensor) -> Tensor:
    """Beale, 1958: its minimum is at (3, 0.5)."""
    x, y = p[0], p[1]
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def saddle(p: Tensor) -> Tensor:
    """x^2 - y^2."""
    return p[0] ** 2 - p[1] ** 2


def rosenbrock(p: Tensor) -> Tensor:
    """Rosenbrock, 1960, a curved valley with its minimum at (1, 1), made 200 times less steep."""
    return ((1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2) / 200


SURFACES: dict[Callable[[Tensor], Tensor], tuple[float, float]] = {
    quadratic: (2.0, 1.0),
    beale: (1.0, 1.2),
    rosenbrock: (-1.2, 1.0),
    saddle: (1.0, 1e-3),
}
PAIRS: dict[str, tuple[Callable[[list[ParamGroup]], Optimizer], Callable[[list[dict[str, Any]]], torch.optim.Optimizer]]] = {
    "sgd": (SGD, lambda groups: torch.optim.SGD(groups, lr=1.0)),
    "momentum": (lambda groups: SGD(groups, momentum=0.9), lambda groups: torch.optim.SGD(groups, lr=1.0, momentum=0.9)),
    "nesterov": (
        lambda groups: SGD(groups, momentum=0.9, nesterov=True),
        lambda groups: torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True),
    ),
    "adagrad": (Adagrad, lambda groups: torch.optim.Adagrad(groups, lr=1.0)),
    "rmsprop": (RMSprop, lambda groups: torch.optim.RMSprop(groups, lr=1.0)),
    "rmsprop with momentum": (
        lambda groups: RMSprop(groups, alpha=0.9, momentum=0.8),
        lambda groups: torch.optim.RMSprop(groups, lr=1.0, alpha=0.9, momentum=0.8),
    ),
    "adam": (Adam, lambda groups: torch.optim.Adam(groups, lr=1.0)),
    "nadam": (NAdam, lambda groups: torch.optim.NAdam(groups, lr=1.0)),
    "radam": (
        lambda groups: RAdam(groups, betas=(0.8, 0.95), eps=1e-6),
        lambda groups: torch.optim.RAdam(groups, lr=1.0, betas=(0.8, 0.95), eps=1e-6),
    ),
    "adamw": (lambda groups: Adam(groups, decoupled=True), lambda groups: torch.optim.AdamW(groups, lr=1.0)),
}


@pytest.fixture(autouse=True)
def torch_counts_in_float64() -> Iterator[None]:
    """torch keeps NAdam's product of momenta in its default dtype, whatever the parameters have."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def parameter(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def one_group(param: nn.Parameter, weight_decay: float = 0.0) -> list[ParamGroup]:
    return [ParamGroup("all", [param], weight_decay)]


def descend(surface: Callable[[Tensor], Tensor], optimizer: Optimizer, param: nn.Parameter, rates: list[float]) -> list[Tensor]:
    """The places after each step."""
    places = []
    for rate in rates:
        optimizer.zero_grad()
        surface(param).backward()
        optimizer.step(rate)
        places.append(param.detach().clone())
    return places


def descend_with_torch(
    surface: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, param: nn.Parameter, rates: list[float]
) -> list[Tensor]:
    places = []
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        surface(param).backward()
        optimizer.step()
        places.append(param.detach().clone())
    return places


@pytest.mark.row("001-5")
@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("kind", PAIRS)
def test_each_equals_torch_step_for_step(kind, surface, weight_decay):
    """To 1e-10 in float64, over 100 steps of changing rates."""
    make_ours, make_theirs = PAIRS[kind]
    ours, theirs = parameter(*SURFACES[surface]), parameter(*SURFACES[surface])
    rates = [0.004 * (1 + step % 3) for step in range(100)]

    places = descend(surface, make_ours(one_group(ours, weight_decay)), ours, rates)

    peer = make_theirs([{"params": [theirs], "weight_decay": weight_decay}])
    expected = descend_with_torch(surface, peer, theirs, rates)
    torch.testing.assert_close(torch.stack(places), torch.stack(expected), rtol=0, atol=1e-10)
    assert (places[-1] - torch.tensor(SURFACES[surface])).abs().max() > 0.01, "it should have moved"


@pytest.mark.parametrize("kind", PAIRS)
def test_a_model_with_two_groups_and_parts_that_pause_equals_torch(kind):
    """One part never has a gradient, one only in every third step; a kernel lies channels-last, its gradient once does not."""
    make_ours, make_theirs = PAIRS[kind]
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        model = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Linear(5, 2), nn.Linear(3, 3)]).double()
        models.append(model.to(memory_format=torch.channels_last))
    ours, theirs = models
    groups = [
        ParamGroup("decayed", [ours[0].weight, ours[1].weight, ours[2].weight], 0.1),
        ParamGroup("kept", [ours[0].bias, ours[1].bias], 0.0),
    ]
    optimizer = make_ours(groups)
    peer = make_theirs(
        [
            {"params": [theirs[0].weight, theirs[1].weight, theirs[2].weight], "weight_decay": 0.1},
            {"params": [theirs[0].bias, theirs[1].bias], "weight_decay": 0.0},
        ]
    )
    generator = torch.Generator().manual_seed(1)

    for step in range(12):
        images, rows = torch.randn(2, 3, 5, 6, generator=generator).double(), torch.randn(7, 5, generator=generator).double()
        for model in models:
            loss = model[0](images).square().mean()
            if step % 3 == 2:
                loss = loss + model[1](rows).square().mean()
            model.zero_grad()
            loss.backward()
            if step == 5:
                model[0].weight.grad = model[0].weight.grad.contiguous()
        optimizer.step(0.01)
        for group in peer.param_groups:
            group["lr"] = 0.01
        peer.step()

    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-10, msg=name)
    assert torch.equal(ours[2].weight, models[1][2].weight)


@pytest.mark.row("001-6")
def test_adams_first_step_is_the_rate_against_the_sign_of_the_gradient():
    """With both moments corrected for their start at 0, m_hat / sqrt(s_hat) = g / |g|, whatever the size of g."""
    param = parameter(1.0, -2.0, 3.0)
    optimizer = Adam(one_group(param))
    param.grad = torch.tensor([1e-3, -50.0, 7.0], dtype=torch.float64)

    optimizer.step(0.1)

    torch.testing.assert_close(param.detach(), torch.tensor([1 - 0.1, -2 + 0.1, 3 - 0.1], dtype=torch.float64), rtol=0, atol=1e-5)


@pytest.mark.row("000-6")
def test_momentum_crosses_a_small_bump_that_stops_plain_descent():
    """A parabola with a Gaussian bump on its flank: the local minimum before the bump holds plain descent."""

    def bumpy(p: Tensor) -> Tensor:
        return p[0] ** 2 / 2 + 0.8 * torch.exp(-((p[0] - 1) ** 2) / 0.02)

    plain, heavy = parameter(3.0), parameter(3.0)

    stuck = descend(bumpy, SGD(one_group(plain)), plain, [0.002] * 4000)[-1]
    through = descend(bumpy, SGD(one_group(heavy), momentum=0.95), heavy, [0.002] * 4000)[-1]

    assert 1.1 < float(stuck[0]) < 1.5
    assert abs(float(through[0])) < 0.01


@pytest.mark.row("001-5")
def test_plain_descent_stays_on_the_ridge_of_a_saddle_and_noise_with_momentum_leaves():
    on_ridge, shaken = parameter(1.0, 0.0), parameter(1.0, 0.0)
    generator = torch.Generator().manual_seed(0)

    def shaken_saddle(p: Tensor) -> Tensor:
        return saddle(p) + 1e-6 * (torch.randn(2, generator=generator, dtype=torch.float64) * p).sum()

    stays = descend(saddle, SGD(one_group(on_ridge)), on_ridge, [0.05] * 200)[-1]
    leaves = descend(shaken_saddle, SGD(one_group(shaken), momentum=0.9), shaken, [0.05] * 200)[-1]

    assert float(stays[1]) == 0
    assert abs(float(stays[0])) < 1e-6
    assert abs(float(leaves[1])) > 1


@pytest.mark.row("001-8")
def test_l2_is_decay_for_plain_descent_but_not_for_adam():
    """A term decay/2 |w|^2 in the loss; Adam divides its gradient by the size of the whole gradient, AdamW does not."""

    def steps(make: Callable[[list[ParamGroup]], Optimizer], *, decay: float, in_loss: float) -> Tensor:
        param = parameter(2.0, 1.0)
        return descend(lambda p: beale(p) / 100 + in_loss / 2 * p.square().sum(), make(one_group(param, decay)), param, [0.01] * 20)[-1]

    adamw = PAIRS["adamw"][0]
    torch.testing.assert_close(steps(SGD, decay=0.1, in_loss=0), steps(SGD, decay=0, in_loss=0.1), rtol=0, atol=1e-12)
    torch.testing.assert_close(steps(Adam, decay=0.1, in_loss=0), steps(Adam, decay=0, in_loss=0.1), rtol=0, atol=1e-12)
    assert (steps(adamw, decay=0.1, in_loss=0) - steps(Adam, decay=0.1, in_loss=0)).abs().max() > 1e-3


@pytest.mark.row("001-8")
def test_decoupled_decay_shrinks_each_weight_by_the_same_share():
    """With a gradient of 0 a step is w (1 - rate decay)."""
    param = parameter(2.0, -0.5)
    param.grad = torch.zeros_like(param)

    Adam(one_group(param, 0.1), decoupled=True).step(0.01)

    torch.testing.assert_close(param.detach(), torch.tensor([2.0, -0.5], dtype=torch.float64) * (1 - 0.001), rtol=0, atol=1e-15)


@pytest.mark.row("000-21")
@pytest.mark.parametrize("decay_all", [False, True])
def test_biases_and_norms_are_not_decayed_unless_asked_and_groups_have_names(decay_all):
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3))
    model[2].bias.requires_grad_(False)

    optimizer = optimizer_of(TrainSettings(optimizer="adam", weight_decay=0.25, decay_all=decay_all), model)

    found = {group.name: (group.weight_decay, [id(param) for param in group.params]) for group in optimizer.groups}
    weights, others = [model[0].weight, model[2].weight], [model[0].bias, model[1].weight, model[1].bias]
    if decay_all:
        assert found == {"decayed": (0.25, [id(param) for param in list(model.parameters())[:-1]])}
    else:
        assert found == {"decayed": (0.25, list(map(id, weights))), "kept": (0.0, list(map(id, others)))}


@pytest.mark.parametrize(
    ("settings", "kind", "fields"),
    [
        (TrainSettings(optimizer="sgd", momentum=0.8, nesterov=False), SGD, {"momentum": 0.8, "nesterov": False}),
        (TrainSettings(optimizer="sgd", momentum=0.0, nesterov=True), SGD, {"momentum": 0.0, "nesterov": False}),
        (TrainSettings(optimizer="adam"), Adam, {"decoupled": False, "betas": (0.9, 0.999), "eps": 1e-8}),
        (TrainSettings(optimizer="adamw", betas=(0.8, 0.9), eps=1e-3), Adam, {"decoupled": True, "betas": (0.8, 0.9), "eps": 1e-3}),
        (TrainSettings(optimizer="gd", momentum=0.9), SGD, {"momentum": 0.0}),
        (TrainSettings(optimizer="adagrad"), Adagrad, {"eps": 1e-10}),
        (TrainSettings(optimizer="rmsprop", momentum=0.3), RMSprop, {"alpha": 0.99, "momentum": 0.3}),
        (TrainSettings(optimizer="nadam", betas=(0.8, 0.9)), NAdam, {"betas": (0.8, 0.9)}),
        (TrainSettings(optimizer="radam", eps=1e-4), RAdam, {"eps": 1e-4}),
        (TrainSettings(optimizer="lion"), Lion, {"betas": (0.9, 0.99)}),
        (TrainSettings(optimizer="muon", momentum=0.95), Muon, {"momentum": 0.95, "nesterov": True, "match_adamw": True}),
        (TrainSettings(optimizer="lbfgs"), LBFGS, {"needs_closure": True}),
        (TrainSettings(lookahead=6, lookahead_share=0.7), Lookahead, {"every": 6, "share": 0.7, "needs_closure": False}),
    ],
)
def test_the_settings_choose_the_optimizer(settings, kind, fields):
    optimizer = optimizer_of(settings, nn.Linear(3, 2))

    assert type(optimizer) is kind
    assert {name: getattr(optimizer, name) for name in fields} == fields


def test_parameters_of_two_dtypes_are_updated_apart():
    """CUDA's kernels take one dtype at a time."""
    params = [nn.Parameter(torch.ones(3, dtype=dtype)) for dtype in (torch.float32, torch.float64)]
    optimizer = Adam([ParamGroup("all", params, 0.0)])
    for param in params:
        param.grad = torch.full_like(param, 2.0)

    optimizer.step(0.1)

    assert [[param.dtype for param in group.params] for group in optimizer.groups] == [[torch.float32], [torch.float64]]
    for param in params:
        torch.testing.assert_close(param.detach().double(), torch.full((3,), 0.9, dtype=torch.float64), rtol=0, atol=1e-6)


def random_steps(model: nn.Module, num_steps: int) -> Iterator[None]:
    """Gives `model` a random gradient before each step."""
    generator = torch.Generator().manual_seed(3)
    for _ in range(num_steps):
        for param in model.parameters():
            param.grad = torch.randn(param.shape, generator=generator)
        yield


def twins(*layers: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
    """The same weights twice, in float64."""
    first = nn.Sequential(*layers).double()
    second = copy.deepcopy(first)
    return first, second


def assert_equal_weights(ours: nn.Module, theirs: nn.Module, atol: float = 1e-10) -> None:
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=atol, msg=name)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_lion_equals_timms(weight_decay):
    """timm.optim.Lion, 100 steps of random gradients."""
    ours, theirs = twins(nn.Conv2d(2, 3, 3), nn.Linear(4, 5))
    optimizer = Lion([ParamGroup("all", list(ours.parameters()), weight_decay)], betas=(0.8, 0.9))
    peer = timm.optim.Lion(theirs.parameters(), lr=0.01, betas=(0.8, 0.9), weight_decay=weight_decay)

    for _ in zip(random_steps(ours, 100), random_steps(theirs, 100), strict=True):
        optimizer.step(0.01)
        peer.step()

    assert_equal_weights(ours, theirs)


@pytest.mark.parametrize(("match_adamw", "adjust"), [(False, "original"), (True, "match_rms_adamw")])
@pytest.mark.parametrize("nesterov", [False, True])
def test_muon_equals_torchs_on_matrices_tall_and_wide_and_adamw_on_vectors(nesterov, match_adamw, adjust):
    ours, theirs = twins(nn.Linear(3, 7), nn.Linear(9, 4))
    optimizer = Muon([ParamGroup("all", list(ours.parameters()), 0.1)], momentum=0.9, nesterov=nesterov, match_adamw=match_adamw)
    matrices, vectors = ([param for param in theirs.parameters() if param.ndim == ndim] for ndim in (2, 1))
    peers = [
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.1, momentum=0.9, nesterov=nesterov, adjust_lr_fn=adjust),
        torch.optim.AdamW(vectors, lr=0.02, weight_decay=0.1),
    ]

    for _ in zip(random_steps(ours, 100), random_steps(theirs, 100), strict=True):
        optimizer.step(0.02)
        for peer in peers:
            peer.step()

    assert_equal_weights(ours, theirs)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_muon_takes_a_convolution_as_the_matrix_of_its_flat_kernels(layout):
    conv = nn.Conv2d(3, 4, (3, 2), bias=False).double().to(memory_format=layout)
    flat = nn.Parameter(conv.weight.detach().reshape(4, 18).clone())
    peer = torch.optim.Muon([flat], lr=0.02, weight_decay=0.0)
    optimizer = Muon([ParamGroup("all", list(conv.parameters()), 0.0)])

    for _ in random_steps(conv, 10):
        flat.grad = conv.weight.grad.reshape(4, 18)
        optimizer.step(0.02)
        peer.step()

    torch.testing.assert_close(conv.weight.detach().reshape(4, 18), flat.detach(), rtol=0, atol=1e-10)


def test_muons_step_takes_every_singular_value_near_one():
    """Between 0.68 and 1.14, the band of Jordan's quintic."""
    weight = nn.Parameter(torch.zeros(5, 8))
    weight.grad = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 0.3, 10, 3, 0.5])[:, None]

    Muon([ParamGroup("all", [weight], 0.0)], nesterov=False).step(1.0)

    sizes = torch.linalg.svdvals(weight.detach())
    assert 0.66 < float(sizes.min()) < float(sizes.max()) < 1.16


@pytest.mark.parametrize("line_search", [False, True])
@pytest.mark.parametrize("surface", [quadratic, beale, rosenbrock])
def test_lbfgs_equals_torchs(surface, line_search):
    ours, theirs = parameter(*SURFACES[surface]), parameter(*SURFACES[surface])
    optimizer = LBFGS(one_group(ours), line_search=line_search)
    peer = torch.optim.LBFGS([theirs], lr=0.01, line_search_fn="strong_wolfe" if line_search else None)

    def gradient(param: nn.Parameter) -> Tensor:
        param.grad = None
        loss = surface(param)
        loss.backward()
        return loss.detach()

    for _ in range(5):
        optimizer.step(0.01, lambda: gradient(ours))
        peer.step(lambda: gradient(theirs))

    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=0, atol=1e-10)
    assert (ours.detach() - torch.tensor(SURFACES[surface])).norm() > 0.01


def test_lbfgs_finds_the_ridge_solution_with_its_decay_and_trains_kernels_that_lie_channels_last():
    """min |A w - b|^2 + decay / 2 |w|^2 has w = (2 A^T A + decay)^-1 2 A^T b."""
    generator = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(2, 1, (2, 3), bias=False).to(memory_format=torch.channels_last)
    patches, wanted = torch.randn(40, 12, generator=generator), torch.randn(40, generator=generator)
    optimizer = LBFGS([ParamGroup("all", [conv.weight], 0.7)])

    def gradient() -> Tensor:
        conv.zero_grad()
        loss = (conv(patches.reshape(40, 2, 2, 3)).flatten() - wanted).square().sum()
        loss.backward()
        conv.weight.grad = conv.weight.grad.contiguous(memory_format=torch.channels_last)
        return loss

    for _ in range(4):
        optimizer.step(1.0, gradient)

    expected = torch.linalg.solve(2 * patches.T @ patches + 0.7 * torch.eye(12), 2 * patches.T @ wanted)
    torch.testing.assert_close(conv.weight.detach().flatten(), expected, rtol=0, atol=1e-5)


def test_lbfgs_says_what_it_cannot_do():
    with pytest.raises(UsageError, match=r"lbfgs has one learning rate for all parameters, got some for parts\nLeave out layer_rates"):
        LBFGS([ParamGroup("all", [parameter(1.0)], 0.0, rate=0.5)])
    with pytest.raises(
        UsageError, match=r"lbfgs computes the gradient several times per step\nPass the function that does so as `closure`"
    ):
        LBFGS(one_group(parameter(1.0))).step(0.1)


def test_lookahead_equals_timms():
    """timm.optim.Lookahead around torch's SGD, 23 steps with the weights meeting every 4."""
    ours, theirs = twins(nn.Conv2d(2, 3, 3), nn.Linear(4, 5))
    optimizer = Lookahead(SGD([ParamGroup("all", list(ours.parameters()), 0.01)], momentum=0.9), every=4, share=0.3)
    peer = timm.optim.Lookahead(torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01), alpha=0.3, k=4)

    for step, _ in enumerate(zip(random_steps(ours, 23), random_steps(theirs, 23), strict=True)):
        if step == 0:
            peer.sync_lookahead()  # else timm's slow weights start where the fast ones first meet them
        optimizer.step(0.05)
        peer.step()

    assert_equal_weights(ours, theirs)


def test_lookahead_meets_at_a_share_of_the_way():
    """Two steps of plain descent with gradient 1 and rate 0.1 go from 1 to 0.8; a share of 0.25 of that is 0.95."""
    param = parameter(1.0)
    optimizer = Lookahead(SGD(one_group(param)), every=2, share=0.25)

    places = descend(lambda p: p.sum(), optimizer, param, [0.1] * 4)

    torch.testing.assert_close(torch.cat(places), torch.tensor([0.9, 0.95, 0.85, 0.9]), rtol=0, atol=1e-12)
