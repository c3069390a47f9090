"""A save that is killed, or that the system fails, at each of its points: the checkpoint before it or the new one is there, whole."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="forks and sends signals")
PROGRAM = Path(__file__).with_name("faulty_saves.py")


def outcomes(folder: Path, kind: str) -> list[dict]:
    run = subprocess.run([sys.executable, str(PROGRAM), str(folder), kind], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    return outcomes(tmp_path_factory.mktemp("killed"), "kill")


def test_a_save_that_is_killed_at_any_point_leaves_the_old_checkpoint_or_the_new_one(killed):
    calls = [one["fault"]["call"] for one in killed]
    assert {"mkdir", "open", "write", "fsync", "rename", "replace", "unlink", "rmdir"} <= set(calls)
    assert calls.count("fsync") // 2 >= 6 + 1 + 2 + 2  # files, manifest, two directories; pointer and its directory; on entry and on return
    assert [one["point"] for one in killed if not (one["step"] in (2, 3) and one["exact"])] == []
    assert [one["point"] for one in killed if one["whole"] < 2] == []
    assert {one["step"] for one in killed} == {2, 3}
    assert [one["step"] for one in killed] == sorted(one["step"] for one in killed)  # the new one, from one point on


def test_a_start_after_a_kill_clears_what_the_kill_left_and_says_how_much(killed):
    assert sum(one["leftovers"] for one in killed) > 30
    assert [one["point"] for one in killed if one["uncleaned"]] == []
    assert [one["point"] for one in killed if one["leftovers"] != ("removed 1 unfinished file of a run" in str(one["said"]))] == []
    assert all(one["goes_on"] for one in killed)


def test_a_save_that_the_system_fails_at_any_point_says_so_and_leaves_the_old_checkpoint_or_the_new_one(tmp_path):
    found = outcomes(tmp_path, "fail")

    assert {one["errno"] for one in found} == {errno.ENOSPC, errno.EIO, errno.EDQUOT}
    for one in found:
        fault = one["fault"]
        where = (one["point"], one["errno"], fault)
        assert one["step"] in (2, 3) and one["exact"] and one["whole"] >= 2 and one["goes_on"], where
        assert one["uncleaned"] == 0, where
        if fault["error"]:
            assert fault["exit_code"] == 4 and str(tmp_path) in fault["error"], where
            assert one["leftovers"] == 0, where
        else:  # the new checkpoint is safe by then: only removing an old one failed
            assert one["step"] == 3, where
    no_space = [one["fault"]["error"] for one in found if one["errno"] != errno.EIO and one["step"] == 2]
    assert len(no_space) > 40
    assert all("no space left on the device; " in text and "bytes are free and 15,000 bytes are needed" in text for text in no_space)
    warnings = [one for one in found if "cannot remove this old checkpoint" in str(one["fault"]["said"])]
    assert len(warnings) >= 3 * 8
