"""Descriptions and model files that ask for more than any machine has are refused before anything is built or computed."""

from __future__ import annotations

import json
import resource
import time

import numpy as np
import pytest

import striate
from striate.core import memory
from striate.core.errors import EnvironmentFault, RefusedFileError
from striate.core.images import ImageSpec
from striate.networks import model_file
from striate.networks.layers import Chain, Conv, GlobalPool, Identity, Interpolate, Linear, Parallel, Pool
from striate.networks.limits import MAX_LAYERS
from striate.networks.model_file import load_model, save_model
from striate.networks.network import Network


def file_of(path, root, extent=(8, 8), monkeypatch=None):
    """A model file as a forger would write it: it is not read back."""
    network = Network("huge", (1, *extent), root)
    spec = ImageSpec(height=extent[0], width=extent[1], channels=1, mean=(0.5,), std=(0.5,))
    monkeypatch.setattr(model_file, "write_tensor_file", lambda path, data, _: path.write_bytes(data))
    classes = tuple(map(str, range(network.output_shape[0])))
    save_model(path, network, {}, classes=classes, images=spec, info={})
    return path


def doublings(count):
    return Chain(*(Interpolate(2) for _ in range(count)), GlobalPool())


@pytest.mark.parametrize(
    ("root", "extent", "words"),
    [
        (doublings(11), (8, 8), r"one picture takes [\d,]+ MiB of memory, in a network of 0 bytes of weights"),
        (doublings(30), (8, 8), r"for one picture, but at most 17,179,869,184 are allowed"),
        (doublings(5000), (8, 8), "for one picture, but at most"),
        (Chain(GlobalPool()), (2**20, 2**20), "input: 1,099,511,627,776 numbers for one picture"),
        (Chain(Pool("max", 1, stride=2), GlobalPool()), (30_000, 30_000), "one picture takes"),
        (Chain(*(Parallel(Identity(), Identity(), merge="concat") for _ in range(22)), GlobalPool()), (8, 8), "one picture takes"),
    ],
)
def test_a_small_file_that_claims_gigabytes_is_refused_at_once(tmp_path, monkeypatch, root, extent, words):
    network = Network("huge", (1, *extent), root)
    monkeypatch.setattr(Network, "output_shape", property(lambda _: (1,)))
    path = file_of(tmp_path / "m.safetensors", network.root, extent, monkeypatch)
    monkeypatch.undo()
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()

    with pytest.raises(RefusedFileError, match=words):
        load_model(path)
    assert time.monotonic() - start < 60  # a machine at work with other things is slow; the whole would take hours
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_windows_whose_strides_outgrow_a_float_are_refused_in_words():
    root = Chain(*(Pool("max", 1, stride=10**9) for _ in range(60)))

    with pytest.raises(RefusedFileError, match="network description: "):
        Network.from_json(json.dumps(Network("n", (1, 8, 8), root).to_data()))


def test_too_many_layers_are_refused():
    data = Network("n", (1, 8, 8), Chain(Identity())).to_data()
    data["root"]["children"] = [[f"a{i}", {"type": "Identity"}] for i in range(MAX_LAYERS)]

    with pytest.raises(RefusedFileError, match="more than 50,000 layers"):
        Network.from_data(data)


def test_a_picture_that_needs_more_memory_than_is_free_is_an_environment_fault_with_a_remedy(monkeypatch):
    root = Chain(Conv(64, 3), GlobalPool(), Linear(2))
    network = Network("wide", (1, 2048, 2048), root)
    spec = ImageSpec(height=2048, width=2048, channels=1, mean=(0.5,), std=(0.5,))
    model = striate.Model(model_file.ModelFile(network, network.build().eval(), ("a", "b"), spec, {}))
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 2**29)

    with pytest.raises(EnvironmentFault, match=r"wide: 1 pictures at once: 1,0\d\d MiB are needed, and 512 MiB are free") as fault:
        model.predict(np.zeros((1, 2048, 2048), np.uint8))
    assert "smaller pictures" in fault.value.remedy


def test_weights_that_need_more_memory_than_is_free_are_not_built(monkeypatch):
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 2**29)

    with pytest.raises(EnvironmentFault, match=r"vgg16: its 138,357,544 parameters: 528 MiB are needed, and 512 MiB are free"):
        striate.network("vgg16").build()
