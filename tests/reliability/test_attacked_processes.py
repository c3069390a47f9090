"""Two processes that train against an attack make the updates of one, and agree on how the network withstands it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),  # longer than the limits of the processes
    pytest.mark.skipif(sys.platform != "linux", reason="processes as Linux has them"),
]
WORKER = Path(__file__).parent / "attacked_processes.py"


def test_two_processes_train_against_an_attack_like_one(ranks, tmp_path):
    def told(number: int) -> list[dict]:
        for each in ranks([{"folder": tmp_path, "file": str(WORKER), "words": [str(tmp_path)]}] * number):
            assert each.wait() == 0, each.errors
        return [json.loads((tmp_path / f"{number}-{rank}.json").read_text()) for rank in range(number)]

    (alone,) = told(1)

    for one in told(2):
        np.testing.assert_allclose(one["weights"], alone["weights"], rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(one["rows"], alone["rows"], rtol=1e-5)
    assert all(robust <= plain for *_, plain, robust in alone["rows"])
