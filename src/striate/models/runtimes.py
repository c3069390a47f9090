"""Exported files as programs: what runs each format, opened with care and asked for one output at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from striate.core.devices import available_cores
from striate.core.errors import EnvironmentFault, RefusedFileError
from striate.core.tensor_files import COPY_AGAIN

ONNX, TORCH, OPENVINO = ".onnx", ".pt2", ".xml"  # the endings of their names
ENDINGS = (ONNX, TORCH, OPENVINO)
SETTINGS: dict[str, str] = {}  # of this process's sessions, by ONNX Runtime's names


def leave_cores_to_others() -> None:
    """Let threads of ONNX Runtime that wait for each other not spin, in sessions from now on.

    Spinning answers one small picture in 0.47 instead of 0.75 ms where nothing else needs the cores; a server decodes and talks on them.
    """
    SETTINGS["session.intra_op.allow_spinning"] = "0"


class Runtime(Protocol):
    """An opened file.

    Attributes:
        backend: The name of what runs it.
        metadata: The facts in the file, by name.
        outputs: The number of axes of each output, by name, in their order.
        takes_floats: True if the input is float32.
    """

    backend: str
    metadata: dict[str, str]
    outputs: dict[str, int]
    takes_floats: bool

    def graph_digest(self, num_bytes: int) -> str:
        """The SHA-256 of the graph and its weights, which were so many bytes."""

    def run(self, output: str, given: np.ndarray) -> np.ndarray:
        """One output for a batch."""


def runtime_of(path: Path, data: bytes) -> Runtime:
    """The program in an exported file, by the ending of its name.

    Args:
        path: The file.
        data: Its content.

    Raises:
        EnvironmentFault: what runs it is not installed.
        RefusedFileError: it cannot be run, or holds more than numbers and known operations.
    """
    if path.suffix.lower() == TORCH:
        from striate.models.torch_program import TorchRuntime

        return TorchRuntime(path, data)
    if path.suffix.lower() == OPENVINO:
        from striate.models.openvino_file import OpenVinoRuntime

        return OpenVinoRuntime(path, data)
    return OnnxRuntime(path, data)


class OnnxRuntime:
    """An ONNX file, run by ONNX Runtime on the processor."""

    backend = "onnxruntime"

    def __init__(self, path: Path, data: bytes) -> None:
        self._session, self._data = session_of(path, data), data
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.outputs = {str(each.name): len(each.shape) for each in self._session.get_outputs()}
        self.takes_floats: bool = self._session.get_inputs()[0].type == "tensor(float)"

    def graph_digest(self, num_bytes: int) -> str:
        """The SHA-256 of the first bytes of the file: its metadata stands behind the graph."""
        return hashlib.sha256(self._data[:num_bytes]).hexdigest()

    def run(self, output: str, given: np.ndarray) -> np.ndarray:
        """One output for a batch."""
        (answers,) = self._session.run([output], {self._session.get_inputs()[0].name: given})
        found: np.ndarray = np.asarray(answers)
        return found


def silent_runtime() -> Any:
    """The module `onnxruntime`, told to report nothing to its maker, which it does by default from 1.32 on. Import it here alone.

    Raises:
        ImportError: it is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # is read when it is imported
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # where the user's program imported it before
    return onnxruntime


def session_of(path: Path, data: bytes, weights: Mapping[str, np.ndarray] = MappingProxyType({})) -> Any:
    """An ONNX Runtime session of a file's bytes; weights in other files are not read, but for `weights` that it names.

    Raises:
        EnvironmentFault: ONNX Runtime is not installed.
        RefusedFileError: the file cannot be run.
    """
    try:
        onnxruntime = silent_runtime()
    except ImportError:
        raise EnvironmentFault(f"{path}: needs ONNX Runtime, which is not installed", "Install it: pip install striate[export].") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    options.intra_op_num_threads = available_cores()  # by itself it counts those that it may not use, too
    for name, value in SETTINGS.items():
        options.add_session_config_entry(name, value)
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in weights.items()}
    options.add_external_initializers(list(values), list(values.values()))
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  # its own classes, without a common base
        reason = str(error).splitlines()[0][:200]
        raise RefusedFileError(f"{path}: ONNX Runtime cannot open it: {reason}", COPY_AGAIN) from None
    session.weights = values  # it computes with this memory, and does not keep it
    return session
