"""Networks without a description: timm's, torchvision's and the user's own."""

from __future__ import annotations

import json

import pytest
import timm
import torch
import torchvision
from torch import nn

from striate.core.errors import RefusedFileError, ShapeError, UnknownNameError, UsageError
from striate.core.images import ImageSpec
from striate.networks.catalog import network
from striate.networks.foreign import own_network, with_module
from striate.networks.layers.vocabulary import layer_from_data
from striate.networks.model_file import load_model, save_model
from striate.networks.network import Network
from striate.networks.opened import opened_bands
from striate.networks.sketch import Box, Frame


class Small(nn.Module):
    """A user's own: a convolution, a free scale, a head."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, classes)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, images):
        return self.fc((self.norm(self.conv(images)).relu() * self.scale).mean((2, 3)))


def test_the_table_of_torchvisions_resnet18_has_its_published_counts():
    net = network("torchvision:resnet18")

    assert (net.params, net.macs) == (11_689_512, 1_814_073_344)
    assert (net.input_shape, net.output_shape) == ((3, 224, 224), (1000,))
    assert sum(row.layer.role == "norm" for row in net.rows) == 20
    assert net.receptive_field == 224


def test_a_published_network_is_the_librarys_own_module_with_our_classes_and_channels():
    net = network("timm:test_resnet", num_classes=5, in_channels=2, input_size=(40, 33))
    module = net.build()

    peer = timm.create_model("test_resnet", num_classes=5, in_chans=2)
    assert {name.removeprefix("model."): tensor.shape for name, tensor in module.state_dict().items()} == {
        name: tensor.shape for name, tensor in peer.state_dict().items()
    }
    assert net.params == sum(param.numel() for param in peer.parameters())
    assert module.eval()(torch.zeros(3, 2, 40, 33)).shape == (3, 5)


def test_work_outside_of_modules_is_counted_too():
    """The class token and the places of timm's small transformer belong to no module; nor does the product of attention."""
    net = network("timm:test_vit", num_classes=5)
    peer = timm.create_model("test_vit", num_classes=5)

    assert net.params == sum(param.numel() for param in peer.parameters())
    assert net.rows[0].path == "model"
    assert net.rows[0].cost.params == peer.cls_token.numel() + peer.pos_embed.numel()


def test_describing_draws_no_random_number():
    before = torch.get_rng_state()

    network("timm:test_convnext", num_classes=4).params  # noqa: B018

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["timm:test_resnet", "torchvision:squeezenet1_1"])
def test_the_description_goes_through_json(name):
    net = network(name, num_classes=4, input_size=64)

    assert Network.from_json(net.to_json()) == net


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:test_resnt", r"unknown network of timm 'test_resnt'\nDid you mean test_resnet"),
        ("torchvision:resnet81", r"unknown network of torchvision 'resnet81'\nDid you mean .*resnet18"),
        ("keras:resnet50", r"unknown library of networks 'keras'"),
        ("torchvision:fcn_resnet50", r"unknown network of torchvision 'fcn_resnet50'"),
    ],
)
def test_a_name_that_the_library_does_not_list_is_refused(name, words):
    with pytest.raises(UnknownNameError, match=words):
        network(name)


@pytest.mark.parametrize("model", ["hf-hub:someone/model", "../weights", "os.system", "local-dir:/tmp"])
def test_a_file_cannot_name_anything_but_a_plain_name(model):
    with pytest.raises(RefusedFileError, match="model"):
        layer_from_data({"type": "PublishedNetwork", "library": "timm", "model": model, "num_classes": 3})


def test_a_file_cannot_bring_the_users_module():
    data = {"type": "OwnNetwork", "module": "Small", "num_outputs": 3, "params": 1, "given": {"call": "print"}}

    with pytest.raises(RefusedFileError, match="Small: expected a torch module, got dict"):
        layer_from_data(data)


def test_the_users_module_is_counted_and_not_changed():
    module = Small()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    net = own_network(module, (2, 9, 8))
    built = net.build()

    with torch.no_grad():
        for param in built.parameters():
            param.add_(1)

    assert (net.output_shape, net.params, net.macs) == ((3,), 2 * 4 * 9 + 4 + 8 + 15 + 4, 4 * 7 * 6 * 18 + 12)
    assert [row.path for row in net.rows] == ["model", "model.conv", "model.norm", "model.fc"]
    assert module.training
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_module_may_give_a_class_to_each_pixel():
    net = own_network(nn.Conv2d(2, 4, 3), (2, 9, 8))
    assert (net.output_shape, net.params, net.macs) == ((4, 7, 6), 4 * 18 + 4, 4 * 7 * 6 * 18)


