"""Each opening of a run's test split is counted, whatever the network answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.networks.layers import Chain, Conv, Flatten, Linear
from striate.networks.network import Network
from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate

RNG = np.random.default_rng(0)
HEIGHT, WIDTH, COUNT = 8, 9, 24
TARGETS = {
    "classify": np.arange(COUNT) % 2,
    "regression": RNG.normal(size=(COUNT, 2)),
    "multilabel": RNG.integers(0, 2, (COUNT, 2)),
}


def data_of(task: str, folder: Path) -> tuple[Path, Network]:
    """Noise with targets of the task, and a network for them."""
    if task != "segment":
        pictures = RNG.integers(0, 256, (COUNT, HEIGHT, WIDTH), dtype=np.uint8)
        y = TARGETS[task]
        np.savez(folder / "data.npz", x_train=pictures, y_train=y, x_test=pictures[:6], y_test=y[:6])
        return folder / "data.npz", Network("tiny", (1, HEIGHT, WIDTH), Chain(Flatten(), Linear(2)))
    for split in ("train", "test"):
        for kind, top in (("images", 256), ("masks", 2)):
            (folder / split / kind).mkdir(parents=True)
            for number in range(8):
                array = RNG.integers(0, top, (HEIGHT, WIDTH), dtype=np.uint8)
                Image.fromarray(array).save(folder / split / kind / f"{number}.png")
    return folder, Network("tiny", (1, HEIGHT, WIDTH), Chain(Conv(2, 3, padding=1)))


@pytest.mark.parametrize("task", ["classify", "regression", "multilabel", "segment"])
def test_openings_are_counted_and_said_from_the_second_on(tmp_path, task):
    data, net = data_of(task, tmp_path)
    run, said = tmp_path / "run", []
    striate.train(data, network=net, task=task, steps=1, batch_size=8, output=run, diagnose=False)

    opened = [(run, "val"), (run, "test"), (run / "best.safetensors", "test")]  # a run's model file is the run's, too
    reports = [evaluate(EvaluateRequest(run=model, split=split), say=said.append) for model, split in opened]

    assert [report.test_openings for report in reports] == [None, 1, 2]
    lines = (run / "test-openings.jsonl").read_text().splitlines()
    assert len(lines) == 2 and '"evaluate"' in lines[0]
    assert [text for text in said if text.startswith("test:")] == [
        "test: opened 2 times by now; choose between models by val, or test comes out better than it is"
    ]
