"""An OpenVINO model in two files, .xml and .bin, run on the processor in the precision that its weights have."""

from __future__ import annotations

import hashlib
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.errors import EnvironmentFault, RefusedFileError
from striate.core.files import read_plain
from striate.core.tensor_files import COPY_AGAIN
from striate.networks.model_file import ENTRY

WEIGHTS = ".bin"  # the file beside the .xml
MAX_BYTES = 2**33  # of it
FACTS = "striate"  # of the model's rt_info
BEFORE, AFTER = b"<!-- striate ", b" -->\n"  # around the description, behind the model
TELEMETRY = "openvino_telemetry"
IN_FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}  # else it takes bfloat16 where the processor has that


class OpenVinoRuntime:
    """An .xml file with its .bin, run by OpenVINO.

    Raises:
        EnvironmentFault: OpenVINO is not installed.
        RefusedFileError: one of the files is missing or damaged.
    """

    backend = "openvino"

    def __init__(self, path: Path, data: bytes) -> None:
        weights = path.with_suffix(WEIGHTS)
        if not weights.is_file():
            raise RefusedFileError(f"{path}: its weights, {weights.name}, do not stand beside it", "Copy both files.")
        self._xml, _, tail = data.rpartition(BEFORE)
        self._weights = read_plain(weights, limit=MAX_BYTES, remedy=COPY_AGAIN)
        self._core = openvino_core(path)
        try:
            self._model = self._core.read_model(self._xml or data, self._weights)
            facts = self._model.get_rt_info([FACTS]).astype(dict) if self._model.has_rt_info([FACTS]) else {}
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1][:200]
            raise RefusedFileError(f"{path}: OpenVINO cannot open it: damaged, or of a newer version: {reason}", COPY_AGAIN) from None
        self.metadata = {str(name): str(getattr(value, "value", value)) for name, value in facts.items()}
        if self._xml and tail.endswith(AFTER):
            self.metadata[ENTRY] = tail.removesuffix(AFTER).decode(errors="replace")
        self.outputs = {each.get_any_name(): len(each.get_partial_shape()) for each in self._model.outputs}
        self.takes_floats = bool(self._model.inputs[0].get_element_type().is_real())

    def graph_digest(self, num_bytes: int) -> str:
        """The SHA-256 of the model and its weights."""
        return digest_of_files(self._xml[:num_bytes], self._weights)

    @cached_property
    def _compiled(self) -> Any:
        return self._core.compile_model(self._model, "CPU", IN_FLOAT32)

    def run(self, output: str, given: np.ndarray) -> np.ndarray:
        """One output for a batch."""
        found: np.ndarray = np.array(self._compiled([given])[output])
        return found


def digest_of_files(xml: bytes, weights: bytes) -> str:
    """The SHA-256 of both, one behind the other."""
    return hashlib.sha256(xml + weights).hexdigest()


def openvino_core(what: object) -> Any:
    """A core of OpenVINO; `what` needs it. Its package reports each import to its maker; here it is imported as if it could not.

    Raises:
        EnvironmentFault: it is not installed.
    """
    silenced = sys.modules.setdefault(TELEMETRY, None) is None  # type: ignore[arg-type]  # None: not to be imported
    try:
        import openvino
    except ImportError:
        raise EnvironmentFault(f"{what}: needs OpenVINO, which is not installed", "Install it: pip install striate[openvino].") from None
    finally:
        if silenced:
            del sys.modules[TELEMETRY]
    return openvino.Core()
