"""One process at a time in a run folder, and no lock outlives its process."""

import json
import os
import re
import socket
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

from striate.core.errors import EnvironmentFault
from striate.core.locks import RunLock, refuse_held

pytestmark = pytest.mark.skipif(os.name == "nt", reason="forks and sends signals")


def test_the_second_is_told_who_the_first_is(tmp_path):
    before = datetime.now().astimezone() - timedelta(seconds=1)
    with RunLock(tmp_path), pytest.raises(EnvironmentFault) as error:
        RunLock(tmp_path)

    pattern = rf"{tmp_path}: another run is using this folder: process {os.getpid()} on {socket.gethostname()}, since (\S+)"
    since = re.fullmatch(pattern, error.value.message)
    assert since
    assert before <= datetime.fromisoformat(since[1]) <= datetime.now().astimezone()
    assert error.value.exit_code == 4
    assert error.value.remedy == "Wait until it is done, stop it, or choose another `output`."


def test_after_the_first_is_done_the_next_may(tmp_path):
    with RunLock(tmp_path):
        pass
    lock = RunLock(tmp_path)
    lock.release()
    lock.release()  # twice does no harm

    with RunLock(tmp_path):
        pass


def test_who_gets_the_lock_clears_what_a_killed_run_left(tmp_path):
    said = []
    leftover = tmp_path / f".metrics.csv.tmp-{os.getpid()}"
    leftover.write_text("epoch,st")
    (tmp_path / "metrics.csv").write_text("epoch,step\n")

    with RunLock(tmp_path, say=said.append):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.csv", "run.lock"]
        leftover.write_text("")
        with pytest.raises(EnvironmentFault):
            RunLock(tmp_path, say=said.append)
        assert leftover.exists()  # who does not get it clears nothing

    assert said == [f"{tmp_path}: removed 1 unfinished file of a run that was killed"]


def test_an_error_lets_the_lock_go(tmp_path):
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path):
        _ = 1 / 0

    RunLock(tmp_path).release()


HOLD = """
import os, sys, time
from pathlib import Path
from striate.core.locks import RunLock
lock = RunLock(Path(sys.argv[1]))
if sys.argv[2] == "fork" and os.fork() != 0:
    time.sleep(60)  # the child says it, and has run by then
if sys.argv[2] == "exec":
    import subprocess
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("child", ["none", "fork", "exec"])
def test_the_lock_dies_with_a_killed_process_though_its_children_live(tmp_path, child):
    """A worker that a killed run leaves behind must not keep the folder closed."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), child], stdout=subprocess.PIPE, process_group=0)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(EnvironmentFault, match=f"process {holder.pid} on "):
            RunLock(tmp_path)
        holder.kill()
        holder.wait()

        with RunLock(tmp_path):
            pass
    finally:
        if child != "none":
            os.killpg(holder.pid, 9)
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_what_a_dead_holder_wrote_is_not_believed_even_if_its_number_lives_again(tmp_path):
    """The lock is what counts, not the number in the file, which another process may have by now."""
    (tmp_path / "run.lock").write_text(
        json.dumps({"pid": 1, "host": socket.gethostname(), "started": "2020-01-01" * 9})
    )  # longer than ours

    with RunLock(tmp_path), pytest.raises(EnvironmentFault, match=f"process {os.getpid()} on "):
        RunLock(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', '{"pid": 99999999, "host": "HERE", "started": "then"}'])
def test_a_holder_that_has_not_said_who_it_is_is_waited_for_but_not_for_ever(tmp_path, monkeypatch, content):
    monkeypatch.setattr("striate.core.locks.SECONDS_FOR_THE_NAME", 0.05)
    with RunLock(tmp_path):
        (tmp_path / "run.lock").write_text(content.replace("HERE", socket.gethostname()))
        with pytest.raises(EnvironmentFault, match="using this folder: a process that has not recorded its id"):
            RunLock(tmp_path)


def test_a_folder_that_names_a_living_process_is_refused_and_one_that_names_none_is_not(tmp_path):
    lock = tmp_path / "run.lock"
    refuse_held(tmp_path)  # no lock
    for left in ("", "{", f'{{"pid": 99999999, "host": "{socket.gethostname()}", "started": "then"}}'):
        lock.write_text(left)
        refuse_held(tmp_path)
    lock.write_text(json.dumps({"pid": os.getppid(), "host": socket.gethostname(), "started": "2026-01-01"}))

    with pytest.raises(EnvironmentFault, match=f"another run is using this folder: process {os.getppid()} on .*, since 2026-01-01\n"):
        refuse_held(tmp_path)

    with RunLock(tmp_path):  # it was not locked by the look
        refuse_held(tmp_path)  # by this process itself


@pytest.mark.parametrize("what", ["pipe", "device", "folder", "70 GB"])
def test_what_stands_in_place_of_a_lock_names_no_process_and_is_not_waited_for(tmp_path, what):
    path = tmp_path / "run.lock"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "folder":
        path.mkdir()
    else:
        path.touch()
        os.truncate(path, 70 * 10**9)

    refuse_held(tmp_path)


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_a_lock_that_is_no_plain_file_is_refused(tmp_path, what):
    path = tmp_path / "run.lock"
    if what == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()

    words = {
        "link": "cannot write: Too many levels of symbolic links",
        "pipe": "not a plain file",
        "folder": "cannot write: Is a directory",
    }
    with pytest.raises(EnvironmentFault, match=f"run.lock: {words[what]}"):
        RunLock(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_system_that_cannot_lock_is_said(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", fail)

    with pytest.raises(
        EnvironmentFault, match=r"run\.lock: cannot lock: Operation not supported\nChoose an `output` on a disk that can lock"
    ):
        RunLock(tmp_path)


RACE = """
import json, os, sys
from pathlib import Path
from striate.core.errors import EnvironmentFault
from striate.core.locks import RunLock

for number in range(50):
    folder = Path(sys.argv[1]) / str(number)
    folder.mkdir()
    start, go = os.pipe()
    told, tell = os.pipe()
    end, over = os.pipe()
    children = []
    for _ in range(8):
        if child := os.fork():
            children.append(child)
            continue
        for descriptor in (go, told, over):
            os.close(descriptor)
        os.read(start, 1)  # nothing comes: the end is what starts all eight at once
        try:
            lock = RunLock(folder)
            os.write(tell, b"%d won\\n" % os.getpid())
            os.read(end, 1)  # hold it until each has tried
        except EnvironmentFault as error:
            os.write(tell, error.message.encode() + b"\\n")
        os._exit(0)
    for descriptor in (start, tell, end):
        os.close(descriptor)
    os.close(go)
    with open(told) as pipe:
        lines = [pipe.readline() for _ in range(8)]
    os.close(over)
    for child in children:
        os.waitpid(child, 0)
    winners = [int(line.split()[0]) for line in lines if "won" in line]
    named = [line for line in lines if len(winners) == 1 and f"process {winners[0]} on " in line and ", since 20" in line]
    print(json.dumps([len(winners), len(named)]))
"""


def test_of_eight_that_start_at_once_one_wins_and_seven_name_it(tmp_path):
    """50 rounds."""
    run = subprocess.run([sys.executable, "-c", RACE, str(tmp_path)], capture_output=True, text=True, check=False)

    assert [json.loads(line) for line in run.stdout.splitlines()] == [[1, 7]] * 50, run.stderr
