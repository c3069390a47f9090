"""Multilayer perceptrons of any depth, width and activation, as descriptions.

    s_1 = f_1(W_1 x + b_1),  ...,  s_M = f_M(W_M s_(M-1) + b_M),  y = W s_M + b

Source: Rumelhart, Hinton and Williams, 1986, Nature 323, 533-536.
Known size: 13 inputs, hidden layers of 32 and 16 units and 3 outputs have 448 + 528 + 51 = 1,027 parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

from striate.core.calls import call_as_in
from striate.core.errors import UsageError
from striate.networks.families.parts import dense_layers
from striate.networks.layers import Chain, Flatten, Shape
from striate.networks.layers.activation import ActivationName
from striate.networks.network import Network


@call_as_in("striate.mlp(13, 3, hidden=[32, 16], activation='tanh')")
def mlp(
    inputs: int | Shape,
    outputs: int,
    *,
    hidden: Sequence[int] = (64, 64),
    activation: ActivationName | Sequence[ActivationName] = "relu",
    name: str = "mlp",
) -> Network:
    """A multilayer perceptron: a linear layer and an activation for each entry of `hidden`, and a linear layer of the outputs.

    Args:
        inputs: Columns of a table; or the shape of other samples, channels first, which are flattened.
        outputs: Classes, or numbers.
        hidden: Units of each hidden layer; none is linear regression, or softmax regression for classes.
        activation: Of all hidden layers, or one each.
        name: Of the network.

    Raises:
        UsageError: not as many activations as hidden layers, or no such activation.

    Example:
        >>> mlp(13, 3, hidden=[32, 16], activation=["tanh", "relu"]).params
        1027
    """
    activations = [activation] * len(hidden) if isinstance(activation, str) else list(activation)
    if len(activations) != len(hidden):
        message = f"activation must be one for all of {len(hidden)} hidden layers or one each, got {len(activations)}"
        raise UsageError(message, "Give a name, or as many as `hidden` has entries.")
    shape = (inputs,) if isinstance(inputs, int) else tuple(inputs)
    first = {} if len(shape) == 1 else {"flatten": Flatten()}
    return Network(name, shape, Chain(**first, **dense_layers(hidden, activations, outputs)))
