"""Evaluation mode is borrowed: each part gets its own mode back."""

import pytest
from torch import nn

from striate.core.modes import evaluation_mode


def mixed_modes() -> nn.Sequential:
    """A training model in which one batch normalization is frozen."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.5)))
    model.train()
    model[1][0].eval()
    return model


def test_each_part_gets_its_own_mode_back():
    model = mixed_modes()
    before = [part.training for part in model.modules()]

    with evaluation_mode(model) as borrowed:
        within = [part.training for part in model.modules()]

    assert borrowed is model
    assert within == [False] * 5
    assert [part.training for part in model.modules()] == before == [True, True, True, False, True]


def test_modes_come_back_after_an_error():
    model = mixed_modes()

    with pytest.raises(ZeroDivisionError), evaluation_mode(model):
        _ = 1 / 0

    assert [part.training for part in model.modules()] == [True, True, True, False, True]
