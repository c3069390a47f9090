"""The losses against their formulas in plain Python and against torch's own functions; their gradients, their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import DataError, ShapeError, UsageError
from striate.engine.losses import (
    balanced_weights,
    binary_cross_entropy,
    cross_entropy,
    focal,
    hinge,
    hits_of,
    huber,
    l1,
    loss_of,
    map_loss,
    mse,
    nll,
    plain_loss_of,
)
from striate.engine.settings import TrainSettings
from striate.networks.layers import EuclideanRBF

N, K, H, W = 7, 4, 5, 3
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)


def scores(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*(shape or (N, K)), generator=generator, dtype=torch.float64) * 2


def classes(*shape: int) -> Tensor:
    return torch.randint(K, shape or (N,), generator=torch.Generator().manual_seed(9))


def shares() -> Tensor:
    return scores(seed=5).softmax(1)


def mask() -> Tensor:
    """(N, H, W) with a fifth of the pixels without a class, and one picture with none at all."""
    places = classes(N, H, W)
    places[torch.rand(N, H, W, generator=torch.Generator().manual_seed(3)) < 0.2] = 255
    places[2] = 255
    return places


def as_lists(logits: Tensor) -> list[list[float]]:
    return logits.tolist()


def log_probs_by_hand(row: list[float]) -> list[float]:
    most = max(row)
    total = most + math.log(sum(math.exp(z - most) for z in row))
    return [z - total for z in row]


def near(value: Tensor, expected: float) -> None:
    assert value.shape == ()
    assert value.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


# ---- cross-entropy


@pytest.mark.row("000-19")
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_is_its_formula(smoothing: float, weighted: bool, soft: bool):
    logits, labels = scores(), classes()
    rows = shares().tolist() if soft else [[float(k == y) for k in range(K)] for y in labels.tolist()]
    w = WEIGHTS.tolist() if weighted else [1.0] * K
    total = weight = 0.0
    for row, q in zip(as_lists(logits), rows, strict=True):
        logs = log_probs_by_hand(row)
        total -= sum(w[k] * ((1 - smoothing) * q[k] + smoothing / K) * logs[k] for k in range(K))
        weight += sum(w[k] * q[k] for k in range(K))

    loss = cross_entropy(logits, shares() if soft else labels, smoothing=smoothing, weights=WEIGHTS if weighted else None)

    near(loss, total / weight)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_weights_are_torchs_weighted_mean(smoothing: float):
    logits, labels = scores(), classes()
    expected = F.cross_entropy(logits, labels, WEIGHTS, label_smoothing=smoothing)
    near(cross_entropy(logits, labels, smoothing=smoothing, weights=WEIGHTS), expected.item())


@pytest.mark.parametrize("loss", [cross_entropy, focal])
def test_a_one_hot_row_counts_as_its_class_does_also_with_weights(loss):
    logits, labels = scores(), classes()
    hot = F.one_hot(labels, K).double()
    near(loss(logits, hot, smoothing=0.1, weights=WEIGHTS), loss(logits, labels, smoothing=0.1, weights=WEIGHTS).item())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("loss", [cross_entropy, lambda *args, **more: focal(*args, gamma=0.0, **more)])
def test_a_mask_counts_each_pixel_that_has_a_class(loss, weights: Tensor | None, smoothing: float):
    """The same as the list of those pixels, each a picture."""
    logits, places = scores(N, K, H, W), mask()
    known = places != 255
    expected = F.cross_entropy(logits.movedim(1, -1)[known], places[known], weights, label_smoothing=smoothing)
    near(loss(logits, places, smoothing=smoothing, weights=weights), expected.item())


@pytest.mark.parametrize("loss", [cross_entropy, focal, nll])
def test_masks_without_any_class_lose_nothing_and_teach_nothing(loss):
    logits = scores(2, K, H, W).log_softmax(1).requires_grad_()
    value = loss(logits, torch.full((2, H, W), 255))
    value.backward()
    near(value.detach(), 0.0)
    assert not logits.grad.any()


def test_outside_masks_255_is_a_class_as_any_other():
    logits = torch.zeros(2, 300, dtype=torch.float64)
    near(cross_entropy(logits, torch.tensor([255, 3]), weights=torch.ones(300)), math.log(300))


# ---- focal, nll


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_is_its_formula(gamma: float):
    logits, labels = scores(), classes()
    total = weight = 0.0
    for row, y in zip(as_lists(logits), labels.tolist(), strict=True):
        log_p = log_probs_by_hand(row)[y]
        total -= WEIGHTS[y].item() * (1 - math.exp(log_p)) ** gamma * log_p
        weight += WEIGHTS[y].item()
    near(focal(logits, labels, gamma=gamma, weights=WEIGHTS), total / weight)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_focal_with_gamma_0_is_cross_entropy(smoothing: float):
    for targets in (classes(), shares()):
        expected = cross_entropy(scores(), targets, smoothing=smoothing, weights=WEIGHTS)
        near(focal(scores(), targets, gamma=0.0, smoothing=smoothing, weights=WEIGHTS), expected.item())


def test_nll_of_log_softmax_is_cross_entropy():
    for logits, targets in ((scores(), classes()), (scores(), shares()), (scores(N, K, H, W), mask())):
        near(nll(logits.log_softmax(1), targets), cross_entropy(logits, targets).item())


def test_nll_refuses_logits():
    with pytest.raises(UsageError, match=r"log-probabilities, at most 0, but the network gives 3\.5\n.*`loss='cross_entropy'`"):
        nll(torch.tensor([[3.5, -1.0]]), torch.tensor([0]))


# ---- hinge, MAP


@pytest.mark.parametrize("power", [1, 2])
def test_the_hinge_is_its_formula_and_torchs(power: int):
    values, labels = scores(), classes()
    total = 0.0
    for row, y in zip(as_lists(values), labels.tolist(), strict=True):
        total += sum(max(0.0, 1 - row[y] + row[k]) ** power for k in range(K) if k != y) / K
    near(hinge(values, labels, power=power), total / N)
    near(hinge(values, labels, power=power), F.multi_margin_loss(values, labels, p=power).item())


def test_the_hinge_is_0_once_each_class_leads_by_1():
    values = torch.tensor([[2.0, 1.0, 0.5], [-1.0, 0.0, -3.0]])
    near(hinge(values, torch.tensor([0, 1])), 0.0)


def test_the_map_loss_is_lenets_formula():
    distances, labels, j = scores().abs(), classes(), 0.7
    total = 0.0
    for row, y in zip(as_lists(distances), labels.tolist(), strict=True):
        total += row[y] + math.log(math.exp(-j) + sum(math.exp(-d) for d in row))
    near(map_loss(-distances, labels, rubbish=j), total / N)


def test_without_rubbish_the_map_loss_is_cross_entropy_and_rubbish_keeps_far_classes_where_they_are():
    near(map_loss(scores(), classes(), rubbish=1e3), cross_entropy(scores(), classes()).item())
    distances = torch.tensor([[0.0, 30.0, 2.0]], requires_grad=True)
    map_loss(-distances, torch.tensor([0])).backward()
    assert distances.grad[0, 0] > 0 > distances.grad[0, 2]
    assert abs(distances.grad[0, 1]) < 1e-12


@pytest.mark.parametrize(("loss", "name"), [(hinge, "hinge"), (map_loss, "map")])
def test_hinge_and_map_need_one_class_a_picture(loss, name: str):
    with pytest.raises(UsageError, match=f"the {name} loss needs one class per picture, got mixed labels"):
        loss(scores(), shares())


# ---- binary cross-entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy_is_its_formula(smoothing: float):
    logits = scores()
    targets = (scores(seed=8) > 0).double()
    total = 0.0
    for row, wanted in zip(as_lists(logits), targets.tolist(), strict=True):
        for z, t in zip(row, wanted, strict=True):
            p, smoothed = 1 / (1 + math.exp(-z)), (1 - smoothing) * t + smoothing / 2
            total -= smoothed * math.log(p) + (1 - smoothed) * math.log(1 - p)
    near(binary_cross_entropy(logits, targets, smoothing=smoothing), total / (N * K))


def test_classes_mean_one_against_all_and_with_one_output_two_classes():
    logits, labels = scores(), classes()
    near(binary_cross_entropy(logits, labels), F.binary_cross_entropy_with_logits(logits, F.one_hot(labels, K).double()).item())
    two = labels % 2
    near(binary_cross_entropy(logits[:, :1], two), F.binary_cross_entropy_with_logits(logits[:, 0], two.double()).item())


@pytest.mark.row("002-21")
def test_softmax_over_two_classes_is_the_sigmoid_of_the_difference():
    logits, labels = scores(N, 2), classes() % 2
    near(cross_entropy(logits, labels), binary_cross_entropy(logits[:, 1:] - logits[:, :1], labels).item())


@pytest.mark.row("002-21")
def test_a_linear_layer_fitted_with_cross_entropy_is_scikit_learns_logistic_regression():
    """Three overlapping clouds, no penalty: the probabilities agree."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    X = rng.normal(size=(90, 2)) + np.array([[0.0, 1.0], [1.0, -0.5], [-1.0, -0.5]])[labels]
    theirs = LogisticRegression(C=np.inf, solver="newton-cg", tol=1e-12, max_iter=1000).fit(X, labels).predict_proba(X)

    model = nn.Linear(2, 3).double()
    features, targets = torch.from_numpy(X), torch.from_numpy(labels)
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(model(features), targets)
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(model(features).softmax(1).detach(), theirs, atol=1e-6)


