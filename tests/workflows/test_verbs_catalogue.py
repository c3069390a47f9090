"""Profiles, explanations, lesions and edits of every classifier of the catalogue, by the workflows that the command line runs."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import striate
from striate.core.errors import ShapeError, UsageError
from striate.core.images import ImageSpec
from striate.insight import explain as tools
from striate.insight.ablate.lesions import Block, blocks_of, dropped
from striate.insight.explain import METHODS
from striate.networks.layers import AdaptivePool
from striate.networks.model_file import ModelFile
from striate.workflows.ablation.lesion import SHARES, lesion_points
from striate.workflows.explanation.explain import OF_MAPS, ExplainRequest, explain
from striate.workflows.explanation.views import VIEWS
from striate.workflows.profiling.profile import ProfileRequest, profile

CLASSES = ("light", "dark", "striped")
BESIDE = {  # torch counts the weights that tables of connections leave out, and not distances to 3 codes
    "lenet1": 2 * 28 * 25 * 8 * 8,
    "lenet5_paper": 2 * (900 * 100 - 84 * 3),
}
EDITS: dict[str, Callable[[striate.Network], striate.Network]] = {
    "without shortcut": lambda net: net.without("shortcut"),
    "without norm": lambda net: net.without("norm"),
    "without dropout": lambda net: net.without("dropout"),
    "without bottleneck": lambda net: net.without("bottleneck"),
    "activation=tanh": lambda net: net.swap(activation="tanh"),
    "pooling=avg": lambda net: net.swap(pooling="avg"),
    "norm=group": lambda net: net.swap(norm="group"),
    "split kernels": lambda net: net.split_kernels("3x3"),
    "factorize": lambda net: net.factorize(),
    "head": lambda net: net.head("global-pool"),
    "width": lambda net: net.width(0.5),
    "depth": lambda net: net.depth(0.5),
}

EVERY = pytest.mark.classifiers("lenet5")


@pytest.fixture
def network(name: str, small_network: Callable[..., striate.Network]) -> striate.Network:
    """The entry with three classes, for small pictures."""
    return small_network(name, num_classes=len(CLASSES), least=64 if name == "vit_b_32" else 32)  # two patches a side


@pytest.fixture
def model(network: striate.Network, prime: Callable[[nn.Module, Tensor], nn.Module]) -> striate.Model:
    """A model of fresh weights, whose batch norms have seen noise."""
    torch.manual_seed(0)
    module = prime(network.build(), torch.randn(4, *network.input_shape))
    channels, height, width = network.input_shape
    images = ImageSpec(height=height, width=width, channels=channels, mean=(0.5,) * channels, std=(0.25,) * channels)
    return striate.Model(ModelFile(network, module, CLASSES, images, {}))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of four grey pictures of each class."""
    rng, stripes = np.random.default_rng(0), np.arange(40)[:, None] // 4 % 2
    for name, light in zip(CLASSES, (160, 0, 80 * stripes), strict=True):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(4):
            picture = rng.integers(0, 90, (40, 40)) + light
            Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "data" / name / f"{index}.png")
    return tmp_path / "data"


