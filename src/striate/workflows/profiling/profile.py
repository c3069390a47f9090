"""The cost of a network: counted from its description, and measured on this machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.devices import choose_device
from striate.core.errors import UsageError
from striate.core.files import make_folder, write_atomically
from striate.core.places import check_folder
from striate.core.reports import shown_short
from striate.core.tables import csv_text
from striate.insight.profile.layers import LayerTime, batches, time_layers
from striate.insight.profile.machine import Machine, best, measure_machine, raised
from striate.insight.profile.published import PRINTED
from striate.insight.profile.whole import Latency, peak_memory, time_inference, time_training
from striate.networks.foreign import needs_its_module
from striate.networks.layers.base import elements
from striate.networks.network import BYTES_PER_NUMBER, Network
from striate.networks.table import layer_records
from striate.workflows.profiling.roofline import roofline_picture
from striate.workflows.runs.behind import say_edits
from striate.workflows.subjects.subject import open_subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

RULE = "1 MAC = 1 multiply-add of a convolution or matrix product; FLOPs = 2 x MACs; biases, norms, activations and pooling are not counted"
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class ProfileRequest:
    """The network to profile, and the options."""

    network: Any  # a catalogue name, a Network, a run folder, a model file, a Model, or a torch module
    num_classes: int | None = None
    in_channels: int | None = None
    input_size: int | tuple[int, int] | None = None
    measure: bool = True  # False: count only, run nothing
    batch_size: Count = 8  # of the layers, the training step and the memory
    batch_sizes: tuple[Count, ...] = (1, 8, 32)  # of the latencies
    seconds: Annotated[float, Field(gt=0)] = 1.0  # that each timing of the whole network may take; each of a layer a twentieth
    device: str = "auto"
    output: Path | None = None  # folder for layers.csv and roofline.png
    module: Any = None  # the user's own torch module, where the run trained one: files hold its weights alone


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The counts, for one picture in float32."""

    params: int
    macs: int
    flops: int
    training_memory_bytes: int | None  # activations kept for the backward pass, each output counted; None: not known, as of a
    inference_memory_bytes: int | None  # activations alive at once                       module of the user that is not at hand
    receptive_field: int | tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PaperNumbers:
    """The numbers of the paper, and our difference from them."""

    params: float | None
    macs: float | None
    params_difference: float | None  # (ours - paper) / paper
    macs_difference: float | None
    place: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The measurements, on batches of `batch_size` unless stated otherwise."""

    device: str
    threads: int
    peak_flops_per_second: float  # of one large float32 matrix product
    peak_bytes_per_second: float  # of one large copy, reading and writing counted
    batch_size: int
    forward_ms: float  # of a training step
    backward_ms: float
    inference_peak_bytes: int
    training_peak_bytes: int
    share_of_peak: float  # of the processor, in the fastest inference
    latencies: list[Latency]


@shown_short
@dataclass(frozen=True, kw_only=True)
class ProfileReport:
    """A network's costs; `layers` has one record per row of the table."""

    name: str
    rule: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    totals: Totals
    paper: PaperNumbers | None
    measured: Measured | None
    layers: list[dict[str, Any]]
    output: str | None


def profile(request: ProfileRequest, *, say: Callable[[str], None] = lambda _text: None) -> ProfileReport:
    """Count, measure unless told not to, and write the table and the roofline where asked.

    Random numbers, modes, buffers and gradients of a module that is handed in end as they came.

    Raises:
        UsageError: what is to be profiled is not known, or does not tell its sizes.
        ShapeError: the size does not fit; names the layer.
        EnvironmentFault: no such device, or the output cannot be written.
    """
    check_folder(request.output)
    target = open_subject(request.network, request.num_classes, request.in_channels, request.input_size, module=request.module)
    if target.model is not None:
        say_edits(request.network, target.model, say)
    network, measured, layers = target.network, None, layer_records(target.network)
    for layer in layers:
        layer.update(_traffic(layer, request.batch_size))
    machine = None
    if request.measure and needs_its_module(network):
        say(f"{network.name} is the user's own module, and a file holds only its weights: counted, not measured")
    elif request.measure:
        say(f"measuring {target.name}, {request.batch_size} pictures at once")
        measured, machine = _measure(target.module(), network, layers, request)
    if request.output is not None:
        _write(request.output, layers, machine, target.name)
    return ProfileReport(
        name=target.name,
        rule=RULE,
        input_shape=network.input_shape,
        output_shape=network.output_shape,
        totals=totals(network),
        paper=_paper(network),
        measured=measured,
        layers=layers,
        output=str(request.output) if request.output else None,
    )


def totals(network: Network) -> Totals:
    """The counts of a whole network."""
    counts = {field.name: getattr(network, field.name) for field in dataclasses.fields(Totals)}
    unknown = ("training_memory_bytes", "inference_memory_bytes") if needs_its_module(network) else ()
    return Totals(**counts | dict.fromkeys(unknown))


