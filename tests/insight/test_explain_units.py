"""Kernels, units, sanity checks and embeddings: against what is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from striate.core.errors import EnvironmentFault, ShapeError, UsageError
from striate.insight import explain


def bar(angle: float, side: int = 9) -> Tensor:
    """A Gabor kernel (1, side, side) whose bars run at `angle` degrees from the horizontal, counted upwards."""
    y, x = torch.meshgrid(torch.arange(side) - side // 2, torch.arange(side) - side // 2, indexing="ij")
    turn = math.radians(angle)
    away = x * math.sin(turn) + y * math.cos(turn)  # distance from the bar through the middle; y points down
    return (torch.cos(away) * torch.exp(-(x**2 + y**2) / 18)).unsqueeze(0)


@pytest.mark.row("003-15")
@pytest.mark.parametrize("angle", [0, 30, 45, 90, 135, 160])
def test_a_bar_detector_is_found_to_prefer_its_own_direction(angle: float):
    found = explain.edge_selectivity(torch.stack([bar(angle), bar(angle)]))
    difference = (found.angle - angle + 90) % 180 - 90
    assert difference.abs().max() < 2
    assert found.strength.min() > 0.4


@pytest.mark.row("003-15")
def test_edge_detectors_prefer_their_edge_and_a_round_spot_prefers_nothing():
    vertical = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    y, x = torch.meshgrid(torch.arange(9.0) - 4, torch.arange(9.0) - 4, indexing="ij")
    spot = torch.exp(-(x**2 + y**2) / 4)

    sobel = explain.edge_selectivity(torch.stack([vertical, vertical.T])[:, None].expand(-1, 3, -1, -1))
    round_one = explain.edge_selectivity(spot[None, None])

    torch.testing.assert_close(sobel.angle, torch.tensor([90.0, 0.0], dtype=torch.float64))
    assert sobel.strength.min() > 0.3 and round_one.strength.max() < 0.02
    with pytest.raises(ShapeError, match="of 2 x 2 pixels or more, got"):
        explain.edge_selectivity(torch.zeros(4, 3, 1, 1))


@pytest.mark.row("003-19")
def test_kernels_become_pictures_with_grey_for_nothing_and_norms_by_hand():
    weight = torch.zeros(2, 3, 1, 2)
    weight[0, 0, 0] = torch.tensor([3.0, 4.0])
    weight[0, 1, 0, 0] = -2
    pictures = explain.kernel_pictures(weight)
    assert pictures[0, :, 0, 0].tolist() == [0.875, 0.25, 0.5] and pictures[0, 0, 0, 1] == 1 and (pictures[1] == 0.5).all()
    assert explain.kernel_norms(weight).tolist() == [[5, 2, 0], [0, 0, 0]]
    assert explain.kernel_pictures(torch.randn(4, 5, 3, 2)).shape == (4, 1, 3, 2)


def template(shape: tuple[int, ...] = (3, 8, 10)) -> tuple[nn.Module, Tensor]:
    """A linear model of two classes, whose weights for class 1 are a checkerboard of patches."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 2, bias=False))
    pattern = torch.ones(shape)
    pattern[:, :, : shape[2] // 2] = -1
    with torch.no_grad():
        model[1].weight.copy_(torch.stack([-pattern.flatten(), pattern.flatten()]))
    return model, pattern


def test_the_favourite_picture_of_a_linear_unit_is_its_template():
    model, pattern = template()
    state = torch.get_rng_state()
    pictures = explain.favourite_pictures(model, [1, 0], lambda x: x - 0.5, (3, 8, 10), num_steps=60, learning_rate=0.1)
    assert pictures.shape == (2, 3, 8, 10) and pictures.min() >= 0 and pictures.max() <= 1
    alike = [np.corrcoef((sign * pattern).flatten(), picture.flatten())[0, 1] for sign, picture in zip((1, -1), pictures, strict=True)]
    assert min(alike) > 0.7
    assert torch.equal(torch.get_rng_state(), state) and model[1].weight.grad is None
    with pytest.raises(UsageError, match="units must be in 0 to 1, got 2 to 2"):
        explain.favourite_pictures(model, [2], lambda x: x, (3, 8, 10))


def test_the_pictures_that_excite_a_channel_are_found_with_their_places():
    convolution = nn.Conv2d(1, 2, 1, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
    model = nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.zeros(5, 1, 3, 4)
    images[3, 0, 2, 1], images[1, 0, 0, 3], images[4, 0, 1, 2] = 7, 5, -9

    found = explain.most_exciting(model, convolution, images, top=2, batch_size=2)

    assert found.images[0].tolist() == [3, 1] and found.values[0].tolist() == [7, 5] and found.places[0].tolist() == [[2, 1], [0, 3]]
    assert found.images[1, 0] == 4 and found.places[1, 0].tolist() == [1, 2]


def test_responses_by_class_are_means_over_images_and_places():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images, labels = torch.randn(7, 1, 3, 4), torch.tensor([0, 2, 0, 2, 2, 0, 0])

    found = explain.responses_by_class(model, model[0], images, labels, 3, batch_size=3)

    for k in (0, 2):
        torch.testing.assert_close(found[k], model[0](images[labels == k]).mean((0, 2, 3)).detach())
    assert found[1].isnan().all()


def test_rank_correlation_equals_scipys():
    first, second = torch.randn(3, 4, 5), torch.randn(3, 4, 5).round()
    found = explain.rank_correlation(first, second)
    expected = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert explain.rank_correlation(first, torch.ones(3, 4, 5)).tolist() == [0, 0, 0]


def test_randomised_weights_keep_their_mean_square_and_change_the_map():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 6 * 8, 5))
    state = torch.get_rng_state()
    other = explain.randomised(model)
    assert not torch.equal(other[0].weight, model[0].weight) and torch.equal(other[1].weight, model[1].weight)
    assert other[4].weight.norm().item() == pytest.approx(model[4].weight.norm().item(), rel=0.05)
    assert torch.equal(torch.get_rng_state(), state)

    images, classes = torch.randn(2, 3, 8, 10), torch.tensor([0, 4])
    told = explain.randomisation_score(model, lambda m: explain.gradient(m, images, classes))
    blind = explain.randomisation_score(model, lambda m: images.abs().amax(1))  # an "explanation" that looks at the image alone
    assert told.abs().max() < 0.3 and blind.min() > 0.999