# ---- numbers


def test_losses_of_numbers_are_their_formulas():
    outputs, targets = scores(), scores(seed=1)
    errors = (outputs - targets).flatten().tolist()
    near(mse(outputs, targets), sum(e**2 for e in errors) / (N * K))
    near(l1(outputs, targets), sum(map(abs, errors)) / (N * K))
    near(huber(outputs, targets, delta=0.8), sum(e**2 / 2 if abs(e) <= 0.8 else 0.8 * (abs(e) - 0.4) for e in errors) / (N * K))


@pytest.mark.parametrize("loss", [mse, l1, huber])
def test_classes_become_one_hot_rows_and_a_single_number_needs_no_second_axis(loss):
    hot = F.one_hot(classes(), K).double()
    near(loss(scores(), classes()), loss(scores(), hot).item())
    near(loss(scores(N, 1), scores(N)), loss(scores(N, 1)[:, 0:1], scores(N)[:, None]).item())


@pytest.mark.parametrize("loss", [mse, l1, huber, binary_cross_entropy])
@pytest.mark.parametrize("shape", [(N,), (N, 3), (N, 1), (K, N), (1, K)])
def test_targets_are_never_spread_over_outputs_that_they_do_not_fit(loss, shape: tuple[int, ...]):
    with pytest.raises(ShapeError, match=rf"targets of shape \({N if shape[0] == N else shape[0]},.*outputs of shape \({N}, {K}\)"):
        loss(scores(), scores(*shape))


