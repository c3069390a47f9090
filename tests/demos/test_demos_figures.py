"""The demos of the notes' figures: what they print is true, and their pictures can be drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from striate.demos import batch_norm, folded, heads, losses, unrolled
from striate.demos.convolution import IMAGE, KERNEL
from striate.demos.shown import Setting

SHORT = Setting(short=True)


@pytest.mark.row("001-2", "001-3")
def test_the_terrain_of_cross_entropy_is_torchs_and_steep_where_squared_error_is_flat():
    weights = np.array([-1.5, 2.0])
    sums = torch.tensor(losses.POINTS @ weights)
    targets = torch.tensor(losses.TARGETS)

    terrains, soft = losses.show(SHORT).tables

    assert float(losses.loss("cross-entropy", weights)) == pytest.approx(float(F.binary_cross_entropy_with_logits(sums, targets)))
    assert float(losses.loss("squared error", weights)) == pytest.approx(float(F.mse_loss(sums.sigmoid(), targets)) / 2)
    far = terrains.column("slope far off")
    assert far["cross-entropy"] > 20 * far["squared error"]
    np.testing.assert_allclose(soft.rows[1][1:], torch.tensor(losses.SCORES).softmax(0))
    np.testing.assert_allclose(losses.softmax(losses.SCORES, 0.01), soft.rows[-1][1:], atol=1e-12)


@pytest.mark.row("001-7")
def test_batch_norm_gives_each_layer_a_deviation_of_1_and_lets_it_learn():
    inside, training = batch_norm.show(SHORT).tables

    assert list(inside.column("deviation with").values()) == pytest.approx([1, 1, 1], abs=0.05)
    assert min(inside.column("saturated without").values()) > 10 * max(inside.column("saturated with").values())
    last = training.column("last update")
    assert last["with"] < last["without"] / 3


@pytest.mark.row("002-11")
def test_global_pooling_needs_a_fiftieth_of_the_weights_and_does_not_notice_a_shift():
    (table,) = heads.show(SHORT).tables

    params, change = table.column("params"), table.column("change when the maps move by one place")
    assert params["dense, 4096 hidden"] == (512 * 7 * 7 + 1) * 4096 + (4096 + 1) * 1000
    assert params["global average"] == params["global maximum"] == (512 + 1) * 1000
    assert max(change["global average"], change["global maximum"]) < 1e-12
    assert min(change["dense"], change["dense, 4096 hidden"]) > 0.5
    assert list(table.column("takes other sizes").values()) == ["no", "no", "yes", "yes"]


@pytest.mark.row("003-29")
def test_the_gradient_of_the_unrolled_network_is_autograds():
    (table,) = unrolled.show(SHORT).tables

    assert list(table.column("ds/dx of step 1, by hand").values()) == pytest.approx(list(table.column("by autograd").values()), abs=1e-12)


@pytest.mark.row("004-5")
def test_both_foldings_of_a_convolution_are_torchs():
    (table,) = folded.show(SHORT).tables
    by_torch = F.conv2d(torch.tensor(IMAGE)[None, None], torch.tensor(KERNEL)[None, None]).numpy().ravel()

    assert max(table.column("largest difference from the loop").values()) < 1e-12
    np.testing.assert_allclose(folded.folded_kernel(KERNEL, IMAGE.shape) @ IMAGE.ravel(), by_torch)
    np.testing.assert_allclose(folded.windows(IMAGE, KERNEL.shape) @ KERNEL.ravel(), by_torch)
