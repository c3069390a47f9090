"""Packages of peers, each in a folder of its own, so that ours stay as they are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FASTAI = (  # and what it imports that we have not
    "fastai==2.8.12",
    "fastcore==2.2.41",
    "fastdownload==0.0.8",
    "fastprogress==1.1.6",
    "fasttransform==0.0.5",
    "plum-dispatch==2.10.1",
    "beartype==0.23.1",
    "cloudpickle==3.1.3",
    "python-fasthtml==0.14.14",
    "fastlite==0.2.4",
    "apswutils==0.1.2",
    "apsw==3.54.1.0",
    "starlette==1.10.0",
    "oauthlib==4.0.1",
    "itsdangerous==2.2.0",
    "python-multipart==0.0.34",
    "httpx==0.28.1",
    "httpcore==1.0.9",
    "h11==0.16.0",
    "anyio==4.16.0",
    "uvicorn==0.54.0",
    "beautifulsoup4==4.15.0",
    "soupsieve==4.1.3",
    "python-dateutil==4.0.0",
    "dateutils==0.6.12",
    "pandas==3.1.1",
    "pytz==2026.6",
    "tzdata==2026.6",
    "requests==2.34.2",
)


def packages_of(name: str, packages: Sequence[str], *, dependencies: bool = False) -> Path:
    """The folder of a peer's packages, installed the first time and when others are asked for, with what they depend on or without."""
    place = Path("~/.cache/striate/peers").expanduser() / name
    done, words = place / "installed", " ".join(packages)
    if not done.exists() or done.read_text() != words:
        more = [] if dependencies else ["--no-deps"]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", *more, "--target", str(place), *packages]
        subprocess.run(command, check=True)
        done.write_text(words)
    return place
