"""The formats that a model is exported in: how each is written, and how it is tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from striate.insight.export.browser import need_browser
from striate.insight.export.gate import LIMIT, Gate, gate
from striate.insight.export.html_file import Precision, html_bytes
from striate.insight.export.onnx_file import need_exporter, onnx_bytes
from striate.insight.export.page_gate import PAGE_LIMIT, gate_page
from striate.models.exported import ONNX


class Form(NamedTuple):
    """A format of exported files."""

    ending: str
    precisions: tuple[Precision, ...]  # of the weights, the usual one first
    limit: float  # of a difference of probabilities
    need: Callable[[], None]  # raises where what it needs is not installed
    make: Callable[[Any, Precision], bytes]
    gate: Callable[..., Gate]


def _gate_onnx(*compared: Any, limit: float, precision: Precision) -> Gate:  # noqa: ARG001  # there is one
    return gate(*compared, limit=limit)


FORMS: dict[str, Form] = {
    "onnx": Form(ONNX, ("float32",), LIMIT, need_exporter, lambda model, _: onnx_bytes(model), _gate_onnx),
    "html": Form(".html", ("float16", "float32", "int8"), PAGE_LIMIT, need_browser, html_bytes, gate_page),
}
