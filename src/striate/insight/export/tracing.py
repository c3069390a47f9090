"""Steps that the writers of all formats share: the traced example, the description in the file, the words of a failed trace."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import TypeAdapter

from striate.core.errors import UsageError
from striate.core.images import ImageSpec, InputSpec
from striate.core.tensor_files import sealed
from striate.insight.export.wanted import Wanted
from striate.models.exported import GRAPH, digest_of
from striate.networks.model_file import description_of

if TYPE_CHECKING:
    from torch import Tensor

    from striate.models.model import Model

TRACED = 2  # pictures of the example: with 1, an exporter takes the batch for fixed
AXES = ("batch", "height", "width")


def example_of(model: Model, wanted: Wanted) -> Tensor:
    """Pictures, or samples, to trace with.

    Raises:
        UsageError: there is no such input.
    """
    *extent, channels = model.images.array_shape
    if not isinstance(model.images, ImageSpec):
        if wanted.input == "float32":
            raise UsageError(f"{model.network.name}: takes {model.images.kind} as float32 already", "Leave `input` out.")
        return torch.zeros(TRACED, *extent, channels)
    height, width = extent
    if wanted.input == "float32":
        return torch.zeros(TRACED, channels, height, width)
    noise = np.random.default_rng(0).integers(0, 256, (TRACED, height + 3, width + 5, channels), np.uint8)
    return torch.from_numpy(noise)


def sizes_of(example: Tensor) -> dict[int, Any]:
    """The axes of the input that may have any size."""
    names = AXES if example.dtype == torch.uint8 else AXES[:1]
    return {axis: torch.export.Dim(name, min=1) for axis, name in enumerate(names)}


def facts_in(model: Model, wanted: Wanted) -> dict[str, str]:
    """The facts that stand in the file: the classes and the preprocessing as JSON, and those that are wanted."""
    spec = TypeAdapter(InputSpec).dump_python(model.images, mode="json")
    yours = wanted.input == "float32"
    left = {"decode": True, "resize": yours, "divide_by_255": yours, "normalize": False}
    preprocessing = {"left_to_you": left if isinstance(model.images, ImageSpec) else {}, "of_the_model": spec}
    return {"classes": json.dumps(list(model.classes)), "preprocessing": json.dumps(preprocessing), **wanted.facts}


def description_in(model: Model, facts: dict[str, str], digest: str, num_bytes: int) -> str:
    """The description that stands in the file as JSON, sealed, with the SHA-256 of the graph and of the facts."""
    graph = {"bytes": num_bytes, "sha256": digest, "facts_sha256": digest_of(facts)}
    named = description_of(model.network, classes=model.classes, images=model.images, info=model.info, targets=model.targets)
    return json.dumps(sealed(named | {GRAPH: graph}, {}), allow_nan=False)


def culprit_in(model: Model, fails: Callable[[torch.nn.Module, Tensor], bool]) -> str:
    """The path and the kind of the first part without parts that fails alone, each kind tried once."""
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
        if fails(part, inputs[path][0]):
            return f"{path} ({type(part).__name__}) "
    return "a part "


def cause_of(error: BaseException) -> str:
    """The innermost cause of a failed export, in a line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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
