"""Trainings in poor surroundings: no terminal, no output, few files, other folders, other orders, a clock that jumps, a disk that fills."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from striate.core.journal import read_journal
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.train import train

SOURCE = Path(__file__).parents[2] / "src" / "striate"
FLAGS = ("--model", "compact_cnn", "--steps", "4", "--batch-size", "16", "--checkpoint-every", "2", "--no-diagnose")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="limits and mounts as Linux has them")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Three classes of 8 x 10 pictures, whose names do not sort as they were made."""
    root = tmp_path_factory.mktemp("data") / "pictures"
    values = np.random.default_rng(0)
    for number, name in enumerate(("a", "B", "ä")):
        (root / name).mkdir(parents=True)
        for index in values.permutation(14):
            array = values.integers(60 * number, 60 * number + 100, (8, 10, 3), dtype=np.uint8)
            Image.fromarray(array).save(root / name / f"{index}.png")
    return root


def sha(run: Path) -> str:
    return hashlib.sha256((run / "best.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def wanted(pictures, tmp_path_factory) -> str:
    """The model of a training in this process."""
    run = tmp_path_factory.mktemp("runs") / "plain"
    train(TrainRequest(data=pictures, network="compact_cnn", steps=4, batch_size=16, checkpoint_every=2, diagnose=False, output=run))
    return sha(run)


def started(script: str, *words: object, **setting: str) -> subprocess.CompletedProcess[str]:
    """The command line in a shell, where `script` says STRIATE."""
    line = script.replace("STRIATE", '"$0" -m striate "$@"')
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **setting}
    return subprocess.run(
        ["sh", "-c", line, sys.executable, *map(str, words)], env=environment, capture_output=True, text=True, check=False
    )


# ---- what must not matter


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "setting"),
    [
        ("STRIATE >&- 2>&-", {"COLUMNS": "1", "LANG": "C", "LC_ALL": "C", "TERM": "dumb"}),
        ("STRIATE 2>&1 | head -n 1", {}),
        ("cd / && ulimit -n 64 && STRIATE </dev/null", {"PYTHONHASHSEED": "random", "TZ": "Nowhere/At_All"}),
    ],
    ids=[
        "outputs closed, one column, C locale",
        "nobody reads on after a line",
        "64 files, another folder, random hashes, no such time zone",
    ],
)
def test_surroundings_change_no_bit_of_a_training(pictures, wanted, tmp_path, script, setting):
    run = tmp_path / "run"

    ended = started(script, "train", pictures, "--output", run, *FLAGS, **setting)

    assert (ended.returncode, sha(run)) == (0, wanted), ended.stderr


def test_the_order_in_which_the_system_lists_files_changes_no_bit(pictures, wanted, tmp_path, monkeypatch):
    scan, listed, chance = os.scandir, os.listdir, random.Random(1)

    class Shuffled:
        """What a listing of a folder can do, in another order."""

        def __init__(self, path: object = ".") -> None:
            with scan(path) as found:
                entries = list(found)
            self.entries = iter(chance.sample(entries, len(entries)))

        def __iter__(self):
            return self

        def __next__(self):
            return next(self.entries)

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def close(self) -> None:
            self.entries = iter(())

    monkeypatch.setattr(os, "scandir", Shuffled)
    monkeypatch.setattr(os, "listdir", lambda path=".": chance.sample(names := listed(path), len(names)))
    run = tmp_path / "run"
    train(TrainRequest(data=pictures, network="compact_cnn", steps=4, batch_size=16, checkpoint_every=2, diagnose=False, output=run))

    assert sha(run) == wanted


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0, -50 * 365.25 * 86_400.0])
def test_a_clock_that_jumps_while_training_changes_neither_bits_nor_durations(pictures, wanted, tmp_path, monkeypatch, jump):
    import time

    wall, calls = time.time, []

    def jumping() -> float:
        calls.append(1)
        return wall() + (jump if len(calls) % 2 else 0.0)

    monkeypatch.setattr(time, "time", jumping)
    run = tmp_path / "run"
    report = train(
        TrainRequest(data=pictures, network="compact_cnn", steps=4, batch_size=16, checkpoint_every=2, diagnose=False, output=run)
    )

    assert sha(run) == wanted
    assert 0 < report.seconds < 300
    assert [line["step"] for line in read_journal(run / "events.jsonl")] == sorted(
        line["step"] for line in read_journal(run / "events.jsonl")
    )


def test_durations_are_measured_by_a_clock_that_nobody_sets():
    """Only what is compared with dates of files, or written down as a date, asks what time it is."""
    users = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if re.search(r"\btime\.time\(\)", path.read_text())}

    assert users <= {"workflows/ablation/trials.py", "workflows/training/logs.py"}


def test_another_number_of_threads_changes_no_more_than_the_rounding(tmp_path):
    """Sums are taken in other parts; batch norms and Adam's quotient enlarge that, as `docs/log.md` says in numbers."""
    values, labels = np.random.default_rng(0), np.arange(96) % 3
    images = (values.integers(0, 120, (96, 32, 28, 3)) + 40 * labels[:, None, None, None]).astype(np.uint8)
    before, weights = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            given = {"network": "cifar_notes", "steps": 3, "batch_size": 48, "optimizer": "sgd", "precision": "float32", "diagnose": False}
            train(TrainRequest(data=(images, labels), **given, output=tmp_path / str(threads)))
            weights.append(load_file(tmp_path / str(threads) / "best.safetensors"))
    finally:
        torch.set_num_threads(before)

    assert all(np.abs(array - weights[1][name]).max() < 1e-5 for name, array in weights[0].items())


# ---- what must be said


@linux_only
@pytest.mark.release
def test_a_disk_that_fills_between_two_checkpoints_ends_the_run_in_words_and_it_goes_on_to_the_bit(pictures, wanted, tmp_path):
    """The disk is a file system of 6 MB, of which another program takes the rest when the first checkpoints are there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if subprocess.run([*mounted, 'mount -t tmpfs -o size=12m none "$0"', str(disk)], capture_output=True, check=False).returncode:
        pytest.skip("this system does not let a test mount a file system")
    script = """
mount -t tmpfs -o size=12m none "$0"; cd "$0"
python=$1; shift
( while [ ! -e run/checkpoints/ckpt-00000002 ]; do sleep 0.01; done; cat /dev/zero > filler 2>/dev/null ) &
"$python" -m striate train "$1" --output run $2; echo "code $?"
wait; rm filler
"$python" -m striate train --resume run --checkpoint-every 2 --no-diagnose; echo "code $?"
sha256sum run/best.safetensors; find run -name '.*.tmp-*'
"""
    flags = " ".join(FLAGS).replace("--steps 4", "--steps 100")
    ended = subprocess.run(
        [*mounted, script, str(disk), sys.executable, str(pictures), flags],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    codes = re.findall(r"^code (\d+)$", ended.stdout, re.MULTILINE)
    assert codes == ["4", "0"], ended.stdout + ended.stderr
    assert re.search(r"error: run/\S+: no space left on the device", ended.stderr)
    straight = tmp_path / "straight"
    train(TrainRequest(data=pictures, network="compact_cnn", steps=100, batch_size=16, diagnose=False, output=straight))
    assert ended.stdout.splitlines()[-1].split()[0] == sha(straight)
