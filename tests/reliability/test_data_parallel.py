"""Two processes that torchrun starts train like one, and end together."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.distributed import HashStore

from striate.core.errors import EnvironmentFault
from striate.data.archives import npz_arrays
from striate.engine.processes import joined, store_of_this_start

pytestmark = [
    pytest.mark.timeout(3600),  # half a minute of one processor each, and longer on a busy machine; so are the limits below
    pytest.mark.skipif(sys.platform != "linux", reason="signals and parents as Linux has them"),
]
WORKER = Path(__file__).parent / "two_processes.py"
FAULTY = Path(__file__).parent / "faulty_ranks.py"
MADE_BY_TORCHRUN = b"TORCHELASTIC_RUN_ID"
WAYS = ("none-float64", "own-float64", "together-float64", "together-float32")


@pytest.fixture(scope="module")
def results(ranks, tmp_path_factory) -> Callable[[str, int], list[tuple[dict, dict]]]:
    """Of each process, of so many, trained in one way: arrays and what it told. Each number of processes starts once, for all ways."""
    folder = tmp_path_factory.mktemp("results")

    @functools.cache
    def trained(number: int) -> None:
        for each in ranks([{"folder": folder, "file": str(WORKER), "words": [str(folder), *WAYS]}] * number):
            assert each.wait() == 0, each.errors

    def read(way: str, number: int) -> list[tuple[dict, dict]]:
        trained(number)
        names = [f"{number}-{way}-{rank}" for rank in range(number)]
        return [(npz_arrays(folder / f"{name}.npz"), json.loads((folder / f"{name}.json").read_text())) for name in names]

    return read


@pytest.mark.parametrize("number", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", ["none-float64", "together-float64", "together-float32"])
def test_several_processes_make_the_updates_of_one_and_see_each_picture_once(results, way, number):
    """Batches of 9 give parts of 5 and 4, or of 3, 2, 2 and 2: the gradient is that of the whole batch all the same."""
    (alone, told_alone), *_ = results(way, 1)
    several = results(way, number)
    near, least = (1e-6, 1e-9) if way.endswith("float64") else (1e-4, 1e-6)

    for arrays, told in several:
        assert arrays.keys() == alone.keys()
        for name, expected in alone.items():
            np.testing.assert_allclose(arrays[name], expected, rtol=near, atol=least, err_msg=name)
        np.testing.assert_allclose(told["losses"], told_alone["losses"], rtol=near)
        np.testing.assert_allclose(told["rows"], told_alone["rows"], rtol=near)
    for epoch in (1, 2):
        parts = [[each[1:] for each in told["seen"] if each[0] == epoch] for _, told in several]
        whole = [each[1:] for each in told_alone["seen"] if each[0] == epoch]
        assert [[place for part in batch for place in part] for batch in zip(*parts, strict=True)] == whole
        assert sorted(place for batch in whole for place in batch) == list(range(27))


@pytest.mark.slow
def test_norms_of_their_own_parts_are_kept_as_the_first_process_has_them(results):
    first, second = (arrays for arrays, _ in results("own-float64", 2))

    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value, err_msg=name)


def words(folder: Path, *more: str) -> list[str]:
    network = ["digits", "--model", "lenet5", "--epochs", "2", "--device", "cpu", "--output", str(folder), "--checkpoint-every", "5"]
    return ["train", *network, "--no-diagnose", "--img-size", "32", *more]


@pytest.fixture
def torchrun(forked, free_port, tmp_path) -> Callable[..., Any]:
    """Start torchrun with two processes of `striate`; those are started as anywhere, torchrun itself by a fork."""

    def start(*words: str, restarts: int = 0, **setting: str) -> Any:
        flags = ["--nproc-per-node", "2", "--master-port", free_port(), "--max-restarts", str(restarts), "--monitor-interval", "0.1"]
        program = f"from torch.distributed.run import main\nmain({[*flags, '-m', 'striate', *words]})"
        return forked.start(tmp_path, program=program, setting=setting)

    return start


def children_of(starter: int) -> list[int]:
    """The processes that `starter` has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            if int((path / "stat").read_text().rpartition(")")[2].split()[1]) == starter:
                found.append(int(path.name))
    return sorted(found)


