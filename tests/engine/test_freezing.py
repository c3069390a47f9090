"""Parts that are kept as they are."""

from __future__ import annotations

import pytest
import torch

from striate.core.errors import UnknownNameError
from striate.engine.fit import fit
from striate.engine.freezing import parts_named
from striate.engine.settings import TrainSettings

PLAIN = {"precision": "float32", "learning_rate": 0.05, "warmup_epochs": 0.0, "device": "cpu", "epochs": 3}


def moved(model, before) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


def copied(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_a_frozen_part_keeps_weights_and_statistics_and_is_free_again_afterwards(make_model, make_batches):
    model = make_model()
    before = copied(model)

    list(fit(model, make_batches(3), TrainSettings(**PLAIN, freeze=("0", "1"))))

    assert moved(model, before) == {"6.weight", "6.bias"}
    assert all(param.requires_grad for param in model.parameters())
    assert model.training


def test_unfreezing_goes_from_the_last_part_to_the_first_an_epoch_each(make_model, make_batches):
    model = make_model()
    before = copied(model)
    training = fit(model, make_batches(3), TrainSettings(**PLAIN, freeze=("0", "1"), unfreeze_every=1))

    seen = [moved(model, before) - {"0.bias"} for event in training if event.row]  # the norm takes that bias away: it has no gradient

    norm = {"1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert seen == [{"6.weight", "6.bias"}, {"6.weight", "6.bias"} | norm, {"6.weight", "6.bias", "0.weight"} | norm]


def test_a_path_need_not_name_what_wraps_the_network_and_may_have_stars():
    wrapped = torch.nn.ModuleDict({"network": torch.nn.ModuleDict({"stem": torch.nn.Linear(2, 3), "stage1": torch.nn.Linear(3, 4)})})

    assert [name for name, _ in parts_named(wrapped, "stem")] == ["network.stem"]
    assert [name for name, _ in parts_named(wrapped, "network.st*")] == ["network.stem", "network.stage1"]
    with pytest.raises(UnknownNameError, match=r"unknown part of the network 'stam'\nDid you mean .*\? Its parts are stem, stage1\."):
        parts_named(wrapped, "stam")
    with pytest.raises(UnknownNameError, match=r"unknown part of the network 'layer9'\nIts parts are stem, stage1\."):
        parts_named(wrapped, "layer9")
