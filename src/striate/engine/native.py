"""The kernels of `kernels.cpp`, compiled for this processor when they are first needed and kept in the user's cache."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("kernels.cpp")
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC")
COMPILERS = ("c++", "g++", "clang++")
SECONDS = 120  # for the compiler, which takes one or two

P, N, INT, F, D = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_float, ctypes.c_double
SEAT = (P, INT, N)  # team, rank, meeting
ARGUMENTS: dict[str, tuple[Any, ...]] = {  # of the functions that there are for each type, behind the result
    "max_pool": (None, P, P, P, N, N, N, N, INT),
    "max_pool_back": (None, P, P, P, N, N, N, N, INT),
    "norm": (INT, P, P, P, P, P, F, F, P, P, P, P, N, N, INT, INT, *SEAT),
    "norm_back": (INT, P, P, P, P, P, P, D, P, P, P, N, N, INT, INT, *SEAT),
}
OF_TEAMS: dict[str, tuple[Any, ...]] = {"team_new": (P, INT, N), "team_give_up": (None, P), "team_free": (None, P)}
TYPES = ("float32", "bfloat16")


@functools.cache
def kernels() -> ctypes.CDLL | None:
    """The compiled kernels; None without a compiler, on other systems than Linux, or with `STRIATE_KERNELS=0`.

    Torch, which has the same OpenMP, must have been imported before.
    """
    if os.environ.get("STRIATE_KERNELS") == "0" or not sys.platform.startswith("linux"):
        return None
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError, AttributeError):
        library = ctypes.CDLL(str(_compiled(compiler)))
        of_types = {f"{name}_{kind}": arguments for name, arguments in ARGUMENTS.items() for kind in TYPES}
        for name, (result, *arguments) in (of_types | OF_TEAMS).items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        return library
    return None


def _compiled(compiler: str) -> Path:
    """The library for this processor, of this source and compiler.

    Raises:
        OSError: the cache cannot be written, or is not the user's alone.
        SubprocessError: the compiler fails.
    """
    folder = Path("~/.cache/striate/kernels").expanduser()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"{folder}: others may write to it")
    words = (SOURCE.read_bytes(), repr((compiler, FLAGS, platform.machine(), _features())).encode())
    library = folder / f"{hashlib.sha256(b'|'.join(words)).hexdigest()[:32]}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as place:
            made = Path(place) / library.name
            subprocess.run([compiler, *FLAGS, str(SOURCE), "-o", str(made)], check=True, capture_output=True, timeout=SECONDS)
            made.replace(library)
    return library


def _features() -> str:
    """The instructions that this processor has: a home folder may serve several machines."""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        return next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return ""
