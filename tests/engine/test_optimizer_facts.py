"""What is known of how optimizers behave, in numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.engine.optimizers import SGD, Adam, Optimizer, ParamGroup, optimizer_of
from striate.engine.settings import TrainSettings
from striate.engine.step import StepRule, train_step

BOWL = torch.tensor([1.0, 100.0], dtype=torch.float64)  # the curvatures: condition number 100


def group(param: nn.Parameter) -> list[ParamGroup]:
    return [ParamGroup("all", [param], 0.0)]


def walk(gradient: Callable[[Tensor], Tensor], optimizer: Optimizer, param: nn.Parameter, rate: float, num_steps: int) -> Tensor:
    """(steps, ...): the places after each step."""
    places = []
    for _ in range(num_steps):
        param.grad = gradient(param.detach())
        optimizer.step(rate)
        places.append(param.detach().clone())
    return torch.stack(places)


def first_step(reached: Tensor) -> int:
    """The first step, from 1, for which `reached` is true."""
    return int(reached.nonzero()[0]) + 1


@pytest.mark.row("000-6")
def test_descent_and_momentum_shrink_a_bad_bowl_as_their_theory_says():
    """With k = 100 and the best constants (Polyak, 1964): descent by (k - 1) / (k + 1) a step along either axis; momentum, whose
    recursion has the double root r = (sqrt k - 1) / (sqrt k + 1), as (1 + b t) r^t. To 1e-6 that is 709 steps against 95.
    """
    root, steps = 9 / 11, torch.arange(1, 801, dtype=torch.float64)
    plain, heavy = (nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(2))

    slow = walk(lambda w: BOWL * w, SGD(group(plain)), plain, 2 / 101, 800)
    quick = walk(lambda w: BOWL * w, SGD(group(heavy), momentum=root**2), heavy, (2 / 11) ** 2, 800)

    torch.testing.assert_close(slow.abs(), ((99 / 101) ** steps)[:, None].expand(-1, 2), rtol=1e-9, atol=0)
    closed_form = torch.empty_like(quick)
    for axis, (curvature, r) in enumerate(((1.0, root), (100.0, -root))):
        slope = (1 - (2 / 11) ** 2 * curvature) / r - 1  # from the first step, which has no velocity yet
        closed_form[:, axis] = (1 + slope * steps) * r**steps
    torch.testing.assert_close(quick, closed_form, rtol=1e-6, atol=1e-12)
    taken = [first_step(places.norm(dim=1) < 1e-6) for places in (slow, quick)]
    assert taken == [709, 95], "momentum needs less than a quarter"
    assert taken[0] == math.ceil(math.log(1e-6 / math.sqrt(2)) / math.log(99 / 101))
    assert taken[1] == first_step(closed_form.norm(dim=1) < 1e-6)


@pytest.mark.row("001-5")
@pytest.mark.parametrize(("momentum", "steps"), [(0.0, 145), (0.9, 52)])
def test_from_beside_the_ridge_of_a_saddle_momentum_leaves_in_a_third_of_the_steps(momentum, steps):
    """x^2 - y^2 at rate 0.05: y grows by the largest root of r^2 - (1 + momentum + 0.1) r + momentum = 0 a step."""
    param = nn.Parameter(torch.tensor([1.0, 1e-6], dtype=torch.float64))
    places = walk(lambda w: torch.stack([2 * w[0], -2 * w[1]]), SGD(group(param), momentum=momentum), param, 0.05, 200)

    total = 1 + momentum + 0.1
    root = (total + math.sqrt(total**2 - 4 * momentum)) / 2
    torch.testing.assert_close(places[150:, 1] / places[149:-1, 1], torch.full((50,), root, dtype=torch.float64), rtol=1e-9, atol=0)
    other, at = momentum / root, torch.arange(1, 201, dtype=torch.float64)  # the second root; they multiply to the momentum
    share = (1.1 - other) / (root - other)  # of the first root in y_0 = 1, y_1 = 1.1
    assert first_step(1e-6 * (share * root**at + (1 - share) * other**at) > 1) == steps
    assert first_step(places[:, 1].abs() > 1) == steps


@pytest.mark.row("000-4")
def test_single_samples_have_the_whole_sets_gradient_on_average_and_noise_that_a_batch_divides():
    """The mean of all single gradients is the whole set's; the deviation of a batch's gradient is s / sqrt(B), within 10 %."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 2 * 3, 3)).double()
    images, labels = torch.randn(64, 2, 4, 5).double(), torch.randint(3, (64,))

    def gradient(rows: Tensor) -> Tensor:
        grads = torch.autograd.grad(F.cross_entropy(model(images[rows]), labels[rows]), list(model.parameters()))
        return torch.cat([grad.flatten() for grad in grads])

    whole = gradient(torch.arange(64))
    singles = torch.stack([gradient(torch.tensor([row])) for row in range(64)])
    torch.testing.assert_close(singles.mean(0), whole, rtol=0, atol=1e-12)

    deviation = (singles - whole).square().sum(1).mean().sqrt()
    for size in (4, 16):
        drawn = torch.stack([gradient(torch.randint(64, (size,))) for _ in range(100)])
        measured = (drawn - whole).square().sum(1).mean().sqrt()
        assert float(measured * math.sqrt(size) / deviation) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
