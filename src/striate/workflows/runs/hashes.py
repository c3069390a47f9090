"""The files of a run folder that define the run, and a hash of the content of each.

The hash is over content, not bytes: comments, the order of names and the form of a number do not count. Of the configuration, the places
of the data are left out, which may move, and the length of the training, which grows when a run is extended; of settings that the length
cuts, what was asked for counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILES = "files"  # of a model file's info and a checkpoint's state: SHA-256 of the content of the run's files, by name
NOT_RECORDED = "it records no hashes of its files, as runs of older versions: whether they were edited since is unknown"
HASHED = ("config.yaml", "network.json", "classes.json", "split.json")
GROWN = ("events.jsonl", "metrics.csv", "probe.jsonl")  # written while a run trains: its last event, `closed`, has their hashes
CLOSED = "closed"
PLACES = ("data", "data_dir")
LENGTH = ("epochs", "steps")  # of the settings


def file_hash(path: Path) -> str:
    """The SHA-256 of the bytes of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(name: str, content: Any) -> str:
    """The SHA-256 of the content of the file `name`, in hexadecimal digits."""
    decisive = _decisions(content) if name == "config.yaml" else content
    return hashlib.sha256(json.dumps(_plain_numbers(decisive), sort_keys=True, default=str).encode()).hexdigest()


def _decisions(config: Any) -> Any:
    if not isinstance(config, Mapping):
        return config
    kept = {name: value for name, value in config.items() if name not in (*PLACES, "extended_by")}
    asked = kept.pop("asked", None)  # in place of what of it took effect, which goes by the length
    if isinstance(settings := kept.get("settings"), Mapping):
        decided = {**settings, **asked} if isinstance(asked, Mapping) else settings
        kept["settings"] = {name: value for name, value in decided.items() if name not in LENGTH}
    return kept


def _plain_numbers(content: Any) -> Any:
    """The same with whole numbers in one form: 5.0 is 5."""
    if isinstance(content, dict):
        return {str(name): _plain_numbers(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_plain_numbers(value) for value in content]
    return int(content) if isinstance(content, float) and content.is_integer() else content