@pytest.mark.row("001-2")
def test_a_saturated_sigmoid_learns_400_times_faster_from_cross_entropy():
    """At z = -6 with target 1: the slope is sigma - 1 = -0.99753, against (sigma - 1) sigma (1 - sigma) = -0.00246 of half the square."""
    z = torch.tensor([[-6.0]], dtype=torch.float64, requires_grad=True)
    one = torch.ones(1, 1, dtype=torch.float64)
    (entropy,) = torch.autograd.grad(binary_cross_entropy(z, one), z)
    (square,) = torch.autograd.grad(0.5 * mse(z.sigmoid(), one), z)
    assert entropy.item() == pytest.approx(-0.99753, abs=5e-6)
    assert square.item() == pytest.approx(-0.00246, abs=5e-6)
    assert entropy.item() / square.item() == pytest.approx(405, abs=1)


@pytest.mark.row("001-2")
def test_in_100_steps_a_saturated_unit_recovers_with_cross_entropy_and_does_not_move_with_the_square():
    answers = {}
    for name, loss in (("square", lambda z: 0.5 * mse(z.sigmoid(), torch.ones(1, 1))), ("entropy", cross_of)):
        z = torch.tensor([[-6.0]], requires_grad=True)
        for _ in range(100):
            (slope,) = torch.autograd.grad(loss(z), z)
            z = (z - 0.2 * slope).detach().requires_grad_()
        answers[name] = z.sigmoid().item()
    assert answers["entropy"] > 0.9
    assert answers["square"] < 0.003