def workers_of(agent: int) -> list[int]:
    """Those of them that train."""
    return [process for process in children_of(agent) if b"striate" in Path(f"/proc/{process}/cmdline").read_bytes()]


def is_running(process: int) -> bool:
    """Not gone, nor dead and only not yet asked for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come"
        time.sleep(0.02)


def test_what_dead_processes_left_in_the_store_is_not_seen_after_a_restart():
    """torchrun keeps one store over its restarts, where gloo would find the addresses of processes that are gone."""
    shared = HashStore()
    for _ in range(2):
        with ThreadPoolExecutor(3) as pool:
            stores = list(pool.map(lambda rank: store_of_this_start(shared, rank, 3, timeout=60), [2, 0, 1]))
        assert not stores[0].check(["address"])
        stores[0].set("address", "here")
        assert [store.get("address") for store in stores] == [b"here"] * 3

    with pytest.raises(RuntimeError, match=r"process 1 did not join within 0\.1 s"):
        store_of_this_start(HashStore(), 0, 2, timeout=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [pytest.param(0, marks=pytest.mark.release), 1])
def test_a_killed_process_is_started_again_and_the_run_ends_with_the_same_bytes(ranks, torchrun, tmp_path, victim):
    undisturbed = ranks([{"folder": tmp_path, "command": words(tmp_path / "left")}] * 2)
    agent = torchrun(*words(tmp_path / "killed", "--json"), restarts=3)
    wait_for((tmp_path / "killed" / "checkpoints" / "ckpt-00000020").is_dir)
    worker = workers_of(agent.pid)[victim]
    assert MADE_BY_TORCHRUN in Path(f"/proc/{worker}/environ").read_bytes()
    os.kill(worker, signal.SIGKILL)

    assert [each.wait() for each in undisturbed] == [0, 0], undisturbed[0].errors
    assert agent.wait() == 0, agent.errors
    assert "after a restart" in agent.errors
    assert json.loads(agent.output)["run"] == str(tmp_path / "killed")  # one report, of the first process
    model = "best.safetensors"
    assert (tmp_path / "killed" / model).read_bytes() == (tmp_path / "left" / model).read_bytes()


@pytest.mark.release
def test_a_process_that_hangs_is_named(torchrun, tmp_path):
    agent = torchrun(*words(tmp_path / "run"), STRIATE_PROCESS_TIMEOUT="10")
    wait_for((tmp_path / "run" / "checkpoints" / "ckpt-00000005").is_dir)
    os.kill(workers_of(agent.pid)[1], signal.SIGSTOP)

    assert agent.wait() != 0
    assert "process 1 of 2 (from 0) has ended or does not answer, within 10 s" in agent.errors


@pytest.mark.slow
def test_no_process_outlives_the_one_that_started_it(forked, free_port, tmp_path):
    """They are started with the variable by which they know torchrun, which sets it, as the test above sees."""
    program = f"""import os, sys
