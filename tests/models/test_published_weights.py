"""Weights of timm and torchvision: found where these libraries keep them, and asked of the network only on request."""

from __future__ import annotations

import hashlib
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

from striate.core.errors import EnvironmentFault, RefusedFileError, UsageError
from striate.models import published_weights as published
from striate.models.published_weights import published_weights


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of both libraries, and no network: what asks for an address is noted and fails."""
    import huggingface_hub.constants
    import huggingface_hub.file_download

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    asked: list[Any] = []

    def no_network(*arguments: Any, **options: Any) -> Any:
        asked.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setattr(huggingface_hub.file_download, "get_hf_file_metadata", no_network)
    monkeypatch.setattr(published, "asked", asked, raising=False)
    return tmp_path


def asked() -> list[Any]:
    return published.asked  # type: ignore[attr-defined,no-any-return]


def stored(module: nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: torch.rand_like(t) if t.is_floating_point() else t for name, t in module.state_dict().items()}


def test_timms_weights_come_from_its_cache(caches: Path):
    """The cache as huggingface_hub lays it out: a snapshot for the commit that `main` is."""
    state = stored(timm.create_model("test_resnet"))
    repository = timm.get_pretrained_cfg("test_resnet").hf_hub_id
    folder = caches / "hub" / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    safetensors.torch.save_file(state, folder / "snapshots" / ("0" * 40) / "model.safetensors")

    found = published_weights("timm", "timm:test_resnet", download=False)

    assert found.tensors.keys() == state.keys()
    assert all(torch.equal(found.tensors[name], state[name]) for name in state)
    assert (found.mean, found.std) == (timm.get_pretrained_cfg("test_resnet").mean, timm.get_pretrained_cfg("test_resnet").std)
    assert not asked()


def test_torchvisions_weights_come_from_its_cache_if_they_are_the_published_ones(caches: Path, monkeypatch: pytest.MonkeyPatch):
    """The cache as torch.hub lays it out: the file's own name, which ends in the start of its SHA-256."""
    state = stored(torchvision.models.squeezenet1_1())
    folder = caches / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / "made.pth")
    beginning = hashlib.sha256((folder / "made.pth").read_bytes()).hexdigest()[:8]
    (folder / "made.pth").rename(folder / f"squeezenet1_1-{beginning}.pth")
    monkeypatch.setattr(published, "_file_of", lambda _weights: f"squeezenet1_1-{beginning}.pth")

    found = published_weights("torchvision", "squeezenet1_1", download=False)

    assert all(torch.equal(found.tensors[name], state[name]) for name in state)
    assert found.mean == (0.485, 0.456, 0.406)
    assert found.source == "torchvision's squeezenet1_1.IMAGENET1K_V1"
    assert not asked()
    monkeypatch.undo()
    monkeypatch.setenv("TORCH_HOME", str(caches / "torch"))
    (folder / f"squeezenet1_1-{beginning}.pth").rename(folder / "squeezenet1_1-b8a52dc0.pth")  # the published name
    with pytest.raises(RefusedFileError, match=r"squeezenet1_1-b8a52dc0\.pth: not the weights that were published"):
        published_weights("torchvision", "torchvision:squeezenet1_1", download=False)


@pytest.mark.parametrize(("publisher", "network"), [("timm", "resnet18"), ("torchvision", "resnet18")])
def test_nothing_is_requested_without_the_flag(publisher: str, network: str):
    with pytest.raises(EnvironmentFault, match=r"not in the cache .* nothing is downloaded unasked\nDownload them: `download=True`"):
        published_weights(publisher, network, download=False)
    assert not asked()

    with pytest.raises(EnvironmentFault, match="cannot be downloaded"):
        published_weights(publisher, network, download=True)
    assert asked()


def test_networks_without_published_weights_are_named():
    with pytest.raises(UsageError, match=r"no weights are published for lenet5\n.*vgg16.*`network='timm:NAME'`"):
        published_weights("timm", "lenet5", download=True)
    with pytest.raises(UsageError, match=r"no weights resnet18\.nonsense are published\nKnown: .*resnet18\.a1_in1k"):
        published_weights("timm", "timm:resnet18.nonsense", download=True)
    with pytest.raises(UsageError, match=r"`pretrained='torchvision'`: no weights are published for lenet5"):
        published_weights("torchvision", "lenet5", download=True)
    with pytest.raises(UsageError, match=r"no weights resnet50\.V9 are published\nKnown: IMAGENET1K_V1, IMAGENET1K_V2"):
        published_weights("torchvision", "torchvision:resnet50.V9", download=True)
    with pytest.raises(UsageError, match=r"timm:resnet18 is a network of timm\nSay `pretrained='timm'`"):
        published_weights("torchvision", "timm:resnet18", download=True)
    assert not asked()
