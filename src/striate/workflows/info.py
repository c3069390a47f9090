"""The environment: versions, devices, threads, precision."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from striate.core.memory import machine_memory_bytes

PACKAGES = ("striate", "torch", "torchvision", "timm", "numpy", "pillow", "scikit-learn", "pydantic", "safetensors")


def info() -> dict[str, Any]:
    """Versions, processor, threads, compiled kernels, memory, devices and the precision that each supports; JSON-able.

    It is what a run keeps as `env.json`.
    """
    import torch

    from striate.core.devices import device_report
    from striate.engine.native import kernels

    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "kernels": kernels() is not None,
        "memory_bytes": machine_memory_bytes(),
        **device_report(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
