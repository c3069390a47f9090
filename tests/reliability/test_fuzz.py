"""Damaged pictures and data files end in a result or in an error of ours; `benchmarks/fuzz.py` reads a few hundred thousand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="forks")]
PROGRAM = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


def test_damaged_files_of_every_kind_are_read_or_refused_in_words(forked, tmp_path):
    words = ["--pictures", "1800", "--readers", "2000", "--seed", "1", "--json"]
    run = forked.start(tmp_path, file=str(PROGRAM), words=words)

    assert run.wait() == 0, run.errors
    found = json.loads(run.output)
    assert len(found) == 19
    for kind, outcome in found.items():
        assert outcome["others"] == [], kind
        assert outcome["results"] > 0 and outcome["refusals"] > 0, kind
        assert outcome["results"] + outcome["refusals"] == 200
