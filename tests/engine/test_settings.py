"""Settings are checked where they are made, and name the field."""

import dataclasses

import pytest
from pydantic import ValidationError

from striate.engine.settings import TrainSettings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", -1),
        ("steps", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("momentum", 1.0),
        ("weight_decay", -1e-4),
        ("optimizer", "lyon"),
        ("schedule", "lineal"),
        ("smoothing", 1.5),
        ("max_grad_norm", 0.0),
        ("patience", 0),
        ("precision", "float16"),
        ("warmup_epochs", -1.0),
        ("step_at", (0.5, 2.0)),
        ("seed", -1),
        ("lr", 0.1),
    ],
)
def test_a_bad_setting_names_its_field(field, value):
    with pytest.raises(ValidationError) as error:
        TrainSettings(**{field: value})

    assert error.value.errors()[0]["loc"][0] == field


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainSettings().epochs = 3
