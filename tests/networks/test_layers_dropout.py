"""Facts about the layers that drop at random."""

from __future__ import annotations

import pytest
import torch

from striate.core.errors import ShapeError, UsageError
from striate.networks.layers import Dropout, SpatialDropout, StochasticDepth


@pytest.mark.row("001-15")
@pytest.mark.row("002-8")
@pytest.mark.row("001-8")
def test_p_drops_and_keep_is_for_those_who_think_the_other_way():
    assert Dropout.keep(0.75) == Dropout(0.25)
    torch.manual_seed(0)
    output = Dropout.keep(0.75).build((1000,)).train()(torch.ones(100, 1000))
    assert abs(float((output == 0).float().mean()) - 0.25) < 0.01
    assert abs(float(output.mean()) - 1) < 0.01
    torch.testing.assert_close(output[output != 0].unique(), torch.tensor([1 / 0.75]))


@pytest.mark.row("002-8")
def test_the_gradient_passes_where_the_value_passed():
    torch.manual_seed(0)
    x = torch.ones(20, 50, requires_grad=True)
    output = Dropout(0.4).build((50,)).train()(x)
    output.sum().backward()
    assert torch.equal(x.grad, (output != 0) / 0.6)


@pytest.mark.row("002-8")
@pytest.mark.row("001-19")
def test_in_evaluation_nothing_is_dropped():
    x = torch.randn(4, 3, 5, 6)
    for layer in (Dropout(0.5), SpatialDropout(0.5), StochasticDepth(0.5)):
        assert torch.equal(layer.build((3, 5, 6)).eval()(x), x)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_neighbours_are_dropped_independently(p):
    torch.manual_seed(0)
    dropped = Dropout(p).build((7, 9)).train()(torch.ones(4000, 7, 9)).flatten() == 0
    both = (dropped[1:] & dropped[:-1]).float().mean()
    assert abs(float(dropped.float().mean()) - p) < 0.005
    assert abs(float(both) - p * p) < 0.005


@pytest.mark.row("004-14")
def test_dropout_averages_exponentially_many_networks():
    """Over all 2^n masks, a linear unit's mean output is that of the whole unit."""
    weights, x = torch.tensor([1.0, -2, 0.5, 3]), torch.tensor([2.0, 1, -1, 0.5])
    keep, total = 0.7, 0.0
    for mask in torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4):
        chance = float((keep * mask + (1 - keep) * (1 - mask)).prod())
        total += chance * float((weights * mask * x / keep).sum())
    assert abs(total - float(Dropout.keep(keep).build((4,)).eval()(x[None])[0] @ weights)) < 1e-6


def test_spatial_dropout_drops_whole_maps():
    torch.manual_seed(0)
    output = SpatialDropout(0.3).build((200, 4, 5)).train()(torch.ones(10, 200, 4, 5))
    flat = output.flatten(2)
    assert torch.equal(flat.min(2).values, flat.max(2).values)
    assert abs(float((flat[:, :, 0] == 0).float().mean()) - 0.3) < 0.04


def test_stochastic_depth_is_torchvisions_row_mode():
    ops = pytest.importorskip("torchvision.ops")
    x = torch.randn(40, 3, 4, 5)
    torch.manual_seed(0)
    output = StochasticDepth(0.2).build((3, 4, 5)).train()(x)
    torch.manual_seed(0)
    torch.testing.assert_close(output, ops.stochastic_depth(x, 0.2, "row"), rtol=1e-6, atol=1e-6)
    dropped = (output == 0).flatten(1).all(1)
    assert 2 <= int(dropped.sum()) <= 16


def test_dropping_everything_leaves_zeros():
    for layer in (Dropout(1), SpatialDropout(1), StochasticDepth(1)):
        assert not layer.build((3, 4, 5)).train()(torch.ones(2, 3, 4, 5)).any()


def test_errors_say_what_fits():
    for layer in (Dropout, SpatialDropout, StochasticDepth):
        with pytest.raises(UsageError, match=f"{layer.__name__}: p: must be at most 1, got 1.5"):
            layer(1.5)
    with pytest.raises(ShapeError, match=r"spatial dropout needs a shape \(C, L\) or .*, got \(7,\)"):
        SpatialDropout().output_shape((7,))