def test_a_batch_in_parts_updates_as_the_whole(make_batches, optimizer):
    """Thirteen pictures in 1, 2, 5 and 13 parts, which differ in size: each weighs as many pictures as it has."""
    batch = make_batches(1, 13).batches[0]
    batch = batch._replace(images=batch.images.double())
    found = []
    for parts in (1, 5) if optimizer == "lbfgs" else (1, 2, 5, 13):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 4 * 6, 3)).double()
        result = train_step(
            model,
            batch,
            optimizer_of(TrainSettings(optimizer=optimizer), model),
            StepRule(loss_fn=F.cross_entropy),
            0.01,
            parts=parts,
        )
        found.append((result.loss, result.correct, torch.cat([param.detach().flatten() for param in model.parameters()])))

    for loss, correct, weights in found[1:]:
        torch.testing.assert_close(loss, found[0][0], rtol=0, atol=1e-12)
        assert torch.equal(correct, found[0][1])
        torch.testing.assert_close(weights, found[0][2], rtol=0, atol=1e-8 if optimizer == "lbfgs" else 1e-10)


@pytest.mark.row("002-1")
def test_normalized_inputs_need_fewer_steps_by_the_condition_number():
    """Least squares on two features of deviation 1 and 8: descent at its best rate needs ln(1e6) / ln((k+1) / (k-1))."""
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(400, 2, generator=generator).double() * torch.tensor([1.0, 8.0])
    normalized = (raw - raw.mean(0)) / raw.std(0, correction=0)
    taken = []
    for features in (raw, normalized):
        curvature = features.T @ features / 400
        low, high = torch.linalg.eigvalsh(curvature).tolist()
        param = nn.Parameter(torch.linalg.eigh(curvature).eigenvectors[:, 0].contiguous())  # the slow direction
        places = walk(curvature.__matmul__, SGD(group(param)), param, 2 / (low + high), 600)
        taken.append(first_step(places.norm(dim=1) < 1e-6))
        condition = high / low
        assert taken[-1] == math.ceil(math.log(1e6) / math.log((condition + 1) / (condition - 1)))

    assert taken[0] > 30 * taken[1]


@pytest.mark.row("003-44")
def test_adam_reaches_a_loss_in_fewer_steps_than_plain_descent_each_at_its_best_rate():
    """Logistic regression on five features whose deviations go from 0.01 to 10; rates from 1e-4 to 10."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(200, 5, generator=generator).double() * torch.logspace(-2, 1, 5).double()
    labels = (features / features.std(0)).sum(1) > 0

    def steps_to(kind: type[SGD | Adam], rate: float) -> int:
        param = nn.Parameter(torch.zeros(5, dtype=torch.float64))
        optimizer = kind(group(param))
        for step in range(1, 401):
            probs = torch.sigmoid(features @ param.detach())
            if float(F.binary_cross_entropy(probs, labels.double())) < 0.3:
                return step
            param.grad = features.T @ (probs - labels.double()) / 200
            optimizer.step(rate)
        return 401

    rates = [10**power for power in range(-4, 2)]
    best = {kind: min(steps_to(kind, rate) for rate in rates) for kind in (SGD, Adam)}
    assert best[Adam] * 2 < best[SGD]


@pytest.mark.row("002-22")
def test_adams_correction_makes_the_first_means_those_of_what_was_seen():
    """m_t / (1 - b^t) of a constant gradient is that gradient from the first step on; without the correction it is a tenth of it."""
    param = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = Adam(group(param))

    for step in range(1, 6):
        param.grad = torch.tensor([3.0], dtype=torch.float64)
        optimizer.step(0.1)
        mean = optimizer.means[param].item()
        assert mean == pytest.approx(3 * (1 - 0.9**step), abs=1e-12)
        assert mean / (1 - 0.9**step) == pytest.approx(3, abs=1e-12)
        assert param.item() == pytest.approx(-0.1 * step, abs=1e-6)
