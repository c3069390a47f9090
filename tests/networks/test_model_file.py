"""Model files: what goes in comes out, and what is damaged, edited or foreign is refused."""

import json
import pickle
import struct

import numpy as np
import pytest
import safetensors.torch
import torch

from striate.core.errors import NumericError, RefusedFileError, UsageError
from striate.core.images import ImageSpec
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, GlobalPool, Linear
from striate.networks.model_file import load_model, save_model
from striate.networks.network import Network

IMAGES = ImageSpec(height=6, width=5, channels=2, mean=(0.4, 0.5), std=(0.2, 0.3))
CLASSES = ("ant", "bee", "crab")


def small_network(width: int = 4) -> Network:
    root = Chain(Conv(width, 3, bias=False), BatchNorm(), Activation("relu"), GlobalPool(), Linear(3))
    return Network("small", (2, 6, 5), root)


@pytest.fixture
def saved(tmp_path):
    network, path = small_network(), tmp_path / "best.safetensors"
    state = network.build().state_dict()
    save_model(path, network, state, classes=CLASSES, images=IMAGES, info={"seed": 3})
    return path, state


def rewritten(path, change):
    """The file with its `striate` header changed by `change`, tensors as they were."""
    data = path.read_bytes()
    tensors = safetensors.torch.load(data)
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["striate"])
    change(header, tensors)
    path.write_bytes(safetensors.torch.save(tensors, {"striate": json.dumps(header)}))


def test_a_model_file_gives_back_network_classes_images_and_weights(saved):
    path, state = saved

    file = load_model(path)

    assert (file.network, file.classes, file.images, file.info) == (small_network(), CLASSES, IMAGES, {"seed": 3})
    assert not file.module.training
    for name, tensor in file.module.state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=0, atol=0)


def test_saving_what_was_loaded_gives_equal_bytes(saved, tmp_path):
    path, _ = saved
    file = load_model(path)

    again = tmp_path / "again.safetensors"
    save_model(again, file.network, file.module.state_dict(), classes=file.classes, images=file.images, info=file.info)

    assert again.read_bytes() == path.read_bytes()


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    network, path = small_network(), tmp_path / "best.safetensors"
    state = network.build().state_dict()
    state["linear.bias"][1] = float("nan")

    with pytest.raises(NumericError, match=r"linear\.bias holds NaN"):
        save_model(path, network, state, classes=CLASSES, images=IMAGES, info={})
    assert list(tmp_path.iterdir()) == []


def test_every_single_flipped_byte_is_refused(saved):
    path, _ = saved
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.choice(len(good), 100, replace=False):
        bad = bytearray(good)
        bad[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(bad))
        try:
            load_model(path)
        except RefusedFileError:
            refused += 1
        else:  # only white space in the header can change without a trace
            length = struct.unpack("<Q", good[:8])[0]
            assert 8 <= place < 8 + length
    assert refused >= 95


@pytest.mark.parametrize("size", [0, 1, 7, 8, 60, 400, -1])
def test_a_truncated_file_is_refused_by_name(saved, size):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:size])

    with pytest.raises(RefusedFileError, match=r"best\.safetensors"):
        load_model(path)


def test_a_pickle_is_refused_and_never_run(tmp_path):
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self):
            return (open, (str(canary), "w"))

    for name, data in (("model.pt", pickle.dumps(Bomb())), ("model.safetensors", pickle.dumps(Bomb())), ("model.pth", b"PK\x03\x04")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(RefusedFileError, match="pickle or PyTorch archive"):
            load_model(tmp_path / name)
    assert not canary.exists()


def test_plain_safetensors_without_a_description_is_refused(tmp_path):
    path = tmp_path / "plain.safetensors"
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(2)}))

    with pytest.raises(RefusedFileError, match="without a Striate description"):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda header, _: header["classes"].reverse(), "does not match its SHA-256"),
        (lambda _, tensors: tensors["linear.bias"].add_(1), "does not match its SHA-256"),
        (lambda header, _: header.pop("images"), "must have the fields"),
        (lambda header, _: header.update(format=2), "another format"),
    ],
)
def test_an_edited_file_is_refused(saved, change, words):
    path, _ = saved
    rewritten(path, change)

    with pytest.raises(RefusedFileError, match=words):
        load_model(path)


