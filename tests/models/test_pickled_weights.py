"""Files of weights as PyTorch writes them: tensors are read out of what trainers put around them; all else is refused, not run."""

from __future__ import annotations

import io
import os
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from striate.core.errors import RefusedFileError
from striate.models.pickled_weights import is_pickled, pickled_tensors


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3), norm=nn.BatchNorm2d(2)))


STATE = net().state_dict()
FORMS = {
    "plain": STATE,
    "state_dict": {"epoch": 3, "state_dict": STATE, "optimizer": {"lr": 0.1, "momentum": [torch.ones(2)]}},
    "nested": {"model": {"state_dict": STATE}, "args": {"model": "mine"}},
    "parallel": {f"module.{name}": tensor for name, tensor in STATE.items()},
    "compiled": {"model": {f"_orig_mod.module.{name}": tensor for name, tensor in STATE.items()}},
    "lightning": {"state_dict": {f"model.{name}": tensor for name, tensor in STATE.items()}, "hyper_parameters": {"lr": 1}},
    "parameters": {name: nn.Parameter(tensor) if tensor.is_floating_point() else tensor for name, tensor in STATE.items()},
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_weights_are_found_in_what_trainers_put_around_them(tmp_path: Path, form: str, legacy: bool):
    torch.save(FORMS[form], tmp_path / "weights.pth", _use_new_zipfile_serialization=not legacy)
    assert is_pickled(tmp_path / "weights.pth")

    found = pickled_tensors(tmp_path / "weights.pth")

    assert list(found) == list(STATE)
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True])
def test_what_would_run_is_refused_and_not_run(tmp_path: Path, legacy: bool):
    torch.save({"state_dict": STATE, "more": Runs(tmp_path / "ran")}, tmp_path / "bad.pth", _use_new_zipfile_serialization=not legacy)

    with pytest.raises(RefusedFileError, match=r"bad\.pth: holds more than tensors \(posix\.mkdir\)") as caught:
        pickled_tensors(tmp_path / "bad.pth")

    assert "torch.save(model.state_dict(), FILE)" in str(caught.value.remedy)
    assert not (tmp_path / "ran").exists()


def test_a_whole_module_is_refused_with_the_remedy(tmp_path: Path):
    torch.save(net(), tmp_path / "module.pt")

    with pytest.raises(RefusedFileError, match=r"module\.pt: holds more than tensors \(torch\.nn\.modules\.container\.Sequential\)"):
        pickled_tensors(tmp_path / "module.pt")


def test_damaged_files_and_other_contents_are_named(tmp_path: Path):
    whole = io.BytesIO()
    torch.save(STATE, whole)
    (tmp_path / "cut.pth").write_bytes(whole.getvalue()[:-200])
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("notes.txt", "no weights")
    torch.save([torch.ones(3)], tmp_path / "list.pth")
    torch.save({"epoch": 3, "args": {"lr": 1.0}}, tmp_path / "none.pth")
    torch.save({"weight": torch.full((2,), float("inf"))}, tmp_path / "inf.pth")
    torch.save({"weight": torch.ones(1).expand(1 << 20)}, tmp_path / "wide.pth")
    torch.save({"weight": torch.eye(3).to_sparse()}, tmp_path / "sparse.pth")
    for name, words in (
        ("cut.pth", "a damaged file of weights"),
        ("other.pth", "a damaged file of weights"),
        ("list.pth", "holds no named tensors, but a list"),
        ("none.pth", "holds no named tensors, but the names epoch, args"),
        ("inf.pth", "tensor weight holds NaN or Inf"),
        ("wide.pth", r"tensor weight has the shape \(1048576,\), more than the file holds"),
        ("sparse.pth", "tensor weight is sparse"),
    ):
        with pytest.raises(RefusedFileError, match=words) as caught:
            pickled_tensors(tmp_path / name)
        assert name in caught.value.message


def test_another_file_than_the_published_one_is_refused(tmp_path: Path):
    torch.save(STATE, tmp_path / "weights.pth")

    with pytest.raises(RefusedFileError, match="its SHA-256 is another"):
        pickled_tensors(tmp_path / "weights.pth", sha256="00000000")