def test_a_network_whose_weights_are_mostly_negative_stays_alive_with_random_ones():
    torch.manual_seed(0)
    model = nn.Sequential(*(part for _ in range(6) for part in (nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())), nn.Flatten(), nn.Linear(192, 3))
    for part in model:
        if isinstance(part, nn.Conv2d):
            part.weight.data.sub_(0.3)
    slope = explain.gradient(explain.randomised(model), torch.rand(2, 4, 6, 8), torch.tensor([0, 2]))
    assert (slope.flatten(1).norm(dim=1) > 0).all()


def test_deletion_and_insertion_follow_the_closed_form_of_a_linear_model():
    model, _ = template((1, 4, 6))
    image = torch.zeros(1, 1, 4, 6)
    image[0, 0, 1, 4] = 1.5  # one pixel decides: its logits are -+1.5
    heat = torch.zeros(1, 4, 6)
    heat[0, 1, 4] = 1

    curves = explain.deletion_insertion(model, image, torch.tensor([1]), heat, num_steps=24)

    whole = 1 / (1 + math.exp(-3))
    assert float(curves.deletion[0, 0]) == pytest.approx(whole) and curves.deletion[0, 1:].tolist() == pytest.approx([0.5] * 24)
    assert float(curves.insertion[0, 24]) == pytest.approx(whole)
    assert float(curves.deletion_area) == pytest.approx((0.5 * (whole + 0.5) + 23 * 0.5) / 24)
    late = explain.deletion_insertion(model, image, torch.tensor([1]), -heat, num_steps=24)
    assert late.deletion_area > curves.deletion_area and late.insertion_area < curves.insertion_area
    with pytest.raises(ShapeError, match=r"heat must be \(1, 4, 6\), one value per pixel, got \(1, 2, 2\)"):
        explain.deletion_insertion(model, image, torch.tensor([1]), heat[:, :2, :2])


def test_principal_components_equal_sklearns():
    from sklearn.decomposition import PCA

    features = np.random.default_rng(0).normal(size=(12, 5)) * [5, 3, 1, 1, 1]
    found, expected = explain.embedded(features), PCA(2).fit_transform(features)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-10)


def test_t_sne_keeps_far_groups_apart():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(size=(15, 6)), 20 + rng.normal(size=(15, 6))])
    places = explain.embedded(features, "tsne")
    halves = [places[:15], places[15:]]
    spread = max(np.linalg.norm(half - half.mean(0), axis=1).mean() for half in halves)
    assert np.linalg.norm(halves[0].mean(0) - halves[1].mean(0)) > 2 * spread


def test_errors_of_embeddings():
    with pytest.raises(UsageError, match="at least 4 images with finite features, got 3"):
        explain.embedded(np.zeros((3, 2)))
    try:
        import umap  # noqa: F401
    except ImportError:
        with pytest.raises(EnvironmentFault, match=r"not installed\nInstall it"):
            explain.embedded(np.zeros((6, 2)), "umap")
