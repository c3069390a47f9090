"""Writing a classifier of pictures as one HTML page that runs it: the steps, the weights, the engine and the page, all inside."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.core.errors import RefusedFileError, UsageError
from striate.core.files import read_plain
from striate.core.images import ImageSpec
from striate.core.tensor_files import COPY_AGAIN
from striate.drawing.page import STYLE, escape
from striate.insight.export.steps import Step, steps_of
from striate.insight.export.wanted import Precision

if TYPE_CHECKING:
    from striate.models.model import Model

MAX_BYTES = 300_000_000  # of weights: base64 makes a third more of them, and a browser's texts end at 512 MiB
MAX_PAGE = 2 * MAX_BYTES  # with base64, the plan and the engine
LARGEST_HALF = 65504.0
ALIGNED = 4  # bytes
NORMALIZED = {
    "dataset": "normalized by the mean and deviation of the training set",
    "per_image": "each normalized by its own mean and deviation",
    "min_max": "each from its least value to its largest",
}
TASKS = {"classify": "classes", "multilabel": "labels", "regression": "numbers"}


def html_bytes(model: Model, precision: Precision = "float16") -> bytes:
    """The page of a model, its weights and its preprocessing inside; it loads nothing from elsewhere.

    Args:
        model: A model of pictures that gives classes, labels or numbers.
        precision: Of the weights; those of one axis, such as biases, stay float32. int8: in units of 1/127 of each output's largest.

    Raises:
        UsageError: the model takes no pictures, a part of its network has no step, or its weights are too many.
    """
    plan, weights = plan_of(model, precision)
    shown = {
        "TITLE": escape(model.network.name),
        "STYLE": STYLE + _part("page.css"),
        "PLAN": json.dumps(plan, allow_nan=False).replace("<", "\\u003c"),  # no end of its element stands in it
        "WEIGHTS": base64.b64encode(weights).decode(),
        **{name: _part(f"{name.lower()}.js") for name in ("ENGINE", "WORKER", "PAGE")},
    }
    before, *rest = _part("page.html").split("{{")
    text = before + "".join(shown[name] + after for name, _, after in (piece.partition("}}") for piece in rest))
    return text.encode()


def plan_in(page: Path) -> dict[str, Any]:
    """The plan in a page that `html_bytes` made, whose weights are as it says.

    Raises:
        RefusedFileError: no such page, or its weights were changed.
    """
    text = read_plain(page, limit=MAX_PAGE).decode(errors="replace")
    plan, weights = (
        found[1] if (found := re.search(f'<script type="{kind}" id="{name}">(.*?)</script>', text, re.DOTALL)) else None
        for name, kind in (("plan", "application/json"), ("weights", "text/plain"))
    )
    try:
        known: dict[str, Any] = json.loads(plan or "")
        whole = hashlib.sha256(base64.b64decode(weights or "", validate=True)).hexdigest() == known["sha256"]
    except (ValueError, LookupError, TypeError):
        raise RefusedFileError(f"{page}: is no page that `striate export` wrote, or damaged", COPY_AGAIN) from None
    if not whole:
        raise RefusedFileError(f"{page}: its weights do not match their SHA-256: damaged or edited", COPY_AGAIN)
    return known


def _part(name: str) -> str:
    return files("striate.insight.export").joinpath("page", name).read_text(encoding="utf-8")


def plan_of(model: Model, precision: Precision) -> tuple[dict[str, Any], bytes]:
    """Plain data of all that the engine needs beside the weights, and the weights.

    Raises:
        UsageError: as `html_bytes`.
    """
    spec = model.images
    if not isinstance(spec, ImageSpec):
        raise UsageError(f"{model.network.name}: takes {spec.kind}, and a page takes pictures", "Export it as onnx.")
    if spec.channels not in (1, 3):
        raise UsageError(f"{model.network.name}: takes {spec.channels} channels, and a page takes 1 or 3", "Export it as onnx.")
    if model.network.params * {"float32": 4, "float16": 2, "int8": 1}[precision] > MAX_BYTES:
        remedy = "Use a smaller network." if precision == "int8" else "Use `precision='int8'`, or a smaller network."
        raise UsageError(f"{model.network.name}: {model.network.params:,} parameters in {precision} are too many for a page", remedy)
    network = model.module.get_submodule("network")
    steps = steps_of(model.network, network)
    if model.targets is not None and model.task == "regression":
        tensors = {name: np.asarray(values, float) for name, values in (("scale", model.targets.std), ("shift", model.targets.mean))}
        steps.append(Step("affine", "", [steps[-1]], steps[-1].shape, {}, tensors))
    pool = _Weights(precision)
    places = {id(step): place for place, step in enumerate(steps)}
    records = [
        {
            "op": step.op,
            "path": step.path,
            "inputs": [places[id(source)] for source in step.inputs],
            "shape": step.shape,
            **step.fields,
            "tensors": {name: pool.add(values, whole=step.op not in ("conv", "linear")) for name, values in step.tensors.items()},
        }
        for step in steps
    ]
    scale, offset = spec.scale_and_offset
    weights = bytes(pool.data)
    plan = {
        "network": model.network.name,
        "classes": model.classes,
        "images": {
            "height": spec.height, "width": spec.width, "channels": spec.channels, "fit": spec.fit, "normalization": spec.normalization,
            "scale": scale, "offset": offset,
        },
        "task": "scores" if model.gives_scores else TASKS[model.task],
        "temperature": model.calibration.temperature,
        "score": model.calibration.score,
        "threshold": model.calibration.threshold,
        "facts": _facts(model, precision, len(weights)),
        "sha256": hashlib.sha256(weights).hexdigest(),
        "steps": records,
    }  # fmt: skip
    return plan, weights


class _Weights:
    """All tensors behind each other."""

    def __init__(self, precision: Precision) -> None:
        self.data = bytearray()
        self.precision = precision

    def add(self, values: np.ndarray, *, whole: bool) -> dict[str, Any]:
        """The place of a tensor, once it is there; float32 where it is to stay `whole`, has one axis, or does not fit float16."""
        kind: Precision = "float32" if whole or values.ndim < 2 else self.precision
        if kind == "float16" and np.abs(values).max(initial=0) > LARGEST_HALF:
            kind = "float32"
        if kind != "int8":
            return {"kind": kind, "offset": self._put(values.astype(kind)), "count": values.size}
        rows = values.reshape(len(values), -1)
        scales = (np.abs(rows).max(1) / 127).astype(np.float32)
        steps = np.where(scales > 0, scales, 1).astype(np.float64)[:, None]
        offset = self._put(np.rint(rows / steps).clip(-127, 127).astype(np.int8))
        return {"kind": kind, "offset": offset, "count": values.size, "scales": {"offset": self._put(scales), "count": len(scales)}}

    def _put(self, values: np.ndarray) -> int:
        self.data += bytes(-len(self.data) % ALIGNED)
        offset = len(self.data)
        self.data += np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()
        return offset


def _facts(model: Model, precision: Precision, size: int) -> list[tuple[str, str]]:
    """Facts of the model for those who look at the page."""
    spec, found = model.images, model.calibration
    known = [("trained on", model.info.get("data")), ("accuracy on val", model.info.get("val_accuracy"))]
    facts = [
        ("network", f"{model.network.name}: {model.network.params:,} parameters, {model.network.macs:,} multiply-adds a picture"),
        ("input", f"{spec.words}, fit: {spec.fit}, {NORMALIZED[spec.normalization]}" if isinstance(spec, ImageSpec) else spec.words),
        ("weights", f"{precision}, {size / 1e6:.1f} MB"),
        *((name, f"{value:.1%}" if isinstance(value, float) else str(value)) for name, value in known if value is not None),
    ]
    if "calibration" in model.info:
        unknown = "" if found.threshold is None else f'; "unknown" below {found.score} {found.threshold:.3g}'
        facts.append(("calibrated", f"temperature {found.temperature:.3g}{unknown}"))
    if model.network.source:
        facts.append(("source of the network", model.network.source))
    return facts