for rank in "01":
    if not os.fork():
        os.environ |= {{"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "MASTER_PORT": "{free_port()}"}}
        sys.modules["striate.apps.cli"].main({words(tmp_path / "run", "--epochs", "500")})
os.wait()"""
    starter = forked.start(tmp_path, program=program, setting={MADE_BY_TORCHRUN.decode(): "here"})
    wait_for((tmp_path / "run" / "checkpoints" / "ckpt-00000005").is_dir)
    workers = children_of(starter.pid)
    starter.send_signal(signal.SIGKILL)

    assert starter.wait() == -signal.SIGKILL
    assert len(workers) == 2
    wait_for(lambda: not any(is_running(worker) for worker in workers), seconds=100)


@pytest.mark.slow
def test_processes_with_other_settings_refuse_to_train_and_name_the_field(ranks, tmp_path):
    command = ["train", "digits", "--model", "lenet5", "--epochs", "1", "--output", str(tmp_path / "run"), "--batch-size"]
    both = ranks({"folder": tmp_path, "command": [*command, size]} for size in ("32", "16"))

    assert [rank.wait() for rank in both] == [2, 2]
    for rank in both:
        assert "the processes were not started alike" in rank.errors
        assert "settings.batch_size: 32 in process 0, 16 in process 1" in rank.errors
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_processes_with_other_pictures_refuse_to_train_and_say_that_it_is_the_pictures(ranks, tmp_path):
    """The second one's file has the same name and fewer pictures."""
    numbers = np.random.default_rng(0)
    images, labels = numbers.integers(0, 256, (48, 10, 12, 1)).astype(np.uint8), np.arange(48) % 3
    for rank, number in (("0", 48), ("1", 45)):
        (tmp_path / rank).mkdir()
        np.savez(tmp_path / rank / "data.npz", x_train=images[:number], y_train=labels[:number])
    command = ["train", "data.npz", "--model", "compact_cnn", "--epochs", "1", "--output", "run"]
    both = ranks({"folder": tmp_path / rank, "command": command} for rank in "01")

    assert [rank.wait() for rank in both] == [2, 2], both[0].errors
    for rank in both:
        assert "the processes were not started alike" in rank.errors and "pictures and labels (SHA-256): " in rank.errors
    assert not (tmp_path / "0" / "run").exists()


def test_a_port_that_is_taken_is_named_with_the_way_out(monkeypatch):
    """Where nothing else is said, the processes meet on this machine's own address."""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")  # so that it is as before afterwards
    monkeypatch.delenv("MASTER_ADDR")
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("GLOO_SOCKET_IFNAME", "lo"), ("STRIATE_PROCESS_TIMEOUT", "3")):
        monkeypatch.setenv(name, value)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("MASTER_PORT", str(port))
        with (
            pytest.raises(EnvironmentFault, match=f"process 0 of 2 cannot connect to the others at 127.0.0.1:{port}") as caught,
            joined("cpu"),
        ):
            pass

    assert "choose a free port with --master-port" in caught.value.remedy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rank", "fault", "codes", "cause", "others"),
    [
        pytest.param(1, "nan", [5, 5], "the loss is not finite at step 3", "the loss is not finite at step 3", id="NaN"),
        pytest.param(0, "disk", [4, 4], r"no space left on the device", r"process 0 of 2 .* has ended", id="disk full"),
        pytest.param(1, "exception", [4, 1], r"KeyError: 'a bug'", r"process 1 of 2 .* has ended", id="exception"),
        pytest.param(1, "memory", [0, 0], "", r"out of memory.*parts", marks=pytest.mark.release, id="too little memory"),
    ],
)
def test_a_fault_of_one_process_ends_all_within_a_minute_and_is_told_first(ranks, tmp_path, rank, fault, codes, cause, others):
    """What each says, and when: the one with the fault names it, the other names the one that ended."""
    numbers = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x_train=numbers.integers(0, 256, (64, 10, 12, 1)).astype(np.uint8), y_train=np.arange(64) % 3)
    command = [
        "train",
        str(tmp_path / "data.npz"),
        "--model",
        "compact_cnn",
        "--steps",
        "8",
        "--batch-size",
        "16",
        "--checkpoint-every",
        "2",
    ]
    command += ["--no-diagnose", "--device", "cpu", "--output", str(tmp_path / "run")]
    both = ranks([{"folder": tmp_path, "file": str(FAULTY), "words": [str(rank), fault, *command]}] * 2)
    wait_for(lambda: any(each.poll() is not None for each in both), seconds=1000)
    first = [each.poll() is not None for each in both]
    ended = [each.wait(60) for each in both]

    assert [1 if code == 70 else code for code in ended] == codes, both[rank].errors
    assert first[rank] or fault != "exception"  # a full disk is said first, but its process may end a moment after the other
    assert re.search(cause, both[rank].errors, re.DOTALL), both[rank].errors
    assert re.search(others, both[1 - rank].errors, re.DOTALL), both[1 - rank].errors
