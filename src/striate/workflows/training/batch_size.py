"""The batch size that fits into memory: `batch_size='auto'`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from striate.core.devices import choose_device
from striate.core.errors import EnvironmentFault
from striate.core.memory import free_memory_bytes
from striate.data.records import ImageSet
from striate.models.fitting import COPIES_OF_WEIGHTS, Fitting, fit_images
from striate.networks.network import Network

AUTO = "auto"  # in place of a batch size
MOST = 1024  # beyond, more pictures an update save no time, and the learning rate that they would need does harm
UPDATES_AN_EPOCH = 20  # at least, or little is learned
SHARE_OF_FREE = 0.5  # of a computer's free memory; others use it too
SHARE_OF_DEVICE = 0.8  # of an accelerator's


def auto_batch_size(fitting: Fitting, train_set: ImageSet, say: Callable[[str], None]) -> int:
    """The largest power of two that leaves head-room, with at least 20 updates per epoch; reports it with the reason.

    On a processor, by the description: activations of the batch, weights, gradients and the optimizer's numbers may take half of the
    memory that is free. On a CUDA device by trying one update of each size: four fifths of the memory.

    Args:
        fitting: The planned training; its batch size is ignored.
        train_set: The pictures that it learns from.
        say: Receives a line for the user.
    """
    most = power_below(min(MOST, len(train_set) / UPDATES_AN_EPOCH))
    device = choose_device(fitting.settings.device)
    if device.type == "cuda":
        size = largest_that_runs(lambda size: runs_on_cuda(fitting, train_set, size), most)
        memory = f"{SHARE_OF_DEVICE:.0%} of the memory of {device}"
    else:
        free = free_memory_bytes()
        size = size_for_memory(fitting.network, free, most)
        memory = f"half of the {free / 2**20:,.0f} MiB that are free"
    reason = f"at least {UPDATES_AN_EPOCH} updates per epoch" if size == most and most < MOST else "the most" if size == most else memory
    needed = bytes_needed(fitting.network, size) / 2**20
    say(f"batch size {size}: {reason}; takes about {needed:,.0f} MiB")
    return size


def power_below(value: float) -> int:
    """The largest power of two that is at most `value`; at least 1."""
    return 1 << max(0, int(value).bit_length() - 1)


def bytes_needed(network: Network, batch_size: int) -> int:
    """The memory of a training: the activations of a batch, weights, gradients and the optimizer's state, in float32."""
    return network.training_memory_bytes * batch_size + COPIES_OF_WEIGHTS * 4 * network.params


def size_for_memory(network: Network, free_bytes: int, most: int) -> int:
    """The largest power of two up to `most` for which half of `free_bytes` is enough.

    Raises:
        EnvironmentFault: not even one picture fits.
    """
    size = most
    while size > 1 and bytes_needed(network, size) > SHARE_OF_FREE * free_bytes:
        size //= 2
    if bytes_needed(network, size) > free_bytes:
        needed = bytes_needed(network, size) / 2**20
        message = f"`batch_size='auto'`: one picture takes {needed:,.0f} MiB, and {free_bytes / 2**20:,.0f} MiB are free"
        raise EnvironmentFault(message, "Train with smaller pictures (`image_size`) or a smaller network.")
    return size


def largest_that_runs(runs: Callable[[int], bool], most: int) -> int:
    """The largest power of two up to `most` for which it and all below it run; 1 is not asked."""
    size = 1
    while size < most and runs(2 * size):
        size *= 2
    return size


def runs_on_cuda(fitting: Fitting, train_set: ImageSet, batch_size: int) -> bool:
    """Return whether one update on `batch_size` pictures leaves a fifth of the device's memory free."""
    import torch

    device = choose_device(fitting.settings.device)
    settings = dataclasses.replace(fitting.settings, batch_size=batch_size, steps=1, compile=False)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    others = torch.cuda.mem_get_info(device)
    before = torch.cuda.memory_reserved(device)
    training = fit_images(dataclasses.replace(fitting, settings=settings), train_set.take(np.arange(batch_size)), None)
    try:
        for _ in training.events:
            pass
    except EnvironmentFault:
        return False
    taken = torch.cuda.max_memory_reserved(device) - before
    return training.loop.parts == settings.accumulate and taken <= SHARE_OF_DEVICE * others[0]
