"""Checkpoints give every tensor and number back exactly, and refuse what is not finite."""

import math
import os

import pytest
import torch

from striate.core.errors import EnvironmentFault, NumericError, RefusedFileError
from striate.core.sealed import write_sealed
from striate.engine.checkpoints import CheckpointStore, load_checkpoint


@pytest.fixture
def said():
    return []


@pytest.fixture
def store(tmp_path, said):
    return CheckpointStore(tmp_path / "checkpoints", say=said.append)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Bit for bit, dtype and shape too."""
    return one.dtype == other.dtype and one.shape == other.shape and one.numpy().tobytes() == other.contiguous().numpy().tobytes()


def test_a_checkpoint_gives_everything_back(store):
    torch.manual_seed(0)
    tensors = {
        "model": {"conv.weight": torch.randn(4, 3, 5, 2), "norm.num_batches_tracked": torch.tensor(7)},
        "ema": {"conv.weight": torch.randn(4, 3, 5, 2, dtype=torch.float64)},
        "optimizer": {"momentum.0": torch.randn(6), "flags": torch.tensor([True, False]), "none": torch.empty(0, 3)},
    }
    state = {"rows": [{"epoch": 1, "loss": 0.1 + 0.2, "val": math.inf}], "name": "größer", "large": 2**63 - 1, "tiny": 5e-324, "no": None}

    folder = store.save(120, tensors, state)
    checkpoint = store.load_latest()

    assert checkpoint is not None
    assert folder.name == "ckpt-00000120" and checkpoint.folder == folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "MANIFEST.json",
        "ema.safetensors",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    assert checkpoint.step == 120
    assert checkpoint.state == state
    assert {group: set(named) for group, named in checkpoint.tensors.items()} == {group: set(named) for group, named in tensors.items()}
    for group, named in tensors.items():
        assert all(same(checkpoint.tensors[group][name], tensor) for name, tensor in named.items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool])
def test_each_dtype_stays_as_it_is(store, dtype):
    tensor = (torch.arange(-6, 6).view(3, 4) / 7).to(dtype) if dtype is not torch.uint8 else torch.arange(12, dtype=dtype)

    store.save(1, {"model": {"w": tensor}}, {})
    back = store.load_latest().tensors["model"]["w"]

    assert back.dtype == dtype
    assert torch.equal(back, tensor)


def test_values_at_the_edge_stay_to_the_bit(store):
    """Negative zero, the smallest denormal, the largest finite number."""
    edges = torch.tensor([-0.0, 1e-45, torch.finfo(torch.float32).max, torch.finfo(torch.float32).tiny])

    store.save(1, {"model": {"w": edges}}, {})

    assert same(store.load_latest().tensors["model"]["w"], edges)


def test_memory_formats_views_and_shared_weights_are_written_by_their_values(store):
    base = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    named = {
        "channels_last": base.contiguous(memory_format=torch.channels_last),
        "view": base[:, 1],
        "transposed": base.transpose(1, 3),
        "tied": base,
        "tied_again": base,
        "expanded": torch.ones(1, 3).expand(4, 3),
        "parameter": torch.nn.Parameter(base[0]),
    }

    store.save(1, {"model": named}, {})
    back = store.load_latest().tensors["model"]

    assert all(torch.equal(back[name], tensor) for name, tensor in named.items())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("group", ["model", "ema", "optimizer"])
def test_what_is_not_finite_is_never_saved(store, group, value):
    good = {"model": {"a": torch.zeros(2)}, "ema": {"a": torch.zeros(2)}, "optimizer": {"a": torch.zeros(2)}}
    store.save(10, good, {})
    bad = {**good, group: {"b": torch.ones(3), "c": torch.tensor([1.0, value])}}

    with pytest.raises(NumericError, match=rf"no checkpoint of step 20: {group}: c holds NaN or Inf") as error:
        store.save(20, bad, {})

    assert error.value.exit_code == 5
    assert sorted(path.name for path in store.series.directory.iterdir()) == ["ckpt-00000010", "latest"]


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_it_loaded(store, said):
    for step in (10, 20):
        store.save(step, {"model": {"w": torch.tensor([float(step)])}}, {"n": step})
    path = store.series.directory / "ckpt-00000020" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    checkpoint = store.load_latest()

    assert checkpoint is not None
    assert (checkpoint.step, checkpoint.state, checkpoint.tensors["model"]["w"].item()) == (10, {"n": 10}, 10.0)
    (line,) = said
    assert str(path) in line and "continuing from the previous one: ckpt-00000010" in line
    with pytest.raises(RefusedFileError, match="ckpt-00000020") as error:
        store.load_latest(strict=True)
    assert error.value.exit_code == 7


def test_none_is_none(store):
    assert store.load_latest() is None


def test_the_warning_goes_to_stderr_where_nobody_takes_it(tmp_path, capsys):
    store = CheckpointStore(tmp_path)
    for step in (1, 2):
        store.save(step, {}, {})
    (tmp_path / "ckpt-00000002" / "state.json").unlink()

    store.load_latest()

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("WARNING: a checkpoint is damaged:\n")


def test_saving_onto_what_was_loaded_keeps_the_values(store):
    """Ten times: load, and save under the same step while the loaded tensors are in use."""
    tensors = {"model": {"w": torch.arange(1000.0)}}
    store.save(5, tensors, {})
    for _ in range(10):
        checkpoint = store.load_latest()
        store.save(5, checkpoint.tensors, checkpoint.state)
        assert torch.equal(checkpoint.tensors["model"]["w"], tensors["model"]["w"])

    assert torch.equal(store.load_latest().tensors["model"]["w"], tensors["model"]["w"])


def test_the_space_that_is_needed_is_said(store, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(EnvironmentFault, match=r"ckpt-00000001: no space left on the device; [\d,]+ bytes are free and 8,0\d\d bytes are"):
        store.save(1, {"model": {"w": torch.zeros(2000)}}, {})


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([("model.safetensors", b"no tensors"), ("state.json", b"{}")], r"model\.safetensors: cannot be read"),
        ([("state.json", b"{")], r"state\.json: cannot be read"),
        ([("state.json", b'{"step": "1", "state": {}}')], r"state\.json: must have a step and a state"),
        ([("model.safetensors", b"\x02\0\0\0\0\0\0\0{}")], r"state\.json: must have a step and a state"),
    ],
)
def test_a_whole_folder_that_is_no_checkpoint_is_refused(tmp_path, files, words):
    write_sealed(tmp_path / "ckpt-00000001", files)

    with pytest.raises(RefusedFileError, match=words):
        load_checkpoint(tmp_path / "ckpt-00000001")