def cross_of(z: Tensor) -> Tensor:
    return binary_cross_entropy(z, torch.ones(1, 1))


@pytest.mark.row("002-18")
def test_cross_entropy_of_a_sigmoid_is_convex_and_its_square_is_not():
    """The least second derivative over z in [-6, 6] is 0.0025 and -0.060."""
    z = torch.linspace(-6, 6, 2001, dtype=torch.float64, requires_grad=True)
    ones = torch.ones(2001, 1, dtype=torch.float64)
    least = {}
    for name, value in (
        ("entropy", binary_cross_entropy(z[:, None], ones) * 2001),
        ("square", 0.5 * mse(z[:, None].sigmoid(), ones) * 2001),
    ):
        (slope,) = torch.autograd.grad(value, z, create_graph=True)
        (second,) = torch.autograd.grad(slope.sum(), z)
        least[name] = second.min().item()
    assert least["entropy"] == pytest.approx(0.0025, abs=5e-5)
    assert least["square"] == pytest.approx(-0.060, abs=5e-4)


# ---- gradients and limits


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (lambda z, t: cross_entropy(z, t, smoothing=0.1, weights=WEIGHTS), classes()),
        (lambda z, t: focal(z, t, gamma=1.5, weights=WEIGHTS), classes()),
        (lambda z, t: focal(z, t, gamma=0.5, smoothing=0.1), shares()),
        (map_loss, classes()),
        (lambda z, t: hinge(z, t, power=2), classes()),
        (binary_cross_entropy, shares()),
        (lambda z, t: huber(z, t, delta=0.7), scores(seed=1)),
    ],
)
def test_gradients_are_the_slopes(loss, targets: Tensor):
    assert torch.autograd.gradcheck(lambda z: loss(z, targets), (scores().requires_grad_(),))


@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.5, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_focal_has_a_finite_gradient_where_the_answer_is_certain(gamma: float, dtype: torch.dtype):
    for targets in (torch.tensor([0, 1]), torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=dtype)):
        logits = torch.tensor([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]], dtype=dtype, requires_grad=True)
        value = focal(logits, targets, gamma=gamma)
        value.backward()
        assert value.item() == pytest.approx(1e4)  # the first is right, the second costs 2e4
        assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "hinge", "squared_hinge", "map", "binary_cross_entropy", "mse", "l1", "huber"])
def test_each_loss_is_finite_at_logits_of_ten_thousand_with_its_gradient(name: str):
    loss = loss_of(TrainSettings(loss=name))
    logits = (torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 1.0]]) * 1e4).requires_grad_()
    value = loss(logits, torch.tensor([0, 0]))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(logits.grad).all()


def test_one_class_has_nothing_to_lose():
    near(cross_entropy(scores(N, 1), torch.zeros(N, dtype=torch.int64)), 0.0)
    near(hinge(scores(N, 1), torch.zeros(N, dtype=torch.int64)), 0.0)


# ---- by the settings


def test_balanced_weights_make_each_class_count_alike():
    """n / (K n_k): 12 pictures in classes of 6, 4 and 2."""
    counts = torch.tensor([6, 4, 2])
    np.testing.assert_allclose(balanced_weights(counts), [12 / 18, 12 / 12, 12 / 6])
    labels = torch.tensor([0] * 6 + [1] * 4 + [2] * 2)
    logits = scores(12, 3)
    loss = loss_of(TrainSettings(class_weights="balanced"), class_counts=counts)
    each = F.cross_entropy(logits, labels, reduction="none")
    near(loss(logits, labels), sum(each[labels == k].mean().item() for k in range(3)) / 3)


def test_settings_say_what_belongs_to_a_loss():
    logits, labels = scores(), classes()
    near(loss_of(TrainSettings(loss="focal", focal_gamma=3.0))(logits, labels), focal(logits, labels, gamma=3.0).item())
    near(loss_of(TrainSettings(loss="huber", huber_delta=0.3))(logits, labels), huber(logits, labels, delta=0.3).item())
    near(loss_of(TrainSettings(loss="hinge"))(logits, labels), F.multi_margin_loss(logits, labels).item())
    near(loss_of(TrainSettings(loss="squared_hinge"))(logits, labels), hinge(logits, labels, power=2).item())
    settings = TrainSettings(smoothing=0.1, class_weights=(0.5, 2.0, 1.0, 3.0))
    near(loss_of(settings)(logits, labels), F.cross_entropy(logits, labels, WEIGHTS, label_smoothing=0.1).item())
    near(plain_loss_of(settings)(logits, labels), F.cross_entropy(logits, labels).item())


