"""Export every classifier of the catalogue as ONNX, gate it, run it back, and time it beside ONNX Runtime, OpenVINO and torch by hand.

onnx_files [NAME...] [--format onnx|torch|openvino|html] [--precision float32] [--small] [--untimed]

Weights are fresh. Each network has a process of its own. By hand is the bare network, `torch.onnx.export` of it or its module in torch, run
in float32 on float pictures that are prepared already; our files take decoded pictures, bring them to size and normalize them, which
their times include. --small takes each network at the smallest input it knows; --untimed leaves out times, for a machine that is busy.
A page is timed in Chromium, alone.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sheet import write_sheet

if TYPE_CHECKING:
    from striate.insight.export.wanted import Wanted
    from striate.models.model import Model

AT_ONCE = 64
PICTURES = 4  # that the gate compares, beside its hard ones
BUDGET = 2.0  # seconds of a timing
LEFT_OUT = ("dcgan_generator",)  # answers with pictures
WAYS = ("our ONNX file", "ONNX Runtime by hand", "our OpenVINO file", "OpenVINO by hand", "torch by hand")
OTHER_TASKS = ("compact_cnn regression", "compact_cnn multilabel", "signal_cnn regression")


def main() -> None:
    """One process a network; then the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--format", default="onnx", choices=("onnx", "torch", "openvino", "html"))
    parser.add_argument(
        "--precision", choices=("float32", "float16", "bfloat16", "int8", "int8_weights"), help="the usual one of the format"
    )
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--untimed", action="store_true")
    asked = parser.parse_args()
    forms = importlib.import_module("striate.insight.export.forms").FORMS  # imported once, for all the processes
    asked.precision = asked.precision or forms[asked.format].usual
    timed = not asked.untimed and asked.format != "html"
    rows, good = [], 0
    for name in asked.names or cases():
        try:
            with ProcessPoolExecutor(1, get_context("fork")) as pool:
                work = pool.submit(measured, name, asked.format, asked.precision, small=asked.small, timed=timed)
                found = work.result()
        except Exception as error:  # noqa: BLE001  # whatever it is, the sheet names it, and the others go on
            rows.append([name, "", "", str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__])
        else:
            good += found["passed"]
            if asked.format == "html":
                found["times"] = [f"{found['milliseconds']:.0f}"]
            rows.append([name, found["input"], f"{found['bytes'] / 1e6:.1f}", f"{found['difference']:.1g}", *found["times"]])
        print(rows[-1], file=sys.stderr, flush=True)
    heading = ["network", "input", "MB", "largest difference of a probability"]
    if asked.format == "html":
        heading.append("ms a picture in Chromium")
    elif timed:
        heading += [f"{way}, {unit}" for way in WAYS for unit in ("ms at 1", f"pictures/s at {AT_ONCE}")]
    width = len(heading)
    notes = [f"{good}/{len(rows)} exported, gated and run back, {asked.precision}, fresh weights"]
    name = f"{asked.format}_times" if timed else f"catalogue_{asked.format}"
    write_sheet(name, f"The catalogue as {asked.format}", [heading, *((row + [""] * width)[:width] for row in rows)], notes)


def cases() -> list[str]:
    """The networks of the catalogue that answer with classes, of a sample or of each of its places; then numbers and several labels."""
    from striate.networks.catalog import CATALOG

    return [name for name, entry in CATALOG.items() if entry.num_classes > 1 and name not in LEFT_OUT] + list(OTHER_TASKS)


def model_of(name: str, *, small: bool) -> Model:
    """The network with fresh weights, as a model of ten classes, or of three labels or numbers."""
    import torch

    from striate.core.images import ImageSpec, SignalSpec
    from striate.core.targets import TargetSpec
    from striate.models.model import Model
    from striate.networks.catalog import network
    from striate.networks.model_file import ModelFile

    torch.manual_seed(0)
    name, _, task = name.partition(" ")
    published = network(name)
    channels, *size = published.input_shape
    sides = range(32, min(size), 32) if small and len(size) == 2 else ()
    side = next((side for side in sides if published.fits((channels, side, side))), None)
    net = network(name, num_classes=3 if task else 10, input_size=side)
    targets = None
    if task == "multilabel":
        targets = TargetSpec(task="multilabel")
    elif task == "regression":
        targets = TargetSpec(task="regression", mean=(40, 170, 3), std=(20, 10, 1))
    channels, *extent = net.input_shape
    mean, std = (0.5,) * channels, (0.25,) * channels
    if len(extent) == 2:
        spec = ImageSpec(height=extent[0], width=extent[1], channels=channels, mean=mean, std=std)
    else:
        spec = SignalSpec(extent=tuple(extent), channels=channels, mean=mean, std=std)
    module = net.build()
    with torch.no_grad():
        for each in module.parameters():
            if not each.any():  # zeros to start with would hide what they multiply
                each.normal_(std=0.05)
    return Model(ModelFile(net, module, tuple(map(str, range(net.output_shape[0]))), spec, {}, targets))


