"""A program of `torch.export` in a .pt2 file, read without running anything that stands in it.

`torch.export.load` unpickles parts of a file, evaluates its sizes as Python, and looks up functions of torch by name. Here a file is opened
only if it holds nothing but numbers, operations of ATen and plain sizes; what torch then reads is a copy of the parts that were
looked at.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.bounded import parsed_json
from striate.core.errors import RefusedFileError
from striate.core.tensor_files import COPY_AGAIN
from striate.networks.model_file import ENTRY

MAX_BYTES = 2**33  # of all the parts
GRAPH, EXTRA = "models/model.json", "extra/"
WEIGHTS, CONSTANTS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"
INPUTS = "data/sample_inputs/model.pt"  # is empty
STAMP = ".data/serialization_id"  # of the writing
KNOWN = {GRAPH, WEIGHTS, CONSTANTS, INPUTS, STAMP, "archive_format", "archive_version", "byteorder", ".data/version"}
NUMBERS = re.compile(r"data/(weights/weight|constants/tensor)_\d+")
OPERATION = re.compile(r"torch\.ops\.aten\.(?!from_file)\w+\.\w+|_operator\.(add|sub|mul|floordiv|mod|truediv|neg|eq|ne|ge|gt|le|lt)")
SIZE = re.compile(r"Symbol\('[su]\d+'(, (positive|integer|nonnegative)=True)*\)|(Integer|Mul|Add|Pow|Max|Min|FloorDiv|Mod)\b|[-\d\s(),]")
SPECS = (None, "builtins.tuple", "builtins.list", "builtins.dict")  # of the nesting of inputs and outputs
OUTPUTS = "outputs"  # the fact that names them
FLOAT = 7  # of torch's numbers for types
WHAT = "holds more than numbers and known operations"


class TorchRuntime:
    """A .pt2 file, run by torch on the processor.

    Raises:
        RefusedFileError: it is damaged, or holds what no exported file of Striate holds.
    """

    backend = "torch"

    def __init__(self, path: Path, data: bytes) -> None:
        self._path, self._parts = path, _parts(path, data)
        self.metadata = {
            name.removeprefix(EXTRA): part.decode(errors="replace") for name, part in self._parts.items() if name.startswith(EXTRA)
        }
        if ENTRY not in self.metadata:
            return  # another program's: is refused by who asked
        program = self._json(GRAPH)
        _refuse_code(path, program, [self._json(WEIGHTS), self._json(CONSTANTS)])
        graph = program["graph_module"]["graph"]
        values = graph["tensor_values"]
        names = parsed_json(self.metadata.get(OUTPUTS, "[]"), f"{path}: {OUTPUTS}", COPY_AGAIN, any_text=True)
        tensors = [values[each["as_tensor"]["name"]] for each in graph["outputs"]]
        self.outputs = {name: len(tensor["sizes"]) for name, tensor in zip(names, tensors, strict=True)}
        self.takes_floats = bool(values[graph["inputs"][-1]["as_tensor"]["name"]]["dtype"] == FLOAT)

    def _json(self, name: str) -> Any:
        return parsed_json(self._parts[name].decode(errors="replace"), f"{self._path}: {name}", COPY_AGAIN, any_text=True)

    def graph_digest(self, num_bytes: int) -> str:
        """The SHA-256 of the program and its weights."""
        return digest_of_parts(self._parts)

    @cached_property
    def _program(self) -> Callable[..., Any]:
        import torch

        copy = io.BytesIO()
        with zipfile.ZipFile(copy, "w") as archive:
            for name, part in self._parts.items():
                archive.writestr(f"archive/{name}", part)
        copy.seek(0)
        try:
            found: Callable[..., Any] = torch.export.load(copy).module()
        except Exception as error:  # noqa: BLE001  # whatever torch makes of a file of another version
            reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
            raise RefusedFileError(f"{self._path}: torch {torch.__version__} cannot open it: {reason}", "Export it again.") from None
        return found

    def run(self, output: str, given: np.ndarray) -> np.ndarray:
        """One output for a batch."""
        import torch

        with torch.inference_mode():
            answers = self._program(torch.from_numpy(given))
        found: np.ndarray = answers[list(self.outputs).index(output)].numpy()
        return found


def digest_of_parts(parts: dict[str, bytes]) -> str:
    """The SHA-256 of the program and its weights, by the names of the parts; the facts have one of their own."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        if not name.startswith(EXTRA) and name != STAMP:
            digest.update(f"{name} {len(parts[name])}\n".encode() + parts[name])
    return digest.hexdigest()


def _parts(path: Path, data: bytes) -> dict[str, bytes]:
    """The parts of the archive by name, each of a kind that is known."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sum(each.file_size for each in members) > min(MAX_BYTES, len(data)):  # nothing is compressed
                raise RefusedFileError(f"{path}: its parts are larger than the file", COPY_AGAIN)
            found = {each.filename.partition("/")[2]: archive.read(each) for each in members}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError):
        raise RefusedFileError(f"{path}: not a whole .pt2 file: damaged", COPY_AGAIN) from None
    strange = next((name for name in found if name not in KNOWN and not name.startswith(EXTRA) and not NUMBERS.fullmatch(name)), None)
    if strange is not None or len(found) < len(members) or found.get(INPUTS):
        raise RefusedFileError(f"{path}: {WHAT}: {strange or INPUTS}", "Give a file that `striate export` wrote.")
    return found


def _refuse_code(path: Path, program: Any, payloads: list[Any]) -> None:
    """Refuse a program with a part that torch would unpickle, evaluate or look up anywhere but among its operations."""
    try:
        strange = next(_strange(program, payloads), None)
        whole = all(name in program["graph_module"]["graph"] for name in ("inputs", "outputs", "tensor_values"))
    except (KeyError, TypeError, AttributeError):
        raise RefusedFileError(f"{path}: not a program of torch.export", COPY_AGAIN) from None
    if strange is not None or not whole:
        raise RefusedFileError(f"{path}: {WHAT}: {str(strange)[:100]}", "Give a file that `striate export` wrote.")


def _strange(program: Any, payloads: list[Any]) -> Iterator[object]:
    """Whatever is no number and no known operation."""
    if program["guards_code"]:
        yield program["guards_code"]
    for payload in payloads:
        for one in payload["config"].values():
            if one["use_pickle"] is not False or not NUMBERS.fullmatch(f"data/{_kind(one)}/{one['path_name']}"):
                yield one["path_name"]
    for name, value in _fields(program):
        if (name == "target" and not OPERATION.fullmatch(value)) or (name == "expr_str" and SIZE.sub("", value)):
            yield value
        elif name in ("in_spec", "out_spec"):
            found = parsed_json(value, name, COPY_AGAIN, any_text=True)
            yield from (kind for field, kind in _fields(found) if field == "type" and kind not in SPECS)
        elif name in ("as_custom_obj", "as_graph", "as_operator") or (name == "metadata" and value):
            yield f"{name} {value}"


def _kind(payload: Any) -> str:
    return "weights" if payload["path_name"].startswith("weight_") else "constants"


def _fields(data: Any) -> Iterator[tuple[str, Any]]:
    """All named fields, however deep."""
    pending = [data]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            yield from one.items()
            pending += one.values()
        elif isinstance(one, list):
            pending += one
