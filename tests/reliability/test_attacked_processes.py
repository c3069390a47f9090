"""Two processes that train against an attack make the updates of one, and agree on how the network withstands it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),  # longer than the two limits below
    pytest.mark.skipif(sys.platform != "linux", reason="processes as Linux has them"),
]
WORKER = Path(__file__).parent / "attacked_processes.py"


def told(folder: Path, *, ranks: int) -> list[dict]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port] if ranks == 2 else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *torchrun, str(WORKER), str(folder)]
    run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=1500, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads((folder / f"{ranks}-{rank}.json").read_text()) for rank in range(ranks)]


def test_two_processes_train_against_an_attack_like_one(tmp_path):
    (alone,) = told(tmp_path, ranks=1)

    for one in told(tmp_path, ranks=2):
        np.testing.assert_allclose(one["weights"], alone["weights"], rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(one["rows"], alone["rows"], rtol=1e-5)
    assert all(robust <= plain for *_, plain, robust in alone["rows"])
