"""The device that is named, or the best there is; what it supports."""

import os
import platform
import subprocess
import sys
import threading

import pytest
import torch

from striate.core.devices import (
    available_cores,
    choose_device,
    device_report,
    is_bfloat16_fast,
    processor_maker,
    spare_threads,
    startable_threads,
    wait_briefly,
)
from striate.core.errors import EnvironmentFault, UsageError


@pytest.fixture
def machine(monkeypatch):
    """A stand-in for a machine with so many GPUs, with or without Apple's."""

    def make(*, cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return make


@pytest.mark.parametrize(("cuda", "mps", "expected"), [(0, False, "cpu"), (0, True, "mps"), (1, False, "cuda"), (2, True, "cuda")])
def test_auto_takes_cuda_then_mps_then_the_processor(machine, cuda, mps, expected):
    machine(cuda=cuda, mps=mps)

    assert choose_device("auto").type == expected


def test_a_device_can_be_named_by_number(machine):
    machine(cuda=2)

    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "tpu", "cuda:one", "", "meta", "cuda:-1"])
def test_an_unknown_device_names_the_ones_there_are(machine, name):
    machine(cuda=1)

    with pytest.raises(UsageError) as error:
        choose_device(name)

    assert str(error.value) == f"unknown device {name!r}\nUse auto, cpu, cuda, cuda:1 or mps."


@pytest.mark.parametrize(("name", "cuda"), [("cuda", 0), ("cuda:1", 1), ("mps", 1)])
def test_a_device_that_this_machine_lacks_is_a_fault_of_the_environment(machine, name, cuda):
    machine(cuda=cuda)

    with pytest.raises(EnvironmentFault) as error:
        choose_device(name)

    assert str(error.value) == f"device {name}: this machine has none\n`striate info` lists its devices; use `device='auto'`."


@pytest.mark.parametrize(
    ("avx512", "amx", "maker", "expected"),
    [
        (False, False, "AuthenticAMD", False),
        (True, False, "AuthenticAMD", True),
        (True, False, "GenuineIntel", False),
        (True, True, "GenuineIntel", True),
        (True, False, "", False),
    ],
)
def test_a_processor_is_fast_in_bfloat16_with_amx_or_as_amds_with_avx512(monkeypatch, avx512, amx, maker, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr("striate.core.devices.processor_maker", lambda: maker)

    assert is_bfloat16_fast(torch.device("cpu")) is expected
    assert device_report()["devices"]["cpu"] == ("float32 and fast bfloat16" if expected else "float32")


@pytest.mark.parametrize(
    ("cpuinfo", "processor", "expected"),
    [
        ("processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\n", "", "AuthenticAMD"),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", "aarch64", "aarch64"),
        (None, "AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD", "AuthenticAMD"),
        (None, "arm", "arm"),
    ],
    ids=["Linux", "Linux on Arm", "Windows", "macOS"],
)
def test_the_maker_of_the_processor_is_what_the_system_says(monkeypatch, tmp_path, cpuinfo, processor, expected):
    file = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        file.write_text(cpuinfo)
    monkeypatch.setattr("striate.core.devices.Path", lambda _: file)
    monkeypatch.setattr("platform.processor", lambda: processor)

    assert processor_maker() == expected


def test_a_torch_without_the_probes_counts_as_slow(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")

    assert not is_bfloat16_fast(torch.device("cpu"))


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_is_fast_in_bfloat16_from_ampere_on(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)

    assert is_bfloat16_fast(torch.device("cuda")) is expected


def test_the_report_names_each_gpu(machine, monkeypatch):
    machine(cuda=2, mps=True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Card {device.index}")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7 + device.index, 0))

    devices = device_report()["devices"]

    assert devices["cuda:0"] == "Card 0, float32"
    assert devices["cuda:1"] == "Card 1, float32 and fast bfloat16"
    assert devices["mps"] == "float32"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"GOMP_SPINCOUNT": "10000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_waiting_threads_spin_briefly_unless_the_user_says_how_long(monkeypatch, before, after):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
        if name in before:
            monkeypatch.setenv(name, before[name])

    wait_briefly()

    assert {name: os.environ[name] for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if name in os.environ} == after


def test_the_command_line_sets_the_wait_before_torch_is_imported():
    script = """
import os, sys
from striate.apps.cli import main
try:
    main(["--help"])
except SystemExit:
    print("torch" in sys.modules, os.environ.get("GOMP_SPINCOUNT"))
"""
    environment = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}

    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)

    assert run.stdout.splitlines()[-1] == "False 10000"


@pytest.fixture
def few_threads(monkeypatch):
    """A stand-in for a system that starts so many threads and no more; and a machine of four cores."""
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def allow(number: int) -> None:
        start, started = threading.Thread.start, []

        def limited(thread: threading.Thread) -> None:
            if len(started) == number:
                raise RuntimeError("can't start new thread")
            started.append(thread)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)

    return allow


def test_threads_that_can_be_started_are_counted_and_end(few_threads):
    before = threading.active_count()

    assert startable_threads(7) == 7
    few_threads(2)
    assert startable_threads(7) == 2
    assert threading.active_count() == before


def test_where_too_few_threads_can_be_started_one_computes_and_that_is_said(few_threads):
    said = []
    few_threads(9)  # two libraries, three more threads each, and four others: one too few

    spare_threads(said.append)

    assert os.environ["OMP_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert said == ["the system lets this process start only 9 more threads (ulimit -u or -v, or a container's limit): computing on one"]


def test_where_threads_can_be_started_or_the_user_has_set_their_number_nothing_changes(few_threads, monkeypatch):
    said = []
    few_threads(10)
    spare_threads(said.append)
    assert "OMP_NUM_THREADS" not in os.environ

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    few_threads(0)
    spare_threads(said.append)
    assert (os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"], said) == ("3", "2", [])


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="emulation is set for oneDNN on x86")
def test_emulated_bfloat16_is_measured_as_slow():
    program = "from striate.core.devices import bfloat16_slowdown; print(bfloat16_slowdown())"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}, capture_output=True, text=True, check=True
    )

    assert float(done.stdout) > 3


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores are assigned on Linux")
def test_the_cores_that_count_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3, 5, 6})
    for said, count in (("", 3), ("2", 2), ("8", 3), ("0", 3), ("2,1", 3)):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert available_cores() == count
