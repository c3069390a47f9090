"""A model that was exported to a file: the same answers; from an ONNX file without torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from striate.core.bounded import parsed_json
from striate.core.errors import RefusedFileError, UsageError
from striate.core.files import read_plain
from striate.core.images import ImageSpec, InputSpec
from striate.core.settings import check_counts
from striate.core.targets import Task
from striate.core.tensor_files import COPY_AGAIN, check_seal
from striate.models.inputs import as_seen, finite_outputs
from striate.models.model import Model, calibration_of
from striate.models.runtimes import Runtime, runtime_of
from striate.networks.model_file import ENTRY, FIELDS, check_fields, described_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

MAX_BYTES = 2**31 - 1  # of an ONNX file that holds its weights
GRAPH = "graph"  # of the description: the length and the SHA-256 of the rest of the file
GRAPH_FIELDS = {"bytes", "sha256", "facts_sha256"}  # and of the other metadata
KNOWN = "known"  # an output, false: the answer is "unknown"
LOGITS = ("logits", "numbers")  # the output that answers are made from: one of these


class ExportedModel(Model):
    """An exported file, run on the processor; answers like the Model that it was exported from.

    Raises:
        RefusedFileError: the file is damaged or edited, was not written by Striate, or keeps its weights in another file.
        EnvironmentFault: what runs it is not installed.
    """

    def __init__(self, path: Path) -> None:
        data = read_plain(path, limit=MAX_BYTES, remedy="Give a file that `striate export` wrote.")
        self._runtime: Runtime = runtime_of(path, data)
        header = self._description(path)
        found = described_model(path, header, {}, len(data))
        self.path, self.device = path, "cpu"
        self.network, self.classes, self.images = found.network, found.classes, found.images
        self.info, self.targets = found.info, found.targets
        self.calibration = calibration_of(found.info)

    def _description(self, path: Path) -> dict[str, Any]:
        """The description in the metadata, once it and the graph are known to be unchanged."""
        metadata = self._runtime.metadata
        text = metadata.get(ENTRY)
        if text is None:
            raise RefusedFileError(f"{path}: a file without a Striate description", "Give one that `striate export` wrote.")
        header: dict[str, Any] = parsed_json(text, f"{path}: {ENTRY}", COPY_AGAIN, any_text=True)
        check_fields(path, header, FIELDS | {GRAPH})
        check_seal(path, header, {})
        graph = header[GRAPH]
        if not isinstance(graph, dict) or set(graph) != GRAPH_FIELDS or type(graph["bytes"]) is not int:
            raise RefusedFileError(f"{path}: {GRAPH} must have the fields {', '.join(sorted(GRAPH_FIELDS))}", COPY_AGAIN)
        if digest_of({name: value for name, value in metadata.items() if name != ENTRY}) != graph["facts_sha256"]:
            raise RefusedFileError(f"{path}: the metadata does not match its SHA-256: damaged or edited", COPY_AGAIN)
        if self._runtime.graph_digest(graph["bytes"]) != graph["sha256"]:
            raise RefusedFileError(f"{path}: the graph does not match its SHA-256: damaged or edited", COPY_AGAIN)
        return header

    @property
    def module(self) -> nn.Module:
        """Raise: there is no torch module.

        Raises:
            UsageError: always.
        """
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UsageError(
            f"{self.path}: an exported file gives answers only, and this needs the network's module", "Give the run that it comes from."
        )

    @property
    def task(self) -> Task:
        """The task, by the outputs of the file: a network of another library would have to be built to tell."""
        if self.targets is not None:
            return self.targets.task
        axes = next(axes for name, axes in self._runtime.outputs.items() if name in LOGITS)
        return "classify" if axes == 2 else "segment"

    @property
    def backend(self) -> str:
        """The name of what runs the file."""
        return self._runtime.backend

    @property
    def takes_prepared(self) -> bool:
        """True if the file takes pictures (N, C, H, W) that were prepared, in place of decoded ones."""
        return isinstance(self.images, ImageSpec) and self._runtime.takes_floats

    @property
    def facts(self) -> dict[str, str]:
        """The facts in its metadata, by name."""
        return {name: value for name, value in sorted(self._runtime.metadata.items()) if name != ENTRY}

    @property
    def answers_output(self) -> str:
        """The name of the output that users read: the probabilities, where the file gives them."""
        return next(iter(self._runtime.outputs))

    def run(self, images: np.ndarray, output: str | None = None) -> np.ndarray:
        """One output, by default the logits or numbers, (N, K) of pictures, uint8 (N, h, w, C), run at once.

        Their size may be any one, or, of a file that takes prepared pictures, the model's own.
        """
        wanted = output or next(name for name in LOGITS if name in self._runtime.outputs)
        return self._runtime.run(wanted, prepared(images, self.images) if self.takes_prepared else np.ascontiguousarray(images))

    def knows(self, images: np.ndarray) -> np.ndarray:
        """(N,) bool of pictures of the model's own size: False where the file itself says that it does not know them."""
        if KNOWN not in self._runtime.outputs:
            return np.ones(len(images), bool)
        return np.concatenate([self.run(images[start : start + 1], KNOWN) for start in range(len(images))])

    def outputs(self, images: np.ndarray, *, batch_size: int = 128, names: Sequence[str] | None = None) -> np.ndarray:
        """The logits, or the numbers in the user's units, (N, K) float64 of uint8 images (N, H, W, C) of the model's own size."""
        check_counts(batch_size=batch_size)
        images = as_seen(images, self.images)
        rows = [self.run(images[start : start + batch_size]).astype(np.float64) for start in range(0, len(images), batch_size)]
        return finite_outputs(np.concatenate(rows), names) if rows else np.zeros((0, len(self.classes)))

    def save(self, path: Any) -> None:
        """Raise: the weights are those of the run.

        Raises:
            UsageError: always.
        """
        self._refuse()


def prepared(images: np.ndarray, spec: InputSpec) -> np.ndarray:
    """float32 (N, C, H, W) in [0, 1] of uint8 pictures (N, H, W, C); samples of another kind as they are."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 255 if isinstance(spec, ImageSpec) else images


def digest_of(facts: dict[str, str]) -> str:
    """The SHA-256 of named facts, in the order of their names."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
