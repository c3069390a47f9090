"""A trained dense head as convolutions: the same logits at the old size, those of each window on a larger picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.apps.cli import main
from striate.core.errors import ShapeError, UsageError
from striate.core.images import ImageSpec
from striate.models.model import Model
from striate.networks.edits.convolutional import fully_convolutional, with_weights_of
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, Flatten, Linear, Pool
from striate.networks.model_file import ModelFile
from striate.networks.network import Network


@pytest.mark.row("000-16")
@pytest.mark.parametrize("name", ["lenet5", "mnist_notes", "nin_cifar", "resnet20_cifar", "convnextv2_atto"])
def test_networks_of_the_catalogue_give_the_same_logits_in_convolutional_form(name):
    net = striate.network(name, num_classes=7)
    torch.manual_seed(0)
    module = net.build().eval()
    images = torch.randn(2, *net.input_shape)

    converted = net.fully_convolutional()
    with torch.no_grad():
        ours, expected = with_weights_of(converted, module.state_dict())(images), module(images)

    assert converted.output_shape == (7, 1, 1) and converted.params == net.params
    torch.testing.assert_close(ours[:, :, 0, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.row("000-16")
def test_a_larger_input_gets_the_logits_of_each_window():
    """Two dense layers behind an unpadded trunk of stride 2: place (i, j) sees the window from (2 i, 2 j)."""
    trunk = Chain(conv=Conv(6, 3), act=Activation("relu"), pool=Pool("max", 2))
    head = Chain(flatten=Flatten(), hidden=Linear(9), norm=BatchNorm(), act=Activation("tanh"), linear=Linear(5, bias=False))
    net = Network("small", (2, 8, 12), Chain(trunk=trunk, head=head))
    module = net.build().double().eval()
    module.head.norm.running_mean.normal_()
    larger = torch.randn(3, 2, 10, 18, dtype=torch.float64)

    converted = fully_convolutional(net)
    with torch.no_grad():
        scores = with_weights_of(converted, module.state_dict()).double()(larger)

        assert scores.shape == (3, 5, 2, 4) and converted.with_input((2, 10, 18)).output_shape == (5, 2, 4)
        for row in range(2):
            for column in range(4):
                window = larger[:, :, 2 * row : 2 * row + 8, 2 * column : 2 * column + 12]
                torch.testing.assert_close(scores[:, :, row, column], module(window), rtol=0, atol=1e-6)
    assert "fully convolutional: replaced 2 parts (head.hidden, head.linear), removed 1 part (head.flatten)" in converted.provenance
    assert not fully_convolutional(net.auxiliary((0, 1, 1, 0, 1))).heads  # what they read is no longer there


@pytest.mark.row("000-16")
def test_a_verb_writes_the_convolutional_form_of_a_trained_model(tmp_path, capsys):
    """The file answers as the run does; its network, at twice the size, gives at a corner the logits of that corner alone."""
    digits = striate.dataset("digits").read("train")
    run = striate.train("digits", network="lenet5", image_size=32, steps=8, output=tmp_path / "run", diagnose=False).run
    with pytest.raises(SystemExit) as end:
        main(["convert", run, "--fully-convolutional"])
    out = capsys.readouterr().out
    before, after = striate.load(run), striate.load(tmp_path / "run" / "fully_convolutional.safetensors")

    assert not end.value.code and "an input of 1 x 32 x 32 gives 10 x 1 x 1, one of 1 x 64 x 64 gives 10 x 9 x 9" in out
    seen = before.read(digits.images[:4])
    np.testing.assert_allclose(after.outputs(seen), before.outputs(seen), atol=1e-4)
    assert [one.class_name for one in after.predict(digits.images[:4])] == [one.class_name for one in before.predict(digits.images[:4])]
    large = np.zeros((64, 64, 1), np.uint8)
    large[:32, :32] = seen[0]
    larger = after.network.with_input((1, 64, 64)).build().eval()
    larger.load_state_dict(after.module.get_submodule("network").state_dict())
    with torch.no_grad():
        maps = larger(after.module.normalized(torch.from_numpy(large[None])))
    assert maps.shape == (1, 10, 9, 9)
    np.testing.assert_allclose(maps[0, :, 0, 0], before.outputs(seen[:1])[0], atol=1e-4)
    np.testing.assert_allclose(after.class_maps(large), maps[0], atol=1e-4)
    report = striate.convert(before, fully_convolutional=True, output=tmp_path / "again.safetensors")
    assert report.max_difference < 1e-4 and report.params == before.network.params


@pytest.mark.parametrize(
    ("of", "options", "words"),
    [
        ("dense", {}, "no form to convert the model to"),
        ("dense", {"fully_convolutional": True}, "no place for the converted model"),
        ("converted", {"fully_convolutional": True, "output": "x.safetensors"}, "has no dense head to convert"),
        ("vit_tiny", {"fully_convolutional": True, "output": "x.safetensors"}, "has no dense head to convert"),
    ],
)
def test_what_cannot_be_converted_is_one_clear_error(of, options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = striate.network("vit_tiny" if of == "vit_tiny" else "lenet5", num_classes=3)
    channels, height, width = net.input_shape
    spec = ImageSpec(height=height, width=width, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels)
    model = Model(ModelFile(net, net.build().eval(), ("a", "b", "c"), spec, {}))
    if of == "converted":
        model = model.fully_convolutional()
    with pytest.raises(UsageError, match=words):
        striate.convert(model, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.row("000-16")
def test_a_trained_network_maps_a_larger_picture_and_the_map_is_drawn(tmp_path, capsys):
    """Where a digit stands on a large dark picture, the map has the logits of that digit alone."""
    digits = striate.dataset("digits").read("train")
    run = striate.train("digits", network="lenet5", image_size=32, steps=8, output=tmp_path / "run").run
    model = striate.load(run)
    seen = model.read(digits.images[:4])  # (4, 32, 32, 1)
    large = np.zeros((64, 80, 1), np.uint8)
    large[:32, :32], large[32:, 48:] = seen[0], seen[1]
    Image.fromarray(large[..., 0]).save(tmp_path / "large.png")

    maps = model.class_maps(tmp_path / "large.png")

    one = model.class_maps(seen[2])
    assert one.shape == (10, 1, 1)
    np.testing.assert_allclose(one[:, 0, 0], model.outputs(seen[2:3])[0], atol=1e-4)
    assert maps.ndim == 3 and min(maps.shape[1:]) > 4
    for place, (row, column) in enumerate([(0, 0), (-1, -1)]):
        np.testing.assert_allclose(maps[:, row, column], model.outputs(seen[place : place + 1])[0], atol=1e-4)
    with pytest.raises(SystemExit) as end:
        main(["predict", str(run), str(tmp_path / "large.png"), "--maps", str(tmp_path / "maps.png")])
    assert not end.value.code and "maps: " in capsys.readouterr().err
    with Image.open(tmp_path / "maps.png") as picture:
        assert picture.size[0] > 600
    with pytest.raises(ShapeError, match="a picture of 9 x 20 is smaller than the network's own 32 x 32"):
        model.class_maps(np.zeros((20, 9), np.uint8))
    with pytest.raises(ShapeError, match="one picture at a time has maps, got 2"):
        model.class_maps(seen[:2])


def test_heads_without_a_convolutional_form_are_refused():
    trunk = Chain(conv=Conv(6, 3))
    for head, message in (
        (Chain(pool=Pool("max", 2)), "its last maps are not flattened or pooled into linear layers"),
        (Chain(flatten=Flatten(), norm=BatchNorm(), linear=Linear(5)), "head.norm works on the flattened maps"),
        (Chain(flatten=Flatten(), linear=Linear(5), again=Flatten(), pool=Linear(3)), ""),
    ):
        net = Network("small", (2, 8, 12), Chain(trunk=trunk, head=head))
        if message:
            with pytest.raises(UsageError, match=f"small has no dense head to convert: {message}"):
                net.fully_convolutional()
        else:
            assert net.fully_convolutional().output_shape == (3, 1, 1)
    with pytest.raises(UsageError, match="has no dense head to convert"):
        striate.network("unet", num_classes=3).fully_convolutional()
