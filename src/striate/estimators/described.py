"""Common parts of estimators of described networks: dense chains, training by Adam, storage as description and arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.core.errors import NumericError, RefusedFileError
from striate.networks.layers import Activation, Chain, Layer, Linear
from striate.networks.network import Network

Packed = dict[str, Any]  # {"network": JSON text, "weights": {name: array}}


def dense(sizes: Sequence[int], activation: str) -> Chain:
    """Dense layers of `sizes` outputs, with the activation between two of them."""
    parts: dict[str, Layer] = {}
    for place, size in enumerate(sizes, start=1):
        parts[f"linear{place}"] = Linear(size)
        if place < len(sizes):
            parts[f"act{place}"] = Activation(activation)  # type: ignore[arg-type]  # the leaf checks the name
    return Chain(**parts)


def packed(network: Network, module: nn.Module) -> Packed:
    """A trained network as data: an attribute that an estimator can keep and save."""
    return {"network": network.to_json(), "weights": {name: tensor.cpu().numpy().copy() for name, tensor in module.state_dict().items()}}


def unpacked(name: str, content: Packed) -> nn.Module:
    """The module that was `packed`, in evaluation mode on the CPU; `name` is what errors call it."""
    network = Network.from_json(content["network"])
    with torch.device("meta"):  # no weights are drawn that are replaced at once
        module = network.build()
    weights = {key: torch.tensor(array) for key, array in content["weights"].items()}
    try:
        module.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise RefusedFileError(f"{name}: the weights do not fit the network: {error}", "Fit the estimator again.") from None
    return module.eval()


def descend(
    parameters: Sequence[nn.Parameter],
    loss_fn: Callable[[Tensor], Tensor],
    X: Tensor,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
) -> list[float]:
    """Minimise the mean of `loss_fn` over the rows of X by Adam, with a rate that falls to 0 along a cosine.

    Args:
        parameters: The parameters to change, in place.
        loss_fn: Maps a batch of rows to its mean loss ().
        X: (N, ...), on the device of the parameters.
        epochs: Passes over X, each in a new order.
        batch_size: Rows an update.
        learning_rate: Adam's, at the start.

    Returns:
        The mean loss of each epoch.

    Raises:
        NumericError: a loss is not finite.
    """
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(X) // batch_size))
    curve = []
    for epoch in range(1, epochs + 1):
        total = torch.zeros((), device=X.device)
        for rows in torch.randperm(len(X)).to(X.device).split(batch_size):  # type: ignore[no-untyped-call]
            loss = loss_fn(X[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(rows)
        curve.append(float(total) / len(X))
        if not np.isfinite(curve[-1]):
            raise NumericError(f"the loss is not finite in epoch {epoch}", f"Lower learning_rate, which is {learning_rate:g}.")
    return curve
