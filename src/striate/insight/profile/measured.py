"""A network measured on this machine: the whole, each of its layers, and the limits of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic.dataclasses import dataclass

from striate.insight.profile.latency import Latency
from striate.insight.profile.layers import LayerTime, batches, time_layers
from striate.insight.profile.machine import Machine, best, measure_machine, raised
from striate.insight.profile.whole import peak_memory, time_inference, time_training
from striate.networks.layers.base import elements
from striate.networks.network import BYTES_PER_NUMBER, Network

if TYPE_CHECKING:
    from torch import nn


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

    @property
    def machine(self) -> Machine:
        """The limits of the machine."""
        return Machine(self.peak_flops_per_second, self.peak_bytes_per_second)


def time_alone(module: nn.Module, input_shape: tuple[int, ...]) -> Latency:
    """The latency of one picture of that shape (C, H, W)."""
    return time_inference(module, next(batches(module, input_shape, (1,))))


def measure(
    module: nn.Module,
    network: Network,
    layers: list[dict[str, Any]],
    device: torch.device,
    *,
    batch_size: int,
    batch_sizes: tuple[int, ...],
    seconds: float,
) -> Measured:
    """The cost of the whole, and the limits of the machine, measured before, between and after; each layer gets its times and share.

    Args:
        module: That of `network`; on `device` for as long.
        network: The description, which counts.
        layers: As of `layer_records`; forward_ms, backward_ms and share_of_peak are added, None where nothing was timed.
        device: To measure.
        batch_size: Pictures of the layers, the training step and the memory.
        batch_sizes: Of the latencies.
        seconds: That each timing of the whole may take; each of a layer a twentieth.
    """
    home = next((param.device for param in module.parameters()), device)
    module.to(device)
    try:
        machine = measure_machine(device)
        images = next(batches(module, network.input_shape, (batch_size,)))
        latencies = [time_inference(module, batch, budget=seconds) for batch in batches(module, network.input_shape, batch_sizes)]
        forward_ms, backward_ms = time_training(module, images, budget=seconds)
        machine = best(machine, measure_machine(device))
        times = time_layers(module, images, budget=seconds / 20)
        machine = best(machine, measure_machine(device))
        rates = [_add_times(layer, times, batch_size) for layer in layers]
        fastest = max(one.images_per_second for one in latencies) * network.flops
        whole = [] if any(may_save for _, may_save in rates) else [fastest]
        machine = raised(machine, [*whole, *(rate for rate, may_save in rates if rate is not None and not may_save)])
        for layer, (rate, _) in zip(layers, rates, strict=True):
            layer["share_of_peak"] = rate / machine.flops_per_second if rate is not None else None
        return Measured(
            device=str(device),
            threads=torch.get_num_threads(),
            peak_flops_per_second=machine.flops_per_second,
            peak_bytes_per_second=machine.bytes_per_second,
            batch_size=batch_size,
            forward_ms=forward_ms,
            backward_ms=backward_ms,
            inference_peak_bytes=peak_memory(module, images, training=False),
            training_peak_bytes=peak_memory(module, images, training=True),
            share_of_peak=fastest / machine.flops_per_second,
            latencies=latencies,
        )
    finally:
        module.to(home)


def add_traffic(layers: list[dict[str, Any]], batch_size: int) -> None:
    """Give each layer the least bytes that it moves for a batch, input, output and weights once each, and its FLOPs for each of them."""
    for layer in layers:
        numbers = batch_size * (elements(layer["input_shape"]) + elements(layer["output_shape"])) + layer["params"]
        layer["bytes_moved"] = BYTES_PER_NUMBER * numbers
        layer["intensity"] = batch_size * layer["flops"] / layer["bytes_moved"]


def _add_times(layer: dict[str, Any], times: dict[str, list[LayerTime]], batch_size: int) -> tuple[float | None, bool]:
    """Give a layer its own times; a merge, and operations outside of all modules, have none.

    Returns:
        The FLOPs a second of its forward pass, by those that are counted; and whether it may need fewer.
    """
    own = times.get(layer["path"]) or times.get(layer["path"].removeprefix("model."))
    forward_ms, backward_ms, may_save = own.pop(0) if own else (None, None, False)
    layer["forward_ms"], layer["backward_ms"] = forward_ms, backward_ms
    return (batch_size * layer["flops"] / (forward_ms / 1000) if forward_ms and layer["flops"] else None), may_save