def _paper(network: Network) -> PaperNumbers | None:
    """The paper's numbers, if it gives them for this network."""
    printed = PRINTED.get(network.name)
    if printed is None or network.provenance or not _as_published(network):
        return None
    return PaperNumbers(
        params=printed.params,
        macs=printed.macs,
        params_difference=network.params / printed.params - 1 if printed.params else None,
        macs_difference=network.macs / printed.macs - 1 if printed.macs else None,
        place=printed.place,
    )


def _as_published(network: Network) -> bool:
    from striate.networks.catalog import CATALOG

    entry = CATALOG[network.name]
    return network.input_shape == entry.input_shape and network.output_shape == (entry.num_classes,)


def _traffic(layer: dict[str, Any], batch_size: int) -> dict[str, float]:
    """The least bytes that a layer moves for a batch, input, output and weights once each, and its FLOPs for each of them."""
    numbers = batch_size * (elements(layer["input_shape"]) + elements(layer["output_shape"])) + layer["params"]
    moved = BYTES_PER_NUMBER * numbers
    return {"bytes_moved": moved, "intensity": batch_size * layer["flops"] / moved}


def _measure(module: nn.Module, network: Network, layers: list[dict[str, Any]], request: ProfileRequest) -> tuple[Measured, Machine]:
    """The cost of the whole, and the machine's limits, measured before, between and after; each layer gets its times and share."""
    import torch

    device = choose_device(request.device)
    home = next((param.device for param in module.parameters()), device)
    module.to(device)
    try:
        machine = measure_machine(device)
        images = next(batches(module, network.input_shape, (request.batch_size,)))
        latencies = [
            time_inference(module, batch, budget=request.seconds) for batch in batches(module, network.input_shape, request.batch_sizes)
        ]
        forward_ms, backward_ms = time_training(module, images, budget=request.seconds)
        machine = best(machine, measure_machine(device))
        times = time_layers(module, images, budget=request.seconds / 20)
        machine = best(machine, measure_machine(device))
        saving = _add_times(layers, times)
        fastest = max(one.images_per_second for one in latencies) * network.flops
        machine = raised(machine, [*_direct_rates(layers, saving, request.batch_size), *([] if saving else [fastest])])
        _add_shares(layers, machine, request.batch_size)
        measured = Measured(
            device=str(device),
            threads=torch.get_num_threads(),
            peak_flops_per_second=machine.flops_per_second,
            peak_bytes_per_second=machine.bytes_per_second,
            batch_size=request.batch_size,
            forward_ms=forward_ms,
            backward_ms=backward_ms,
            inference_peak_bytes=peak_memory(module, images, training=False),
            training_peak_bytes=peak_memory(module, images, training=True),
            share_of_peak=fastest / machine.flops_per_second,
            latencies=latencies,
        )
        return measured, machine
    finally:
        module.to(home)


def _add_times(layers: list[dict[str, Any]], times: dict[str, list[LayerTime]]) -> set[str]:
    """Give each layer its own times; a merge, and operations outside of all modules, have none. Returns paths that may save work."""
    saving = set()
    for layer in layers:
        own = times.get(layer["path"]) or times.get(layer["path"].removeprefix("model."))
        time = own.pop(0) if own else None
        layer["forward_ms"] = time.forward_ms if time else None
        layer["backward_ms"] = time.backward_ms if time else None
        if time and time.may_save:
            saving.add(layer["path"])
    return saving


def _rate(layer: dict[str, Any], batch_size: int) -> float | None:
    """The FLOPs a second of a layer's forward pass, by those that are counted."""
    return batch_size * layer["flops"] / (layer["forward_ms"] / 1000) if layer["forward_ms"] and layer["flops"] else None


def _direct_rates(layers: list[dict[str, Any]], saving: set[str], batch_size: int) -> list[float]:
    """The rates of the layers that need every multiply-add that is counted."""
    return [rate for layer in layers if layer["path"] not in saving and (rate := _rate(layer, batch_size)) is not None]


def _add_shares(layers: list[dict[str, Any]], machine: Machine, batch_size: int) -> None:
    """Give each layer its share of the peak."""
    for layer in layers:
        rate = _rate(layer, batch_size)
        layer["share_of_peak"] = rate / machine.flops_per_second if rate is not None else None


def _write(output: Path, layers: list[dict[str, Any]], machine: Machine | None, name: str) -> None:
    make_folder(output)
    rows = [["x".join(map(str, cell)) if isinstance(cell, list) else cell for cell in layer.values()] for layer in layers]
    write_atomically(output / "layers.csv", csv_text(list(layers[0]), rows).encode())
    if machine is not None:
        write_atomically(output / "roofline.png", roofline_picture(layers, machine, title=name))


def check_sizes(words: str) -> tuple[int, ...]:
    """The batch sizes of `batch_sizes='1,8,32'`.

    Raises:
        UsageError: not whole numbers from 1 on.
    """
    sizes = tuple(int(word) for word in words.split(",") if word.strip().isdigit())
    if len(sizes) != len(words.split(",")) or not all(sizes):
        raise UsageError(f"`batch_sizes={words!r}`: must be whole numbers from 1 on, commas between", "For example `batch_sizes='1,8,32'`.")
    return sizes