def test_a_module_that_gives_no_logits_or_takes_no_such_picture_is_refused():
    with pytest.raises(ShapeError, match=r"Flatten must give logits \(N, K\), or \(N, K, H, W\) for pixels, gave \(144,\) for one picture"):
        own_network(nn.Flatten(0), (2, 9, 8))
    with pytest.raises(ShapeError, match=r"Small cannot take a picture \(3, 9, 8\)"):
        own_network(Small(), (3, 9, 8))
    with pytest.raises(ShapeError, match="torchvision:squeezenet1_1 takes 3 channels"):
        network("torchvision:squeezenet1_1", in_channels=2)


IMAGES = ImageSpec(height=9, width=8, channels=2, mean=(0.4, 0.5), std=(0.2, 0.3))


def test_a_model_file_of_the_users_module_needs_it_again(tmp_path):
    net, path = own_network(Small(), (2, 9, 8)), tmp_path / "own.safetensors"
    state = net.build().state_dict()
    save_model(path, net, state, classes=("a", "b", "c"), images=IMAGES, info={})

    again = load_model(path, module=Small()).module.state_dict()
    assert all(torch.equal(again[name], state[name]) for name in state)
    with pytest.raises(UsageError, match=r"the user's own module, Small, and a file holds only its weights\nPass it: striate\.load"):
        load_model(path)
    with pytest.raises(UsageError, match="the weights are those of a Small, got a Linear"):
        load_model(path, module=nn.Linear(2, 3))
    with pytest.raises(RefusedFileError, match=r"the weights do not fit the description: .*fc\.bias is \(3,\) instead of \(4,\)"):
        load_model(path, module=Small(4))


def test_a_model_file_of_a_published_network_is_built_by_its_name(tmp_path):
    net, path = network("timm:test_resnet", num_classes=3, in_channels=2, input_size=(9, 8)), tmp_path / "published.safetensors"
    state = net.build().state_dict()
    save_model(path, net, state, classes=("a", "b", "c"), images=IMAGES, info={})

    file = load_model(path)

    described = json.loads(net.to_json())["root"]["children"][0][1]
    assert described == {"type": "PublishedNetwork", "library": "timm", "model": "test_resnet", "num_classes": 3}
    assert file.network == net
    assert all(torch.equal(tensor, state[name]) for name, tensor in file.module.state_dict().items())
    with pytest.raises(UsageError, match="has a description of its own, and takes no module"):
        load_model(path, module=torchvision.models.squeezenet1_1())


def test_a_module_can_be_handed_in_where_a_description_lacks_it():
    net = own_network(Small(), (2, 9, 8))
    lacking = Network.from_json(net.to_json())

    assert (lacking.params, lacking.macs, lacking.output_shape) == (net.params, net.macs, net.output_shape)
    assert with_module(lacking, Small()).rows == net.rows


def test_the_drawing_of_a_published_network_opens_its_box():
    """resnet18 of timm: a band for each outermost module, two equal blocks told once, and the class of each module inside."""
    net = network("timm:resnet18", num_classes=7)

    bands = {band.title: band for band in opened_bands(net.rows)}

    assert list(bands) == ["conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3", "layer4", "global_pool", "fc"]
    assert sum(band.params for band in bands.values()) == net.params
    assert bands["layer1"].node == Frame("0, 1", Box(("Conv2d 64", "BatchNorm2d", "ReLU"), "convolution", (), (), times=2), times=2)
    assert bands["conv1"].node.words == ("Conv2d 64 /2",)
    assert "published network" not in net.graph
    assert net.graph._repr_svg_().startswith("<svg ")


def test_the_drawing_of_a_module_of_the_users_own_opens_its_box():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

    drawn = own_network(module, (3, 8, 9)).graph

    assert all(words in drawn for words in ("Conv2d 4", "ReLU", "AdaptiveAvgPool2d", "Linear 2"))
    assert "own network" not in drawn
