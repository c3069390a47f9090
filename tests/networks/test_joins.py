"""Chains and parallels: names, shapes, costs, modules."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from striate.core.errors import ShapeError, UsageError
from striate.networks.layers import (
    Activation,
    BatchNorm,
    Chain,
    ChannelLinear,
    Conv,
    Flatten,
    Gain,
    GlobalPool,
    Identity,
    Linear,
    PadChannels,
    Parallel,
    Pool,
    View,
)

F64 = torch.float64


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def built(layer, shape):
    torch.manual_seed(0)
    return layer.build(shape).double()


def names(container) -> list[str]:
    return [name for name, _ in container.children]


class TestNames:
    def test_a_part_is_called_by_its_role_and_numbered_where_several_share_it(self):
        chain = Chain(Conv(4, 3), Activation("relu"), Conv(4, 3), BatchNorm(), Activation("relu"), Pool("max", 2))
        assert names(chain) == ["conv1", "act1", "conv2", "norm", "act2", "pool"]

    def test_named_parts_come_behind(self):
        assert names(Chain(Conv(4, 3), stage2=Identity(), head=Flatten())) == ["conv", "stage2", "head"]

    def test_modules_carry_the_names(self):
        chain = Chain(stem=Conv(4, 3), block=Parallel(body=Chain(Conv(4, 1)), shortcut=Identity(), merge="sum"))
        assert list(chain.build((3, 5, 6)).state_dict()) == ["stem.weight", "stem.bias", "block.body.conv.weight", "block.body.conv.bias"]

    def test_a_path_leads_to_a_part(self):
        chain = Chain(stem=Conv(4, 3), block=Parallel(body=Chain(Conv(8, 1)), shortcut=Identity(), merge="sum"))
        assert chain["block.body.conv"] == Conv(8, 1)
        with pytest.raises(KeyError):
            chain["block.tail"]

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda: Chain(Conv(4, 3), conv=Conv(5, 3)), "two parts are called 'conv'"),
            (lambda: Chain(**{"a.b": Conv(4, 3)}), "a part's name must be an identifier, got 'a.b'"),
            (lambda: Chain(**{"class": Conv(4, 3)}), "a part's name must be an identifier, got 'class'"),
            (lambda: Chain("relu"), "must be a layer, got str"),
            (lambda: Chain(act="relu"), "'act' must be a layer, got str"),
            (
                lambda: Parallel(Identity(), merge="max"),
                "merge must be one of sum, concat, multiply, first, resize, unpool, mixture, got 'max'",
            ),
            (lambda: Parallel(merge="sum"), "a parallel needs at least one branch"),
        ],
    )
    def test_wrong_parts_are_usage_errors(self, make, words):
        with pytest.raises(UsageError) as caught:
            make()
        assert words in str(caught.value)


class TestMerges:
    shape = (3, 6, 7)
    left, right = Conv(4, 3, padding="same"), Conv(4, 1)

    def outputs(self, merge):
        x = images(2, *self.shape)
        module = built(Parallel(left=self.left, right=self.right, merge=merge), self.shape)
        left = F.conv2d(x, module.left.weight, module.left.bias, padding=1)
        return module(x), left, F.conv2d(x, module.right.weight, module.right.bias)

    def test_sum_multiply_concat_and_first(self):
        for merge, expected in (
            ("sum", lambda a, b: a + b),
            ("multiply", lambda a, b: a * b),
            ("concat", lambda a, b: torch.cat([a, b], 1)),
            ("first", lambda a, b: a),
        ):
            output, left, right = self.outputs(merge)
            torch.testing.assert_close(output, expected(left, right), rtol=0, atol=1e-12)
            assert Parallel(self.left, self.right, merge=merge).output_shape(self.shape) == tuple(output.shape[1:])

    def test_a_gate_multiplies_each_map(self):
        """Squeeze and excitation: (C, 1, 1) times (C, H, W)."""
        gate = Chain(GlobalPool("avg", keep_axes=True), Conv(2, 1), Activation("relu"), Conv(3, 1), Activation("sigmoid"))
        block, x = Parallel(gate=gate, body=Identity(), merge="multiply"), images(2, *self.shape)
        module = built(block, self.shape)
        torch.testing.assert_close(module(x), x * module.gate(x), rtol=0, atol=1e-12)
        assert block.output_shape(self.shape) == self.shape

    def test_layer_scale(self):
        block, x = Parallel(scale=Gain(1e-6), body=ChannelLinear(3), merge="multiply"), images(2, *self.shape)
        module = built(block, self.shape)
        torch.testing.assert_close(module(x), module.scale.weight * module.body(x), rtol=0, atol=0)
        assert [name for name, _ in module.named_parameters()] == ["scale.weight", "body.weight", "body.bias"]

    def test_cutting_takes_the_middle_of_the_larger_map(self):
        block, x = Parallel(small=Conv(2, 3), large=Conv(2, 1), merge="sum", crop=1), images(2, *self.shape)
        module = built(block, self.shape)
        assert block.output_shape(self.shape) == (2, 4, 5)
        torch.testing.assert_close(module(x), module.small(x) + module.large(x)[:, :, 1:5, 1:6], rtol=0, atol=1e-12)

    def test_a_map_of_one_place_is_joined_to_each_place(self):
        block, x = Parallel(image=GlobalPool(keep_axes=True), body=Conv(2, 1), merge="concat"), images(2, *self.shape)
        module = built(block, self.shape)
        assert block.output_shape(self.shape) == (5, 6, 7)
        expected = torch.cat([x.mean((2, 3), keepdim=True).repeat(1, 1, 6, 7), module.body(x)], 1)
        torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)

    def test_resizing_enlarges_the_first_branch_to_the_second(self):
        block, x = Parallel(scores=Conv(2, 3, stride=2), size=Identity(), merge="resize"), images(2, *self.shape)
        module = built(block, self.shape)
        expected = F.interpolate(module.scores(x), (6, 7), mode="bilinear", align_corners=False)
        assert block.output_shape(self.shape) == (2, 6, 7)
        torch.testing.assert_close(module(x), expected, rtol=0, atol=0)

    def test_unpooling_is_torchs_also_where_values_are_equal(self):
        block = Parallel(maps=Activation("relu"), coarse=Chain(Pool("max", 2, ceil_mode=True), Conv(3, 1)), merge="unpool")
        module, x = built(block, (3, 5, 7)), images(2, 3, 5, 7) - 1  # most windows are zeros
        _, places = F.max_pool2d(x.relu(), 2, ceil_mode=True, return_indices=True)
        expected = F.max_unpool2d(module.coarse(x), places, 2, output_size=(5, 7))
        assert block.output_shape((3, 5, 7)) == (3, 5, 7)
        torch.testing.assert_close(module(x), expected, rtol=0, atol=0)
        assert View.of_input(2).through(block.cost((3, 5, 7)).reach).size == (2, 2)

    def test_enlarging_needs_two_maps_that_fit(self):
        half = r"unpool needs a second branch of half the size of the first, rounded up, got a \(3, 6, 7\), b \(3, 3, 3\)"
        with pytest.raises(ShapeError, match=half):
            Parallel(a=Identity(), b=Pool("max", 2), merge="unpool").output_shape(self.shape)
        with pytest.raises(ShapeError, match=r"resize needs two branches \(C, H, W\), got a \(126,\), b \(3, 6, 7\)"):
            Parallel(a=Flatten(), b=Identity(), merge="resize").output_shape(self.shape)

    @pytest.mark.row("004-9")
    def test_dense_connections_are_nested_concatenations(self):
        def dense(layers):
            return Chain(
                **{f"layer{i}": Parallel(past=Identity(), fresh=Conv(2, 3, padding="same"), merge="concat") for i in range(layers)}
            )

        assert dense(4).output_shape(self.shape) == (3 + 4 * 2, 6, 7)

    def test_branches_that_do_not_fit_are_refused_with_their_shapes_and_the_path(self):
        block = Chain(block=Parallel(body=Conv(4, 3), shortcut=Identity(), merge="sum"))
        for method in (block.output_shape, block.cost):
            with pytest.raises(ShapeError) as caught:
                method(self.shape)
            assert str(caught.value) == "block: sum needs branches of one shape, got body (4, 4, 5), shortcut (3, 6, 7)"
        with pytest.raises(ShapeError, match=r"concat needs branches of one size, got a \(4, 4, 5\), b \(3, 6, 7\)"):
            Parallel(a=Conv(4, 3), b=Identity(), merge="concat").output_shape(self.shape)
        with pytest.raises(ShapeError, match=r"sum needs branches of one shape, got a \(3, 6, 7\), b \(126,\)"):
            Parallel(a=Identity(), b=Flatten(), merge="sum").output_shape(self.shape)
        with pytest.raises(ShapeError, match=r"cannot crop \(4, 5\) at offset 3 from \(6, 7\)"):
            Parallel(a=Conv(3, 3), b=Identity(), merge="sum", crop=3).output_shape(self.shape)


class TestShortcuts:
    @pytest.mark.row("003-53")
    def test_with_weights_of_zero_a_residual_block_is_the_identity_on_what_is_not_negative(self):
        body = Chain(Conv(3, 3, padding="same"), Activation("relu"), Conv(3, 3, padding="same"))
        block = Chain(add=Parallel(body=body, shortcut=Identity(), merge="sum"), act=Activation("relu"))
        module, x = built(block, (3, 5, 6)), images(2, 3, 5, 6).abs()
        for parameter in module.parameters():
            parameter.data.zero_()
        assert torch.equal(module(x), x)

    @pytest.mark.row("003-53")
    def test_options_a_and_b_meet_a_body_that_halves_the_map(self):
        body = Conv(6, 3, stride=2, padding=1)
        for shortcut, params in ((PadChannels(6, 2), 0), (Conv(6, 1, stride=2, bias=False), 18)):
            block = Parallel(body=body, shortcut=shortcut, merge="sum")
            for size in ((8, 10), (7, 9)):
                assert block.output_shape((3, *size)) == (6, 4, 5)
            assert shortcut.cost((3, 8, 10)).params == params


def test_the_cost_of_a_container_is_the_sum_over_its_leaves():
    block = Chain(
        stem=Conv(4, 3, padding="same"),
        split=Parallel(body=Chain(Conv(4, 1), BatchNorm()), shortcut=Identity(), merge="sum"),
        head=Chain(Flatten(), Linear(5)),
    )
    shape, cost = (3, 6, 7), block.cost((3, 6, 7))
    assert cost.params == (27 + 1) * 4 + (4 + 1) * 4 + 2 * 4 + (4 * 42 + 1) * 5 == sum(p.numel() for p in block.build(shape).parameters())
    assert cost.macs == 42 * 27 * 4 + 42 * 16 + 168 * 5
    rows = list(block.rows(shape, View.of_input(2)))
    assert [row.path for row in rows] == [
        "stem",
        "split.body.conv",
        "split.body.norm",
        "split.shortcut",
        "split",
        "head.flatten",
        "head.linear",
    ]


def test_an_empty_chain_is_the_identity():
    x = images(2, 3, 5, 6)
    assert Chain().output_shape((3, 5, 6)) == (3, 5, 6)
    assert torch.equal(Chain().build((3, 5, 6))(x), x)


def test_layers_are_values():
    assert Chain(Conv(4, 3), head=Flatten()) == Chain(conv=Conv(4, 3), head=Flatten()) != Chain(Conv(4, 5), head=Flatten())
    assert len({Chain(Conv(4, 3)), Chain(Conv(4, 3)), Parallel(Conv(4, 3), merge="sum")}) == 2
    with pytest.raises(AttributeError):
        Conv(4, 3).out_channels = 5
    assert str(Conv(64, (3, 1), stride=2, padding="same")) == 'Conv(64, (3, 1), 2, "same")'
