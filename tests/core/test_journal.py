"""A journal keeps every whole line, forgives a half last one, and goes back to where a checkpoint was made."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from striate.core.errors import EnvironmentFault, RefusedFileError
from striate.core.journal import Journal, read_journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


def test_records_come_back_in_order_and_as_they_were(path):
    records = [{"step": 1, "loss": 0.1 + 0.2}, {"step": 2, "text": "größer\nzwei Zeilen"}, {"step": 3, "list": [1, None, True]}]
    with Journal(path) as journal:
        for record in records:
            journal.append(record)

    assert read_journal(path) == records
    assert path.read_bytes().count(b"\n") == 3


def test_each_record_is_one_write(path, monkeypatch):
    sizes = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: (sizes.append(len(data)), write(descriptor, data))[1])
    with Journal(path) as journal:
        journal.append({"step": 1})
        journal.append({"step": 22})

    assert sizes == [len('{"step": 1}\n'), len('{"step": 22}\n')]


@pytest.mark.parametrize("half", ['{"st', '{"step": 3}', "\x00"])
def test_a_half_last_line_is_not_read_and_not_continued(path, half):
    path.write_text('{"step": 1}\n{"step": 2}\n' + half)

    assert read_journal(path) == [{"step": 1}, {"step": 2}]
    with Journal(path) as journal:
        journal.append({"step": 4})
    assert read_journal(path) == [{"step": 1}, {"step": 2}, {"step": 4}]


def test_going_on_from_a_checkpoint_drops_what_came_after_it(path):
    with Journal(path) as journal:
        journal.append({"step": 1})
        journal.append({"step": 2})
        size = journal.sync()
        journal.append({"step": 3})
        with path.open("ab") as file:
            file.write(b'{"half')

    with Journal(path, keep_bytes=size) as journal:
        journal.append({"step": 3, "again": True})

    assert read_journal(path) == [{"step": 1}, {"step": 2}, {"step": 3, "again": True}]


def test_a_journal_shorter_than_the_checkpoint_says_keeps_what_it_has(path):
    path.write_text('{"step": 1}\n')

    with Journal(path, keep_bytes=10_000) as journal:
        assert journal.sync() == 12


def test_syncing_waits_for_the_disk(path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with Journal(path) as journal:
        journal.append({"step": 1})
        assert synced == []
        assert journal.sync() == len('{"step": 1}\n')

    assert len(synced) == 1


def test_a_line_that_the_disk_takes_half_of_is_taken_back(path, monkeypatch):
    """A disk that fills up writes a part first, and fails then."""
    write = os.write

    def fill(descriptor: int, data: bytes) -> int:
        if len(data) < 20:
            return write(descriptor, data)
        if data.startswith(b"{"):
            return write(descriptor, data[:7])
        raise OSError(errno.ENOSPC, "No space left on device")

    with Journal(path) as journal:
        journal.append({"step": 1})
        monkeypatch.setattr(os, "write", fill)
        with pytest.raises(EnvironmentFault, match=r"events\.jsonl: no space left on the device; .* and 35 bytes are needed"):
            journal.append({"step": 2, "text": "long enough"})
        journal.append({"step": 3})

    assert path.read_text() == '{"step": 1}\n{"step": 3}\n'


def test_a_pipe_is_not_waited_for(path):
    os.mkfifo(path)
    for read in (read_journal, Journal):
        with pytest.raises(RefusedFileError, match=r"events\.jsonl: not a plain file"):
            read(path)


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(EnvironmentFault, match=r"events\.jsonl: cannot write: No such file or directory"):
        Journal(tmp_path / "gone" / "events.jsonl")


KILLED = """
import os, signal, sys
from pathlib import Path
from striate.core.journal import Journal
journal = Journal(Path(sys.argv[1]))
for step in range(1, 501):
    journal.append({"step": step})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_what_was_appended_before_a_kill_is_there(path):
    run = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)

    assert run.returncode == -signal.SIGKILL
    assert [record["step"] for record in read_journal(path)] == list(range(1, 501))