def flops_of(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Of one sample, by torch's counter."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.to("meta").eval().requires_grad_(False)(torch.zeros(1, *shape, device="meta"))
    return counter.get_total_flops()


@EVERY
def test_profile_works_on_every_classifier_of_the_catalogue(name: str, network: striate.Network, model: striate.Model):
    """Everything is measured; what is counted equals torch's counters."""
    found = profile(ProfileRequest(network=model, batch_size=2, batch_sizes=(1, 2), seconds=0.001))

    counted = flops_of(network.build(), network.input_shape) - BESIDE.get(name, 0)
    sums = [row for row in network.rows if isinstance(row.layer, AdaptivePool)]  # as products with 0 and 1, which torch counts too
    counted -= sum(flops_of(row.layer.build(row.input_shape), row.input_shape) for row in sums)
    assert found.totals.flops == 2 * found.totals.macs == counted
    assert found.totals.params == sum(weight.numel() for weight in model.module.parameters() if weight.requires_grad)
    assert sum(layer["params"] for layer in found.layers) == found.totals.params
    assert sum(layer["macs"] for layer in found.layers) == found.totals.macs
    measured = found.measured
    assert measured is not None
    assert min(measured.forward_ms, measured.backward_ms, measured.training_peak_bytes, measured.share_of_peak) > 0
    assert [one.batch_size for one in measured.latencies] == [1, 2]
    assert all(layer["forward_ms"] > 0 for layer in found.layers if layer["macs"])


@EVERY
def test_explain_works_on_every_classifier_of_the_catalogue(
    model: striate.Model, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each method and each view that is installed draws its files; the model is as it was. Climbs to favourite pictures are cut short."""
    monkeypatch.setattr(tools, "favourite_pictures", functools.partial(tools.favourite_pictures, num_steps=4))
    before = {key: tensor.clone() for key, tensor in model.module.state_dict().items()}
    views = tuple(view for view in VIEWS if view != "umap")
    one = next(iter(sorted(pictures.glob("*/*.png"))))
    request = ExplainRequest(
        run=model, pictures=(one,), methods=METHODS, views=views, data=pictures, split="train", output=tmp_path / "out"
    )
    if not any(row.layer.role == "conv" for row in model.network.rows):
        with pytest.raises(ShapeError, match="no part gives a feature map"):
            explain(request)
        methods = tuple(method for method in METHODS if method not in OF_MAPS)
        request = dataclasses.replace(request, methods=methods, views=tuple(view for view in views if view not in (*OF_MAPS, "filters")))

    found = explain(request)

    assert {path.name for path in (tmp_path / "out").iterdir()} == {*found.files, "explain.json"}
    assert all((tmp_path / "out" / file).stat().st_size for file in found.files)
    scores = [*found.randomisation.values(), *found.pictures[0].deletion.values(), *found.pictures[0].insertion.values()]
    assert len(scores) == 3 * len(request.methods) and all(math.isfinite(score) and -1 <= score <= 1 for score in scores)
    json.loads((tmp_path / "out" / "explain.json").read_text())
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.module.state_dict().items())
    assert not model.module.training and not any(part._forward_hooks for part in model.module.modules())


@EVERY
def test_lesions_work_on_every_classifier_of_the_catalogue(model: striate.Model):
    """Each is felt in the logits; a dropped branch is as one whose weights are all 0; afterwards the model is whole."""
    images = np.random.default_rng(0).integers(0, 256, (1, *model.network.input_shape[1:], model.network.input_shape[0]), np.uint8)
    module = model.module.get_submodule("network")  # from now on it answers itself, to the same bits
    whole, seen = model.outputs(images), []

    def answers() -> float:
        seen.append(model.outputs(images))
        return 0.0

    points = lesion_points(model, answers, seed=0)

    kinds = {point.lesion for point in points}
    assert {"channels smallest", "channels largest", "channels random", "filters"} <= kinds
    assert len([point for point in points if point.lesion == "filters"]) == len(SHARES)
    assert all(logits.shape == whole.shape for logits in seen)
    assert np.isfinite(np.concatenate(seen)).all()
    assert sum(not np.array_equal(logits, whole) for logits in seen) > 0.9 * len(seen)
    np.testing.assert_array_equal(model.outputs(images), whole)

    branches = [
        block for block in blocks_of(model.network) if not block.identity and any(True for _ in part_of(module, block).parameters())
    ]
    for block in branches[:: max(1, len(branches) // 3)]:
        with dropped(module, [block]):
            expected = model.outputs(images)
        kept = copy.deepcopy(part_of(module, block).state_dict())
        with torch.no_grad():
            for weight in part_of(module, block).parameters():
                weight.zero_()
        np.testing.assert_allclose(model.outputs(images), expected, rtol=1e-6, atol=1e-7)
        part_of(module, block).load_state_dict(kept)


def part_of(module: nn.Module, block: Block) -> nn.Module:
    return module.get_submodule(block.path)


@EVERY
def test_edits_work_on_every_classifier_of_the_catalogue(name: str, network: striate.Network):
    """Each gives a module that runs and learns as many classes, or one line that says what it did not find."""
    told = []
    for words, edit in EDITS.items():
        try:
            edited = edit(network)
        except UsageError as error:
            told.append(error.message)
            continue
        with torch.device("meta"):
            module = edited.build().eval()
            assert module(torch.zeros(2, *edited.input_shape)).shape == (2, len(CLASSES)), words
            assert sum(weight.numel() for weight in module.parameters() if weight.requires_grad) == edited.params, words
    assert all(message.startswith(name) and "\n" not in message for message in told)
    assert len(told) < len(EDITS) - 1