def test_what_a_loss_has_not_is_refused():
    with pytest.raises(UsageError, match=r"the hinge loss has no smoothing, got 0.1\nLeave it out, or use one of cross_entropy, focal"):
        loss_of(TrainSettings(loss="hinge", smoothing=0.1))
    with pytest.raises(UsageError, match=r"the mse loss has no class_weights, got balanced"):
        loss_of(TrainSettings(loss="mse", class_weights="balanced"))
    with pytest.raises(UsageError, match=r"'balanced' needs classes to count.*\nGive the weights as numbers"):
        loss_of(TrainSettings(class_weights="balanced"))
    with pytest.raises(DataError, match=r"'balanced': class 1 has no training pictures"):
        loss_of(TrainSettings(class_weights="balanced"), class_counts=torch.tensor([3, 0, 2]))
    with pytest.raises(UsageError, match=r"an entry for each of the 4 classes, got 2"):
        loss_of(TrainSettings(class_weights=(1.0, 2.0)))(scores(), classes())
    with pytest.raises(UsageError, match=r"class_weights: at least one must be above 0"):
        loss_of(TrainSettings(class_weights=(0.0, 0.0)))


def test_hits_are_what_the_task_calls_right():
    outputs = torch.tensor([[2.0, -1.0], [-1.0, -3.0], [1.0, 4.0]])
    assert hits_of(TrainSettings())(outputs, torch.tensor([0, 1, 1])) == 2
    assert hits_of(TrainSettings(loss="mse"))(outputs, torch.tensor([0, 1, 1])) == 2
    assert hits_of(TrainSettings(loss="mse"))(outputs, outputs) == 0
    several = hits_of(TrainSettings(loss="binary_cross_entropy"))
    assert several(outputs, torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])) == 2
    assert several(outputs, torch.tensor([0, 1, 1])) == 2
    assert several(outputs[:, :1], torch.tensor([1, 1, 1])) == 2


def test_of_masks_the_share_of_right_pixels_counts():
    logits = torch.zeros(2, 3, 1, 4)
    logits[:, 1] = 1  # class 1 everywhere
    places = torch.tensor([[[1, 1, 0, 255]], [[255, 255, 255, 255]]])
    assert hits_of(TrainSettings())(logits, places).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "hinge", "squared_hinge", "map", "binary_cross_entropy", "mse", "l1", "huber"])
def test_each_loss_teaches_three_classes(name: str):
    """Full-batch descent on three clouds of points that lie apart."""
    torch.manual_seed(0)
    labels = torch.arange(60) % 3
    images = torch.randn(60, 2) * 0.3 + torch.tensor([[0.0, 2.0], [2.0, -1.0], [-2.0, -1.0]])[labels]
    model, settings = nn.Linear(2, 3), TrainSettings(loss=name)
    loss = loss_of(settings)
    for _ in range(300):
        value = loss(model(images), labels)
        for weight, slope in zip(model.parameters(), torch.autograd.grad(value, list(model.parameters())), strict=True):
            weight.data -= 0.2 * slope
    assert hits_of(settings)(model(images), labels) >= 59


def test_distances_to_lenets_codes_are_learned_from_the_map_loss():
    """The RBF output with its fixed codes behind a linear layer, on the same three clouds."""
    torch.manual_seed(0)
    labels = torch.arange(60) % 3
    images = torch.randn(60, 2) * 0.3 + torch.tensor([[0.0, 2.0], [2.0, -1.0], [-2.0, -1.0]])[labels]
    model = nn.Sequential(nn.Linear(2, 84), nn.Tanh(), EuclideanRBF(3).build((84,)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    first = map_loss(model(images), labels).item()
    for _ in range(100):
        optimizer.zero_grad()
        map_loss(model(images), labels).backward()
        optimizer.step()
    assert map_loss(model(images), labels).item() < 0.2 * first
    assert hits_of(TrainSettings(loss="map"))(model(images), labels) >= 59
