"""How much memory is free, and threads that share a part of it."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from striate.core import memory
from striate.core.errors import EnvironmentFault
from striate.core.memory import MemoryShare, free_memory_bytes, need_memory


def test_the_limit_of_a_container_counts_where_it_is_narrower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    for name, text in {"memory.max": "6000000\n", "memory.current": "5000000\n", "memory.stat": "anon 7\ninactive_file 1000\n"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)

    assert free_memory_bytes() == 1_001_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory_bytes() == 8_000 * 1024


def test_a_limit_of_the_process_counts_where_it_is_narrower():
    """In a process of its own with `ulimit -v` of 1 GiB, of which Python takes a part."""
    code = "from striate.core.memory import free_memory_bytes; print(free_memory_bytes())"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, preexec_fn=limit)
    assert 0.4 * 2**30 < int(done.stdout) < 2**30


def test_what_does_not_fit_is_said_with_both_numbers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 300 * 2**20)
    need_memory(300 * 2**20, "x.npz: its arrays", "Use fewer pictures.")
    with pytest.raises(EnvironmentFault, match=r"^x\.npz: its arrays: 2,048 MiB are needed, and 300 MiB are free\nUse fewer") as caught:
        need_memory(2**31, "x.npz: its arrays", "Use fewer pictures.")
    assert caught.value.exit_code == 4


def test_threads_that_share_memory_never_take_more_than_it_together(monkeypatch: pytest.MonkeyPatch):
    """30 threads of 30 bytes, of 100 each may share: three at once, and no fourth."""
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 1000)
    share, most, now, lock = MemoryShare(0.1, at_least=10), [0], [0], threading.Lock()
    three = threading.Barrier(3, timeout=60)

    def work() -> None:
        with share.take(30, "x", ""):
            with lock:
                now[0] += 30
                most[0] = max(most[0], now[0])
            three.wait()
            with lock:
                now[0] -= 30

    threads = [threading.Thread(target=work) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [90] and now == [0] and share.taken == 0


def test_one_alone_may_take_more_than_the_share_and_little_waits_for_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 1000)
    share = MemoryShare(0.1, at_least=10)
    with share.take(900, "x", ""), share.take(9, "x", ""):
        assert share.taken == 900
    with pytest.raises(EnvironmentFault, match="x: "), share.take(1001, "x", ""):
        pass
    assert share.taken == 0
    with share.take(50, "x", ""):  # what was refused holds nothing back
        pass
