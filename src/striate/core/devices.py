"""Choosing the device to compute on, and what it supports."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.core.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    import torch


OTHER_THREADS = 4  # that torch and what else is used start, beside those that compute


def available_cores() -> int:
    """The cores that this process may use; fewer where `OMP_NUM_THREADS` says so, as for torch."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(count, int(wanted)) if wanted.isdecimal() and int(wanted) else count


def choose_device(name: str) -> torch.device:
    """The device called `name`; "auto" is CUDA where there is one, else MPS, else the CPU.

    Raises:
        UsageError: no such kind of device.
        EnvironmentFault: this machine has not got it.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"unknown device {name!r}", "Use auto, cpu, cuda, cuda:1 or mps.")
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available[device.type]:
        raise EnvironmentFault(f"device {name}: this machine has none", "`striate info` lists its devices; use `device='auto'`.")
    return device


def is_bfloat16_fast(device: torch.device) -> bool:
    """Return whether `device` multiplies bfloat16 faster than float32: CUDA from Ampere on, CPUs with AMX, AMD's with AVX512_BF16.

    Intel's without AMX run AVX512_BF16 at half the speed of float32; `docs/log.md` has the numbers.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    has_amx, has_avx512 = (getattr(torch.cpu, probe, lambda: False)() for probe in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return has_amx or (has_avx512 and processor_maker() == "AuthenticAMD")


def bfloat16_slowdown() -> float:
    """Time of a 3 x 3 convolution of 64 channels in bfloat16 over that in float32 on this processor, measured in about 0.2 s.

    Where the processor only emulates bfloat16 it is about 10.
    """
    import torch

    def seconds(dtype: torch.dtype) -> float:
        images, weights = (
            torch.ones(shape, dtype=dtype).to(memory_format=torch.channels_last) for shape in ((16, 64, 28, 28), (64, 64, 3, 3))
        )
        times = []
        for _ in range(4):  # the first of which sets up
            start = time.perf_counter()
            torch.nn.functional.conv2d(images, weights)
            times.append(time.perf_counter() - start)
        return min(times)

    return seconds(torch.bfloat16) / seconds(torch.float32)


def processor_maker() -> str:
    """The processor's vendor, such as GenuineIntel; empty if the system does not report it."""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("vendor_id"):
                return line.partition(":")[2].strip()
    return platform.processor().rpartition(", ")[2]  # Windows: "AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD"


def wait_briefly() -> None:
    """Let waiting threads sleep after some tens of microseconds, so that the thread they wait for gets the core.

    GNU OpenMP, which torch computes with on Linux, spins for some 20 ms by default. Beside another busy program that made training
    10 to 20 times slower; `docs/log.md` has the numbers. It reads GOMP_SPINCOUNT when torch is imported: call this before. A value
    that the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def spare_threads(say: Callable[[str], None]) -> None:
    """Compute on one thread where the system lets this process start too few more, and say so.

    The libraries below torch and NumPy start their threads when they are first needed, and end the process where they cannot. They read
    OMP_NUM_THREADS and OPENBLAS_NUM_THREADS when they are imported: call this before. What the user has set stays.
    """
    names = [name for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name not in os.environ]
    if not names:
        return
    wanted = len(names) * ((os.cpu_count() or 1) - 1) + OTHER_THREADS
    started = startable_threads(wanted)
    if started < wanted:
        os.environ |= dict.fromkeys(names, "1")
        say(f"the system lets this process start only {started} more threads (ulimit -u or -v, or a container's limit): computing on one")


def startable_threads(wanted: int) -> int:
    """The number of further threads that this process can start, up to `wanted`; they end at once."""
    end = threading.Event()
    threads: list[threading.Thread] = []
    try:
        for _ in range(wanted):
            thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
            threads.append(thread)
    except RuntimeError:  # can't start new thread
        pass
    finally:
        end.set()
        for thread in threads:
            thread.join()
    return len(threads)


def device_report() -> dict[str, Any]:
    """The devices of this machine and the precision that is fast on each; JSON-able."""
    import torch

    devices: dict[str, str] = {"cpu": _precision(torch.device("cpu"))}
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            device = torch.device("cuda", index)
            devices[str(device)] = f"{torch.cuda.get_device_name(device)}, {_precision(device)}"
    if torch.backends.mps.is_available():
        devices["mps"] = _precision(torch.device("mps"))
    return {"devices": devices}


def _precision(device: torch.device) -> str:
    return "float32 and fast bfloat16" if is_bfloat16_fast(device) else "float32"