def sealed(path, change):
    """The file changed by `change` with its SHA-256 made anew, as a determined forger would."""
    from striate.core.tensor_files import digest

    def change_and_seal(header, tensors):
        change(header, tensors)
        header["sha256"] = digest({k: v for k, v in header.items() if k != "sha256"}, tensors)

    rewritten(path, change_and_seal)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda header, _: header.update(network=small_network(width=5).to_data()), r"needs \d+ parameters"),
        (lambda header, _: header.update(network=small_network(width=3).to_data()), r"conv\.weight is \(4, 2, 3, 3\) instead of"),
        (lambda header, _: header.update(network=small_network(width=10**6).to_data()), "the description needs"),
        (lambda header, _: header.update(classes=["ant", "bee"]), "3 outputs for 2 classes"),
        (lambda header, _: header.update(classes=["ant", "bee", "bee"]), "distinct names"),
        (lambda header, _: header["network"]["root"]["children"][0][1].update(type="os.system"), "unknown layer type 'os.system'"),
        (lambda header, _: header["network"]["root"]["children"][0][1].update(out_channels=-1), "out_channels"),
        (lambda header, _: header["network"]["root"]["children"][0][1].update(_target_="os.system"), "_target_"),
        (lambda header, _: header["images"].update(std=[0.0, 1.0]), "std positive"),
        (lambda _, tensors: tensors.pop("linear.bias"), r"missing linear\.bias|needs"),
        (lambda _, tensors: tensors.update({"../x": torch.zeros(1)}), r"unexpected \.\./x"),
        (lambda _, tensors: tensors["linear.bias"].fill_(float("nan")), "NaN"),
    ],
)
def test_a_sealed_file_whose_parts_do_not_fit_is_refused(saved, change, words):
    path, _ = saved
    sealed(path, change)

    with pytest.raises(RefusedFileError, match=words):
        load_model(path)


def test_the_file_can_be_read_as_the_umask_says(saved):
    path, _ = saved
    import os

    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("length", [640, 896, 1152, 1408, 19280])
def test_a_model_whose_header_reads_like_a_pickle_is_opened(tmp_path, length):
    """These lengths, little-endian, are how pickles of protocol 2 to 5 and archives begin."""
    network = Network("n", (1, 6, 5), Chain(GlobalPool(), Linear(2)))
    images, path = ImageSpec(height=6, width=5, channels=1, mean=(0.5,), std=(0.5,)), tmp_path / "best.safetensors"
    if length < 1000:
        network = Network("n", (1, 6, 5), Chain(GlobalPool()))

    def save(words: int) -> int:
        classes = ("a", "b") if length >= 1000 else ("a",)
        save_model(path, network, network.build().state_dict(), classes=classes, images=images, info={"x": "x" * words})
        return struct.unpack("<Q", path.read_bytes()[:8])[0]

    words = length - save(0)
    assert save(words) == length
    assert len(load_model(path).info["x"]) == words


def test_a_model_that_could_not_be_opened_is_not_saved(saved):
    path, state = saved
    before = path.read_bytes()

    with pytest.raises(UsageError, match=r"not saved, because it could not be opened again: .*3 outputs for 2 classes"):
        save_model(path, small_network(), state, classes=("ant", "bee"), images=IMAGES, info={})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda header, _: header.update(classes=["ant", "bee", "\ud800"]), r"the class '\\ud800' is not valid text"),
        (lambda header, _: header.update(targets={"task": "regression", "mean": [0, 0, 1e999], "std": [1, 1, 1]}), r"finite number"),
        (lambda header, _: header["info"].update(loss=float("nan")), r"finite number"),
    ],
)
def test_names_that_are_no_text_and_numbers_that_are_none_are_refused(saved, change, words):
    path, _ = saved
    sealed(path, change)

    with pytest.raises(RefusedFileError, match=words):
        load_model(path)


def test_the_name_of_data_that_is_no_utf_8_is_kept(tmp_path):
    network, path = small_network(), tmp_path / "best.safetensors"
    save_model(path, network, network.build().state_dict(), classes=CLASSES, images=IMAGES, info={"data": "caf\udce9"})

    assert load_model(path).info == {"data": "caf\udce9"}
