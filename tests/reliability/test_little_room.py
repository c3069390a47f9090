"""Trainings that may take little memory, or start few threads: they go on with less, or end in words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.release, pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")]
PROGRAM = Path(__file__).with_name("little_memory.py")
AS_NOBODY = ("setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override")


def test_whatever_memory_there_is_a_training_divides_its_batches_or_ends_in_words(tmp_path):
    run = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path), "10", "40", "70", "100", "130", "160", "200"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert {code for _, code, _, _ in found} == {0, 4}
    for limit, code, rest, said in found:
        assert "Traceback" not in said, limit
        assert rest in (None, 0), limit
        if code:
            assert "error: out of memory" in said and (
                "Train with a smaller --batch-size" in said or "Train with smaller pictures" in said
            ), said
    assert any("batches of 96 are now computed in" in said for _, code, _, said in found if not code)


@pytest.mark.skipif(shutil.which("setpriv") is None or getattr(os, "geteuid", lambda: 1)(), reason="takes root's exemption from the limit")
@pytest.mark.parametrize(("threads", "workers", "code"), [(1, 0, 0), (1, 2, 4), (3, 1, 0)])
def test_where_few_threads_may_start_one_computes_and_workers_that_cannot_start_are_named(tmp_path, threads, workers, code):
    tmp_path.chmod(0o777)
    words = ["train", "digits", "--model", "lenet5", "--img-size", "32", "--steps", "2", "--workers", str(workers), "--no-diagnose"]
    home = {"HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path)}
    unset = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    run = subprocess.run(
        [*AS_NOBODY, "prlimit", f"--nproc={threads}", sys.executable, "-m", "striate", *words, "--output", "run"],
        cwd=tmp_path,  # its parent is closed to others
        env={**{name: value for name, value in os.environ.items() if name not in unset}, **home},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == code, run.stderr
    assert f"the system lets this process start only {threads - 1} more threads" in run.stderr
    assert ("error: cannot start 2 threads that prepare batches: " in run.stderr) == bool(code)
