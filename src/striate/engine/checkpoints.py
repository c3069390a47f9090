"""Checkpoints of a training: every tensor it needs to continue, exactly, and the rest of its state as JSON.

`checkpoints/ckpt-00000120/` holds model.safetensors, optimizer.safetensors, ..., state.json and MANIFEST.json; `checkpoints/latest`
names the newest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from torch import Tensor

from striate.core.errors import NumericError, RefusedFileError
from striate.core.sealed import SealedSeries, sealed_files, to_stderr
from striate.core.tensor_files import tensor_file, torch_tensors

STATE = "state.json"
SUFFIX = ".safetensors"


class Checkpoint(NamedTuple):
    """The checkpoint saved after update `step`."""

    step: int
    tensors: dict[str, dict[str, Tensor]]  # file ("model", "optimizer", ...) -> name -> tensor, on the CPU, with its own dtype
    state: dict[str, Any]
    folder: Path


class CheckpointStore:
    """The checkpoints of a run: saved whole or not at all, verified by SHA-256, the newest two kept.

    Args:
        folder: `RUN/checkpoints`; made if it is missing. The caller holds the run's lock.
        say: Takes a line on what was wrong but did not stop the run; the default prints it to stderr.

    Raises:
        EnvironmentFault: `folder` cannot be made or written to.
    """

    def __init__(self, folder: Path, *, say: Callable[[str], None] = to_stderr) -> None:
        self.series = SealedSeries(folder, "ckpt", say=say)

    def save(self, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> Path:
        """Save the state of a training after update `step`.

        Args:
            step: Updates since the start.
            tensors: For each file ("model", "ema", "optimizer", ...) its tensors by name; each keeps its dtype.
            state: The rest; plain numbers, strings, lists and dicts, which come back exactly.

        Returns:
            The checkpoint's folder.

        Raises:
            NumericError: a tensor holds NaN or Inf; nothing is written.
            EnvironmentFault: it cannot be written; the checkpoints before it stay.
        """
        for group, named in tensors.items():
            for name, tensor in named.items():
                if tensor.is_floating_point() and not tensor.isfinite().all():
                    raise NumericError(
                        f"no checkpoint of step {step}: {group}: {name} holds NaN or Inf", "Train with a smaller `learning_rate`."
                    )
        text = json.dumps({"step": step, "state": state}, indent=1).encode()
        size = len(text) + sum(tensor.nbytes for named in tensors.values() for tensor in named.values())

        def files() -> Iterator[tuple[str, bytes]]:
            for group, named in tensors.items():
                yield group + SUFFIX, safetensors.torch.save(_apart(named))
            yield STATE, text

        return self.series.add(step, files(), needed_bytes=size)

    def load_latest(self, *, strict: bool = False) -> Checkpoint | None:
        """The newest intact checkpoint; None if there is none. A damaged one is reported, and the previous one used.

        Args:
            strict: Refuse instead, where the newest is damaged.

        Raises:
            RefusedFileError: there are checkpoints, and none is whole (with `strict`: the newest is not); names each.
        """
        folder = self.series.newest(strict=strict)
        return None if folder is None else load_checkpoint(folder)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read one checkpoint.

    Raises:
        RefusedFileError: it is damaged, or of another format.
    """
    tensors: dict[str, dict[str, Tensor]] = {}
    content: Any = None
    for name, data in sealed_files(folder):
        try:
            if name == STATE:
                content = json.loads(data)
            else:
                tensors[name.removesuffix(SUFFIX)] = torch_tensors(tensor_file(folder / name, data))
        except (ValueError, RecursionError) as error:
            raise RefusedFileError(f"{folder / name}: cannot be read: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("step"), int) or not isinstance(content.get("state"), dict):
        raise RefusedFileError(f"{folder / STATE}: must have a step and a state")
    return Checkpoint(content["step"], tensors, content["state"], folder)


def _apart(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, contiguous, no two in the same storage: each is written whole."""
    apart, storages = {}, set()
    for name, tensor in named.items():
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage()
        apart[name] = plain.clone() if storage.data_ptr() in storages or storage.nbytes() != plain.nbytes else plain
        storages.add(storage.data_ptr())
    return apart