def measured(name: str, kind: str, precision: str, *, small: bool, timed: bool) -> dict[str, Any]:
    """The findings about one network."""
    from striate.insight.export.forms import FORMS
    from striate.insight.export.wanted import Wanted

    model, random = model_of(name, small=small), np.random.default_rng(0)
    shape = (AT_ONCE if timed else PICTURES, *model.images.array_shape)
    is_pictures = model.images.kind == "pictures"
    images = random.integers(0, 256, shape, np.uint8) if is_pictures else random.normal(size=shape).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        form = FORMS[kind]  # type: ignore[index]  # of argparse's choices
        file = written(model, kind, Wanted(precision=precision), Path(folder))  # type: ignore[arg-type]
        limit = form.limits[precision]  # type: ignore[index]
        found = form.gate(model, file, images[:PICTURES], [str(place) for place in range(PICTURES)], limit=limit, precision=precision)
        return {
            "input": model.images.words,
            "bytes": sum(each.stat().st_size for each in Path(folder).iterdir()),
            "difference": found.max_difference,
            "passed": found.passed,
            "milliseconds": found.milliseconds,
            "times": timings(model, images, Path(folder)) if timed else [],
        }


def written(model: Model, kind: str, wanted: Wanted, folder: Path) -> Path:
    """The file of a model in a format; its weights lie beside it where they have a file of their own."""
    from striate.insight.export.forms import FORMS

    form = FORMS[kind]  # type: ignore[index]
    for ending, data in form.make(model, wanted).items():
        (folder / f"model{ending}").write_bytes(data)
    return folder / f"model{form.ending}"


def timings(model: Model, images: np.ndarray, folder: Path) -> list[str]:
    """The latency of one picture and the pictures a second of many, in each of the `WAYS`."""
    import onnxruntime
    import torch

    from striate.insight.export.wanted import Wanted
    from striate.models.exported import ExportedModel
    from striate.models.openvino_file import openvino_core

    ours, theirs = (ExportedModel(written(model, kind, Wanted(), folder)) for kind in ("onnx", "openvino"))
    bare = model.module.get_submodule("network")
    given = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 255
    path = folder / "by_hand.onnx"
    shapes = {"x": {0: torch.export.Dim("batch", min=1)}}
    torch.onnx.export(bare, (torch.from_numpy(given[:2]),), path, dynamo=True, dynamic_shapes=tuple(shapes.values()), verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    compiled = openvino_core("timing").compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    name = session.get_inputs()[0].name

    def in_torch(batch: np.ndarray) -> object:
        with torch.inference_mode():
            return bare(torch.from_numpy(batch).contiguous(memory_format=torch.channels_last))

    ways: tuple[tuple[Callable[[np.ndarray], object], np.ndarray], ...] = (
        (ours.run, images),
        (lambda batch: session.run(None, {name: batch}), given),
        (theirs.run, images),
        (lambda batch: compiled([batch]), given),
        (in_torch, given),
    )
    cells: list[str] = []
    for run, batch in ways:
        one, many = (median_seconds(lambda part=part, run=run: run(part)) for part in (batch[:1], batch))  # type: ignore[misc]
        cells += [f"{1000 * one:.2f}", f"{AT_ONCE / many:,.0f}"]
    return cells


def median_seconds(call: Callable[[], object]) -> float:
    """The median of some calls, after one that is not counted."""
    call()
    times: list[float] = []
    while len(times) < 3 or (len(times) < 50 and sum(times) < BUDGET):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    main()
