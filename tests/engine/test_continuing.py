"""A training that is written down after any update and continued elsewhere ends as the straight one, bit for bit."""

from __future__ import annotations

import json
import math

import pytest
import torch

from striate.engine.fit import fit
from striate.engine.settings import TrainSettings

BASE = {"precision": "float32", "learning_rate": 0.05, "warmup_epochs": 0.7, "device": "cpu", "epochs": 3, "weight_decay": 0.01}
WAYS = {
    "sgd with momentum": {},
    "adamw, mean of the weights, parts": {"optimizer": "adamw", "learning_rate": 0.01, "ema": 0.8, "accumulate": 3},
    "average of the epochs' ends": {"swa_start": 0.3, "optimizer": "radam", "learning_rate": 0.01},
    "lookahead, plateau": {"optimizer": "rmsprop", "learning_rate": 0.003, "lookahead": 2, "schedule": "plateau", "plateau_epochs": 1},
    "muon, unfreezing": {"optimizer": "muon", "learning_rate": 0.01, "freeze": ("0", "1"), "unfreeze_every": 1},
}


def written(training) -> tuple[str, dict[str, dict[str, torch.Tensor]]]:
    """What a checkpoint holds of a training, as it passes through files."""
    tensors = {file: {name: tensor.clone() for name, tensor in part.items()} for file, part in training.tensors().items()}
    return json.dumps(training.state()), tensors


def told(events) -> list[tuple[object, ...]]:
    """The rows without their times."""
    return [(event.row._replace(seconds=0.0, images_per_second=0.0), event.is_best) for event in events if event.row]


def start(make_model, make_batches, chosen):
    return fit(make_model(dropout=0.4), make_batches(4), chosen, val_batches=make_batches(2, seed=1))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_continued_from_any_update_it_ends_as_the_straight_one(make_model, make_batches, way):
    chosen = TrainSettings(**{**BASE, **way})
    straight = start(make_model, make_batches, chosen)
    notes, rows_before, events = [], [], []
    for event in straight:
        events.append(event)
        notes.append(written(straight))
        rows_before.append(len(told(events)))
    end = written(straight)
    assert len(notes) == 15  # 12 updates, 3 epochs

    for (state, tensors), before in zip(notes, rows_before, strict=True):
        continued = start(make_model, make_batches, chosen)
        continued.load_state(json.loads(state), tensors)
        rows = told(continued)

        last, kept = written(continued)
        ours, theirs = json.loads(last), json.loads(end[0])
        ours["tally"].pop("seconds"), theirs["tally"].pop("seconds")
        assert ours == theirs
        assert rows == told(events)[before:]
        for file, part in end[1].items():
            assert list(kept[file]) == list(part)
            assert all(torch.equal(kept[file][name], value) for name, value in part.items())


def test_a_written_state_is_plain_json_and_its_tensors_are_finite(make_model, make_batches):
    training = start(make_model, make_batches, TrainSettings(**BASE))
    next(iter(training))

    state, tensors = written(training)

    assert "NaN" not in state and "Infinity" not in state
    assert all(torch.isfinite(tensor).all() for part in tensors.values() for tensor in part.values())
    assert math.isnan(start(make_model, make_batches, TrainSettings(**BASE)).rate)
