"""How fast a trained network answers, beside the best ways by hand: `inference [--networks A,B] [--rounds N]`."""

from __future__ import annotations

import argparse
import copy
import importlib.util
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sheet import Sheet, spread, write_sheet

import striate
from striate.core.images import ImageSpec
from striate.models.features import folded
from striate.models.model import Model
from striate.models.runtimes import session_of
from striate.networks.model_file import ModelFile

NETWORKS = "resnet20_cifar,efficientnet_lite0,resnet50"
BATCH = 64
SMALL_SECONDS = 0.3  # of one turn of a way, at least
Way = Callable[[np.ndarray], Any]


def model_of(name: str) -> Model:
    """A model with random weights: they change nothing in what an answer costs."""
    network = striate.network(name)
    channels, height, width = network.input_shape
    spec = ImageSpec(height=height, width=width, channels=channels, mean=(0.5,) * channels, std=(0.25,) * channels, fit="crop")
    return Model(ModelFile(network, network.build(), tuple(map(str, range(network.output_shape[0]))), spec, {}))


def ways_of(model: Model, folder: Path) -> dict[str, Way]:
    """Ours first, then each by hand, as its documentation has it: all take uint8 pictures and normalize them."""
    plain = copy.deepcopy(model).module.to(memory_format=torch.contiguous_format)
    last = folded(plain)

    def torch_way(module: torch.nn.Module) -> Way:
        def run(images: np.ndarray) -> Any:
            with torch.inference_mode():
                return module(torch.from_numpy(images)).numpy()

        return run

    file = folder / f"{model.network.name}.onnx"
    sample = torch.zeros(2, *model.images.array_shape, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            plain, (sample,), str(file), dynamo=True, external_data=False, verbose=False, dynamic_shapes=({0: torch.export.Dim("n")},)
        )
    session = session_of(file, file.read_bytes())
    (entry,) = session.get_inputs()
    ways: dict[str, Way] = {
        "Striate": model.outputs,
        "torch": torch_way(plain),
        "torch, folded, channels last": torch_way(last),
        "ONNX Runtime": lambda images: session.run(None, {entry.name: images}),
    }
    if importlib.util.find_spec("openvino") is not None:
        import openvino

        compiled = openvino.Core().compile_model(openvino.convert_model(str(file)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        ways["OpenVINO"] = lambda images: compiled([images])
    return ways


def seconds_of(way: Way, images: np.ndarray) -> float:
    """Seconds for one call, the mean of as many as take a while."""
    calls, started = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - started < SMALL_SECONDS:
        way(images)
        calls += 1
    return (time.perf_counter() - started) / calls


def main() -> None:
    """Measure and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    write_sheet(*answers(arguments.networks.split(","), arguments.rounds))


def answers(networks: Sequence[str], rounds: int) -> Sheet:
    """Let all ways take their turns, round after round, after one round that is not counted."""
    table = [["network", "way", f"batch {BATCH}, images/s", "Striate is", "batch 1, ms", "Striate is"]]
    for name in networks:
        model = model_of(name)
        with tempfile.TemporaryDirectory() as folder:
            ways = ways_of(model, Path(folder))
        pictures = np.random.default_rng(0).integers(0, 256, (BATCH, *model.images.array_shape), np.uint8)
        taken: dict[str, dict[int, list[float]]] = {way: {BATCH: [], 1: []} for way in ways}
        for turn in range(rounds + 1):
            for count in (BATCH, 1):
                for way, run in ways.items():
                    seconds = seconds_of(run, pictures[:count])
                    if turn:
                        taken[way][count].append(seconds)
        ours = taken["Striate"]
        for way, theirs in taken.items():
            rates, latencies = [BATCH / each for each in theirs[BATCH]], [1000 * each for each in theirs[1]]
            ratios = [
                ""
                if way == "Striate"
                else spread([b / a for a, b in zip(ours[count], theirs[count], strict=True)], ".2f") + " times as fast"
                for count in (BATCH, 1)
            ]
            table.append([name, way, spread(rates, ",.0f" if min(rates) >= 1_000 else ".3g"), ratios[0], spread(latencies), ratios[1]])
            print(f"{name} {way}: {statistics.median(rates):.4g} images/s, {statistics.median(latencies):.3g} ms", flush=True)
    notes = [
        f"float32, {torch.get_num_threads()} threads, random weights",
        "the ways take turns, and a ratio is of one round: median (smallest to largest)",
        "every way takes uint8 pictures of the network's size; decoding is not counted",
        "Striate answers each picture to the same bits in a batch of 64 and alone, which the others do not promise",
    ]
    return Sheet("inference", "Answers of a trained network", table, notes)


if __name__ == "__main__":
    main()
