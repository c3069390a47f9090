"""The counts of a whole network."""

from __future__ import annotations

import dataclasses

from pydantic.dataclasses import dataclass

from striate.networks.foreign import needs_its_module
from striate.networks.network import Network


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The counts, for one picture in float32."""

    params: int
    macs: int
    flops: int
    training_memory_bytes: int | None  # activations kept for the backward pass, each output counted; None: not known, as of a
    inference_memory_bytes: int | None  # activations alive at once                       module of the user that is not at hand
    receptive_field: int | tuple[int, ...]


def totals(network: Network) -> Totals:
    """The counts of a whole network."""
    counts = {field.name: getattr(network, field.name) for field in dataclasses.fields(Totals)}
    unknown = ("training_memory_bytes", "inference_memory_bytes") if needs_its_module(network) else ()
    return Totals(**counts | dict.fromkeys(unknown))
