"""The cost of a network: counted from its description, and measured on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.devices import choose_device
from striate.core.errors import UsageError
from striate.core.places import check_folder
from striate.core.reports import shown_short, write_files
from striate.core.tables import csv_text
from striate.insight.profile.measured import Measured, add_traffic, measure
from striate.insight.profile.published import PaperNumbers, paper_numbers
from striate.networks.foreign import needs_its_module
from striate.networks.table import layer_records
from striate.workflows.profiling.roofline import roofline_picture
from striate.workflows.profiling.totals import Totals, totals
from striate.workflows.runs.behind import say_edits
from striate.workflows.subjects.subject import open_subject

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
    network, layers = target.network, layer_records(target.network)
    add_traffic(layers, request.batch_size)
    measured = None
    if request.measure and needs_its_module(network):
        say(f"{network.name} is the user's own module, and a file holds only its weights: counted, not measured")
    elif request.measure:
        say(f"measuring {target.name}, {request.batch_size} pictures at once")
        how: dict[str, Any] = {name: getattr(request, name) for name in ("batch_size", "batch_sizes", "seconds")}
        measured = measure(target.module(), network, layers, choose_device(request.device), **how)
    if request.output is not None:
        rows = [["x".join(map(str, cell)) if isinstance(cell, list) else cell for cell in layer.values()] for layer in layers]
        roofline = {"roofline.png": roofline_picture(layers, measured.machine, title=target.name)} if measured else {}
        write_files(request.output, {"layers.csv": csv_text(list(layers[0]), rows), **roofline})
    return ProfileReport(
        name=target.name,
        rule=RULE,
        input_shape=network.input_shape,
        output_shape=network.output_shape,
        totals=totals(network),
        paper=paper_numbers(network),
        measured=measured,
        layers=layers,
        output=str(request.output) if request.output else None,
    )


def check_sizes(words: str) -> tuple[int, ...]:
    """The batch sizes of `batch_sizes='1,8,32'`.

    Raises:
        UsageError: not whole numbers from 1 on.
    """
    sizes = tuple(int(word) for word in words.split(",") if word.strip().isdigit())
    if len(sizes) != len(words.split(",")) or not all(sizes):
        raise UsageError(f"`batch_sizes={words!r}`: must be whole numbers from 1 on, commas between", "For example `batch_sizes='1,8,32'`.")
    return sizes
