"""Writing a model as an ONNX file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import TypeAdapter

from striate.core.errors import EnvironmentFault, UsageError
from striate.core.images import ImageSpec, InputSpec
from striate.core.modes import evaluation_mode
from striate.core.tensor_files import sealed
from striate.insight.export.onnx_numbers import AT_ONCE, in_int8, with_small_weights
from striate.insight.export.program import Program
from striate.insight.export.wanted import Wanted
from striate.models.exported import GRAPH, MAX_BYTES, digest_of
from striate.networks.model_file import ENTRY, description_of

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

    from striate.models.model import Model

OPSET = 20
TRACED = 2  # pictures of the example: with 1, an exporter takes the batch for fixed
AS_USUAL = Wanted()
OTHERS = "Predict with the run itself, which takes every network."
EXPORTERS = ("onnx", "onnxscript", "onnxruntime")


def onnx_bytes(model: Model, wanted: Wanted = AS_USUAL) -> bytes:
    """The ONNX file of a model, its weights and its preprocessing inside.

    Input `images`: uint8 (N, h, w, C), N, h and w of any size, of a model of pictures; float32 (N, C, H, W) in [0, 1], N of any size, where
    that is wanted; else float32 samples (N, ..., C), N of any size. The outputs are those of `Program`. The description of the model and
    the facts stand in the metadata, behind the graph; the description holds the SHA-256 of both.

    Raises:
        EnvironmentFault: what exports is not installed.
        UsageError: a part of the network has no form in ONNX, the file would be larger than the format allows, or there is no other input.
    """
    need_exporter()
    if 4 * model.network.params > MAX_BYTES:
        raise UsageError(
            f"{model.network.name}: {model.network.params:,} parameters are too many for one ONNX file", "Use a smaller network."
        )
    if wanted.input == "float32" and not isinstance(model.images, ImageSpec):
        raise UsageError(f"{model.network.name}: takes {model.images.kind} as float32 already", "Leave `input` out.")
    graph: bytes = _in_precision(_graph(model, wanted), model, wanted).SerializeToString(deterministic=True)
    facts = {"classes": json.dumps(list(model.classes)), "preprocessing": _preprocessing(model.images, wanted), **wanted.facts}
    description = description_of(model.network, classes=model.classes, images=model.images, info=model.info, targets=model.targets) | {
        GRAPH: {"bytes": len(graph), "sha256": hashlib.sha256(graph).hexdigest(), "facts_sha256": digest_of(facts)}
    }
    return graph + _metadata({ENTRY: json.dumps(sealed(description, {}), allow_nan=False), **facts})


def _preprocessing(spec: InputSpec, wanted: Wanted) -> str:
    """The work that is left to who uses the file, and that is done inside it, as JSON."""
    data = TypeAdapter(InputSpec).dump_python(spec, mode="json")
    left = {"decode": True, "resize": wanted.input == "float32", "divide_by_255": wanted.input == "float32", "normalize": False}
    return json.dumps({"left_to_you": left if isinstance(spec, ImageSpec) else {}, "of_the_model": data})


def _in_precision(proto: ModelProto, model: Model, wanted: Wanted) -> ModelProto:
    """The graph with its numbers as they are wanted; of int8 the better of one scale a channel and one a tensor, on training pictures."""
    if wanted.precision == "float32":
        return proto
    if wanted.precision != "int8":
        return with_small_weights(proto, wanted.precision)
    if wanted.training is None:
        raise RuntimeError("int8 without pictures of the training split")
    from striate.models.exported import prepared, session_of

    given = prepared(wanted.training, model.images) if wanted.input == "float32" else wanted.training
    batches = [np.ascontiguousarray(given[start : start + AT_ONCE]) for start in range(0, len(given), AT_ONCE)]

    def logits(found: ModelProto) -> np.ndarray:
        session = session_of(Path("int8"), found.SerializeToString())
        return np.concatenate([session.run(["logits"], {"images": batch})[0] for batch in batches])

    aims = logits(proto)
    tried = [in_int8(proto, batches, per_channel=per_channel) for per_channel in (True, False)]
    return min(tried, key=lambda found: float(np.abs(logits(found) - aims).mean()))


def need_exporter() -> None:
    """Refuse to begin where a package is missing.

    Raises:
        EnvironmentFault: one is.
    """
    import importlib.util

    missing = [name for name in EXPORTERS if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentFault(f"export needs {', '.join(missing)}, not installed", "Install it: pip install striate[export].")


def _graph(model: Model, wanted: Wanted) -> ModelProto:
    """The program, checked, without a description."""
    import onnx

    program, example = Program(model, wanted.input).eval(), _example(model, wanted)
    axes = ("batch", "height", "width") if example.dtype == torch.uint8 else ("batch",)
    sizes = {axis: torch.export.Dim(name, min=1) for axis, name in enumerate(axes)}
    with _quiet(), evaluation_mode(program), torch.no_grad():
        try:
            exported = _exported(program, example, {"images": sizes}, program.outputs)
        except torch.onnx.errors.OnnxExporterError as error:
            raise UsageError(f"{model.network.name}: {_culprit(model)}has no form in ONNX: {_cause(error)}", OTHERS) from error
    proto: ModelProto = exported.model_proto
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _exported(module: nn.Module, example: torch.Tensor, sizes: Any, outputs: Sequence[str]) -> Any:
    exported = torch.onnx.export(
        module, (example,), dynamo=True, dynamic_shapes=sizes, input_names=["images"], output_names=list(outputs), opset_version=OPSET,
        verbose=False,
    )  # fmt: skip
    if exported is None:
        raise RuntimeError("nothing was exported")
    return exported


def _culprit(model: Model) -> str:
    """The path and the kind of the first part without parts that cannot be exported alone, each kind tried once."""
    network = model.module.get_submodule("network")
    inputs: dict[str, Any] = {}
    parts = [(path, part) for path, part in network.named_modules() if path and not any(part.children())]
    hooks = [part.register_forward_pre_hook(lambda _, given, path=path: inputs.setdefault(path, given)) for path, part in parts]
    try:
        model.outputs(np.zeros((1, *model.images.array_shape), np.uint8 if isinstance(model.images, ImageSpec) else np.float32))
    finally:
        for hook in hooks:
            hook.remove()
    kinds: set[type] = set()
    for path, part in parts:
        if type(part) in kinds or len(inputs.get(path, ())) != 1:
            continue
        kinds.add(type(part))
        try:
            _exported(part, inputs[path][0], None, ["found"])
        except torch.onnx.errors.OnnxExporterError:
            return f"{path} ({type(part).__name__}) "
    return "a part "


def _example(model: Model, wanted: Wanted) -> torch.Tensor:
    """Pictures, or samples, to trace with."""
    *extent, channels = model.images.array_shape
    if not isinstance(model.images, ImageSpec):
        return torch.zeros(TRACED, *extent, channels)
    height, width = extent
    if wanted.input == "float32":
        return torch.zeros(TRACED, channels, height, width)
    noise = np.random.default_rng(0).integers(0, 256, (TRACED, height + 3, width + 5, channels), np.uint8)
    return torch.from_numpy(noise)


def _metadata(entries: dict[str, str]) -> bytes:
    """A ModelProto of metadata alone: written behind another one, its entries join that one's."""
    import onnx

    proto = onnx.ModelProto()
    for key, value in entries.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    tail: bytes = proto.SerializeToString(deterministic=True)
    return tail


def _cause(error: BaseException) -> str:
    """The innermost cause of a failed export, in a line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's progress and warnings are left out: what matters is raised, or found by the gate."""
    loggers: list[Any] = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
