"""Something goes wrong in one of two processes: both end, soon, with the cause; and a run goes on in another number of processes."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),  # longer than the limits below
    pytest.mark.skipif(sys.platform != "linux", reason="signals and processes as Linux has them"),
]
PROGRAM = Path(__file__).with_name("faulty_process.py")
SETTING = {**os.environ, "OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "10000", "WORLD_SIZE": "2", "STRIATE_PROCESS_TIMEOUT": "60"}


@pytest.fixture
def pair(ranks, tmp_path) -> Callable[[str], list[tuple[int, str, str]]]:
    """Exit code, stdout and stderr of two processes, of which one has a fault of a kind."""

    def ended(kind: str) -> list[tuple[int, str, str]]:
        both = ranks([{"folder": tmp_path, "file": str(PROGRAM), "words": [kind]}] * 2, STRIATE_PROCESS_TIMEOUT="60")
        return [(each.wait(), each.output, each.errors) for each in both]

    return ended


def test_nan_in_one_process_ends_both_at_the_same_update_with_5(pair):
    for code, out, errors in pair("nan"):
        assert code == 5, errors
        assert out.split()[-1] == "2"
        assert errors.startswith("numeric: the loss is not finite at step 3")


@pytest.mark.release
def test_too_little_memory_in_one_process_divides_the_batch_in_both(pair):
    for code, out, errors in pair("memory"):
        assert code == 0, errors
        assert "out of memory at step 3: batches of 6 are now computed in 2 parts of 3, with the same update" in out
        assert out.split()[-1] == "8"


@pytest.mark.release
def test_an_error_in_one_process_ends_the_other_which_names_it(pair):
    (first, _, told), (second, _, cause) = pair("raises")

    assert (first, second) == (4, 3)
    assert cause.startswith("data: pictures/7.png: cannot be read")
    assert "process 1 of 2 (from 0) has ended or does not answer" in told


@pytest.mark.release
def test_a_port_that_is_taken_is_said_with_the_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        setting = {**SETTING, "RANK": "0", "LOCAL_RANK": "0", "MASTER_PORT": port, "STRIATE_PROCESS_TIMEOUT": "5"}
        ended = subprocess.run([sys.executable, str(PROGRAM), "none"], env=setting, capture_output=True, text=True, check=False)

    assert ended.returncode == 4, ended.stderr
    assert f"cannot connect to the others at 127.0.0.1:{port}: " in ended.stderr


def losses(run: Path) -> list[float]:
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) for name in ("train_loss", "val_loss")]


@pytest.mark.release
def test_two_processes_that_are_stopped_go_on_as_one_with_the_same_losses_but_for_rounding(free_port, tmp_path):
    """SIGTERM to torchrun reaches both, which save a checkpoint; a network without norms and dropout has no part of its own."""
    flags = ["train", "digits", "--model", "lenet5", "--img-size", "32", "--epochs", "3", "--device", "cpu", "--checkpoint-every", "5"]
    flags += ["--no-diagnose", "--set", "settings.precision=float32"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", free_port(), "-m", "striate"]
    setting = {name: value for name, value in SETTING.items() if name != "WORLD_SIZE"}
    run, straight = tmp_path / "run", tmp_path / "straight"
    with subprocess.Popen([*torchrun, *flags, "--output", str(run)], env=setting, stderr=subprocess.PIPE, text=True) as agent:
        end = time.monotonic() + 1200
        while not (run / "checkpoints" / "ckpt-00000020").is_dir():
            assert agent.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        agent.send_signal(signal.SIGTERM)
        agent.communicate(timeout=1200)

    one = [sys.executable, "-m", "striate"]
    resumed = subprocess.run([*one, "train", "--resume", str(run)], env=setting, capture_output=True, text=True, check=False)
    subprocess.run([*one, *flags, "--output", str(straight)], env=setting, capture_output=True, check=True)

    assert resumed.returncode == 0, resumed.stderr
    assert "not exact: the checkpoint was made by 2 processes, and now there is 1; order, batches, augmentation" in resumed.stderr
    assert losses(run) == pytest.approx(losses(straight), rel=1e-3)
