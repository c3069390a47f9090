"""Packages of peers, each in a folder of its own, so that ours stay as they are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def packages_of(name: str, packages: Sequence[str], *, dependencies: bool = False) -> Path:
    """The folder of a peer's packages, installed the first time, with what they depend on or without."""
    place = Path("~/.cache/striate/peers").expanduser() / name
    done = place / "installed"
    if not done.exists():
        more = [] if dependencies else ["--no-deps"]
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *more, "--target", str(place), *packages], check=True)
        done.touch()
    return place
