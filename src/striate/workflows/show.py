"""Show a network: its table, its totals, its drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.files import write_atomically
from striate.core.places import check_file
from striate.core.reports import shown_short
from striate.networks.catalog import CATALOG, network
from striate.networks.network import Network
from striate.networks.table import layer_records
from striate.workflows.runs.folder import RunFolder

REQUEST = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=REQUEST)
class ShowRequest:
    """The network to show, with another number of classes, channels or size if given."""

    network: str  # a catalogue name, timm:NAME, torchvision:NAME, a run folder, a model file, or a .json file that Network.to_json wrote
    num_classes: int | None = None
    in_channels: int | None = None
    input_size: int | tuple[int, int] | None = None
    svg: Path | None = None  # where to write the drawing


@shown_short
@dataclass(frozen=True, kw_only=True)
class ShowReport:
    """A network in numbers; `layers` has one record per row of the table."""

    name: str
    source: str
    published: str
    provenance: tuple[str, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    params: int
    macs: int
    flops: int
    receptive_field: int | tuple[int, ...]
    training_memory_bytes: int  # activations of one sample, float32
    inference_memory_bytes: int
    layers: list[dict[str, Any]]
    svg: str | None


def show(request: ShowRequest) -> tuple[Network, ShowReport]:
    """The requested network and its report; writes the drawing on request.

    Raises:
        UnknownNameError: no such network.
        ShapeError: the size does not fit; names the layer.
        UsageError: the drawing is to be a file of another kind; or sizes are given for a trained network, which has its own.
        EnvironmentFault: the drawing cannot be written.
        RefusedFileError: a model file or a description is damaged or none.
    """
    check_file(request.svg, "svg", (".svg",))
    net = named(request)
    if request.svg is not None:
        from striate.networks.drawing import draw_svg

        write_atomically(request.svg, draw_svg(net).encode(), field="svg")
    return net, ShowReport(
        name=net.name,
        source=net.source,
        published=CATALOG[net.name].published if net.name in CATALOG else "",
        provenance=net.provenance,
        input_shape=net.input_shape,
        output_shape=net.output_shape,
        params=net.params,
        macs=net.macs,
        flops=net.flops,
        receptive_field=net.receptive_field,
        training_memory_bytes=net.training_memory_bytes,
        inference_memory_bytes=net.inference_memory_bytes,
        layers=layer_records(net),
        svg=str(request.svg) if request.svg else None,
    )


def named(request: ShowRequest) -> Network:
    """The network that `request` names: read from the folder or file of a model, or made."""
    sizes = (request.num_classes, request.in_channels, request.input_size)
    path = Path(request.network)
    if path.suffix != ".safetensors" and not (path.is_dir() and (RunFolder(path).has_network or RunFolder(path).is_run)):
        return network(request.network, *sizes)
    if sizes != (None, None, None):
        raise UsageError(f"{path}: a trained network has its own classes and input", "Leave the sizes out.")
    if path.is_dir():
        return RunFolder(path).read_network()
    from striate.networks.model_file import read_model

    return read_model(path).network
