"""The journal of a run tells when it was started and continued, and forgets what came after the checkpoint it went on from."""

import json

import numpy as np
import pytest

from striate.core.journal import read_journal
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import Silence
from striate.workflows.training.train import train


class Cut(Silence):
    """Ends the program at an update, as a kill would."""

    def __init__(self, at: int) -> None:
        self.at, self.steps = at, 0

    def step(self, epoch: int, step: int, num_steps: int) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise KeyboardInterrupt


def told(journal) -> list[tuple[int, str]]:
    return [(line["step"], line["event"]) for line in journal]


def test_a_run_that_is_cut_off_and_continued_has_one_history(tmp_path):
    values = np.random.default_rng(0)
    labels = values.integers(0, 3, 60)
    images = values.integers(0, 256, (60, 8, 10), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x_train=images, y_train=labels, x_val=images[:12], y_val=labels[:12])
    run = tmp_path / "run"
    request = TrainRequest(data=tmp_path / "data.npz", network="compact_cnn", epochs=3, batch_size=20, checkpoint_every=2, output=run)

    with pytest.raises(KeyboardInterrupt):
        train(request, watch=Cut(at=5))  # after the checkpoint of update 4, and the end of epoch 1 at update 3
    before = read_journal(run / "events.jsonl")
    with (run / "events.jsonl").open("a") as file:
        file.write(json.dumps({"step": 5, "event": "lost"}) + '\n{"half')
    train(TrainRequest(resume=run))

    assert told(before) == [(0, "started"), (0, "checkpoint"), (2, "checkpoint"), (3, "epoch"), (4, "checkpoint")]
    after = read_journal(run / "events.jsonl")
    assert after[:5] == before
    assert [line for line in told(after[5:]) if line[1] != "checkpoint"] == [(4, "continued"), (6, "epoch"), (9, "epoch")]
    assert [line["epoch"] for line in after if line["event"] == "epoch"] == [1, 2, 3]
