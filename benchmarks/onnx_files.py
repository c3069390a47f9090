"""Export every classifier of pictures in the catalogue as ONNX, gate it, run it back, and time it beside ONNX Runtime by hand.

onnx_files [NAME...] [--precision float32] [--small] [--untimed]

Weights are fresh. Each network has a process of its own. By hand is `torch.onnx.export` of the bare network, run on float pictures that
are prepared already; our file takes decoded pictures, brings them to size and normalizes them, which its times include.
--small takes each network at the smallest input it knows; --untimed leaves out times, for a machine that is busy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sheet import write_sheet

AT_ONCE = 64
PICTURES = 4  # that the gate compares, beside its hard ones
BUDGET = 2.0  # seconds of a timing


def main() -> None:
    """One process a network; then the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--precision", default="float32", choices=("float32", "float16", "bfloat16", "int8_weights"))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--untimed", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked.one, asked.precision, small=asked.small, timed=not asked.untimed)))
        return
    rows, good = [], 0
    for name in asked.names or classifiers():
        words = [sys.executable, __file__, "--one", name, "--precision", asked.precision]
        words += ["--small"] * asked.small + ["--untimed"] * asked.untimed
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            rows.append([name, "", "", done.stderr.strip().splitlines()[-1][:120] if done.stderr.strip() else f"exit {done.returncode}"])
        else:
            found = json.loads(done.stdout.splitlines()[-1])
            good += found["passed"]
            rows.append([name, found["input"], f"{found['bytes'] / 1e6:.1f}", f"{found['difference']:.1g}", *found["times"]])
        print(rows[-1], file=sys.stderr, flush=True)
    heading = ["network", "input", "MB", "largest difference of a probability"]
    if not asked.untimed:
        heading += ["latency at 1, ms", "by hand, ms", f"pictures/s at {AT_ONCE}", "by hand"]
    width = len(heading)
    notes = [f"{good}/{len(rows)} exported, gated and run back, {asked.precision}, fresh weights"]
    write_sheet(
        "catalogue_onnx", "Every classifier of the catalogue as ONNX", [heading, *((row + [""] * width)[:width] for row in rows)], notes
    )


def classifiers() -> list[str]:
    """The networks that answer one score a class of a picture."""
    from striate.networks.catalog import CATALOG, network

    found = {name: network(name) for name, entry in CATALOG.items() if entry.num_classes > 1}
    return [name for name, net in found.items() if len(net.input_shape) == 3 and len(net.output_shape) == 1]


def measured(name: str, precision: str, *, small: bool, timed: bool) -> dict[str, object]:
    """What became of one network."""
    import torch

    from striate.core.images import ImageSpec
    from striate.insight.export.forms import FORMS
    from striate.insight.export.onnx_file import onnx_bytes
    from striate.insight.export.wanted import Wanted
    from striate.models.exported import ExportedModel
    from striate.models.model import Model
    from striate.networks.catalog import network
    from striate.networks.model_file import ModelFile

    torch.manual_seed(0)
    published = network(name)
    channels, *size = published.input_shape
    side = next((side for side in range(32, min(size), 32) if published.fits((channels, side, side))), None) if small else None
    net = network(name, num_classes=10, input_size=side)
    channels, height, width = net.input_shape
    spec = ImageSpec(height=height, width=width, channels=channels, mean=(0.5,) * channels, std=(0.25,) * channels)
    model = Model(ModelFile(net, net.build(), tuple(map(str, range(10))), spec, {}, None))
    images = np.random.default_rng(0).integers(0, 256, (AT_ONCE, height, width, channels), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(onnx_bytes(model, Wanted(precision=precision)))  # type: ignore[arg-type]  # of argparse's choices
        form = FORMS["onnx"]
        limit = form.limits[precision]  # type: ignore[index]
        found = form.gate(model, file, images[:PICTURES], [str(place) for place in range(PICTURES)], limit=limit, precision=precision)
        times = timings(model, ExportedModel(file), images, Path(folder)) if timed else []
        return {
            "input": " x ".join(map(str, net.input_shape)),
            "bytes": file.stat().st_size,
            "difference": found.max_difference,
            "passed": found.passed,
            "times": times,
        }


def timings(model: object, ours: object, images: np.ndarray, folder: Path) -> list[str]:
    """Latency of one picture and pictures a second of many, of our file and by hand."""
    import onnxruntime
    import torch

    bare = model.module.get_submodule("network")  # type: ignore[attr-defined]
    given = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 255
    path = folder / "by_hand.onnx"
    shapes = {"x": {0: torch.export.Dim("batch", min=1)}}
    torch.onnx.export(bare, (torch.from_numpy(given[:2]),), path, dynamo=True, dynamic_shapes=tuple(shapes.values()), verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    one, hand_one = (
        1000 * median_seconds(call)
        for call in (lambda: ours.run(images[:1]), lambda: session.run(None, {name: given[:1]}))  # type: ignore[attr-defined]
    )
    many, hand_many = (
        AT_ONCE / median_seconds(call)
        for call in (lambda: ours.run(images), lambda: session.run(None, {name: given}))  # type: ignore[attr-defined]
    )
    return [f"{one:.2f}", f"{hand_one:.2f}", f"{many:,.0f}", f"{hand_many:,.0f}"]


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
