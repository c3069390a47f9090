"""Each opening of a run's test split is counted, whatever the network answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.networks.layers import Chain, Conv, Flatten, Linear
from striate.networks.network import Network
from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate
from striate.workflows.subjects.openings import openings_of

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
        "test: used 2 times by now; select models on val, or the test result becomes optimistic"
    ]


def test_openings_of_other_pictures_are_counted_apart(tmp_path):
    """Two folders of one name hold other pictures, and the same pictures lie in two places."""
    for name in ("mine", "yours", "copy"):
        (tmp_path / name).mkdir()
    data, net = data_of("classify", tmp_path / "mine")
    other, _ = data_of("classify", tmp_path / "yours")
    copy = shutil.copy(data, tmp_path / "copy" / "data.npz")
    run = tmp_path / "run"
    striate.train(data, network=net, steps=1, batch_size=8, output=run, diagnose=False)

    reports = [evaluate(EvaluateRequest(run=run, data=given, split="test")) for given in (data, other, other, copy, data)]

    assert [report.test_openings for report in reports] == [1, 1, 2, 2, 3]
    assert openings_of(run, "data") == 3  # of those that were opened last


def test_openings_that_an_older_version_counted_still_count(tmp_path):
    data, net = data_of("classify", tmp_path)
    run = tmp_path / "run"
    striate.train(data, network=net, steps=1, batch_size=8, output=run, diagnose=False)
    lines = [{"time": "2026-01-01T00:00:00+00:00", "verb": "evaluate", "data": name} for name in ("data", "elsewhere")]
    (run / "test-openings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert evaluate(EvaluateRequest(run=run, split="test")).test_openings == 2
