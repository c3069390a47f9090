"""Recurrent layers over sequences (T, F), and the layers that read a map as a sequence and a sequence as a signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from striate.core.errors import ShapeError
from striate.networks.layers.base import Cost, Count, Layer, Reach, Shape, elements, leaf, spatial

if TYPE_CHECKING:
    from torch import nn


@leaf
class ToSequence(Layer):
    """A map as a sequence: (C, H, W) row by row to (H, C W), or of its "places" to (H W, C); a signal (C, L) step by step to (L, C)."""

    role: ClassVar[str] = "sequence"
    of: Literal["rows", "places"] = "rows"

    def output_shape(self, shape: Shape) -> Shape:
        extent = spatial(shape, f"a sequence of {self.of}", (1, 2))
        if self.of == "places":
            return (elements(extent), shape[0])
        return (extent[0], shape[0] * elements(extent[1:]))

    def cost(self, shape: Shape) -> Cost:
        extent = spatial(shape, f"a sequence of {self.of}", (1, 2))
        return Cost(reach=None if len(extent) == 1 or self.of == "places" else Reach.of_window((1, extent[1]), (1, 1), (0, 0)))

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.recurrent import ToSequenceModule

        self.output_shape(shape)
        return ToSequenceModule(self.of)


@leaf
class ToSignal(Layer):
    """A sequence of steps as a signal: (T, F) to (F, T), so that scores of classes at each step come out as (K, T)."""

    role: ClassVar[str] = "signal"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ShapeError(
                f"a signal of steps needs a sequence (T, F), got {shape}", "Put a recurrent layer with return_sequence before it."
            )
        return (shape[1], shape[0])

    def cost(self, shape: Shape) -> Cost:
        self.output_shape(shape)
        return Cost()

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.recurrent import ToSequenceModule

        self.output_shape(shape)
        return ToSequenceModule()


@leaf
class Recurrent(Layer):
    """The base of the three recurrent layers. They give the last state (H,), or with `return_sequence` all states (T, H).

    With `bidirectional`, a second one reads the sequence backwards and its states come behind: 2 H features.
    """

    role: ClassVar[str] = "recurrent"
    gates: ClassVar[int] = 1  # linear maps of input and state in one step
    hidden_size: Count
    num_layers: Count = 1
    bidirectional: bool = False
    return_sequence: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ShapeError(f"{self.kind} needs a sequence (T, F), got {shape}", "Put ToSequence() before it.")
        features = self.hidden_size * (1 + self.bidirectional)
        return (shape[0], features) if self.return_sequence else (features,)

    def cost(self, shape: Shape) -> Cost:
        outputs, steps = self.output_shape(shape)[-1], shape[0]
        inputs = (shape[1], *(outputs,) * (self.num_layers - 1))  # features that each level reads
        weights = sum(self.gates * outputs * (read + self.hidden_size) for read in inputs)
        biases = self.num_layers * 2 * self.gates * outputs  # torch keeps one for the input and one for the state
        return Cost(
            params=weights + biases,
            macs=steps * weights,
            activations=steps * outputs * self.num_layers,
            connections=steps * (weights + biases),
            reach=Reach.of_everything((steps,)),
        )

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.recurrent import RecurrentModule

        self.output_shape(shape)
        return RecurrentModule(self._cells(shape[1]), self.return_sequence)

    def _cells(self, features: int) -> nn.RNNBase:
        raise NotImplementedError


@leaf
class Elman(Recurrent):
    """s_t = f(U x_t + W s_(t-1) + b), Elman's simple recurrent network (1990)."""

    activation: Literal["tanh", "relu"] = "tanh"

    def _cells(self, features: int) -> nn.RNNBase:
        from torch import nn

        return nn.RNN(features, self.hidden_size, self.num_layers, self.activation, batch_first=True, bidirectional=self.bidirectional)


@leaf
class LSTM(Recurrent):
    """c_t = f c_(t-1) + i g, h_t = o tanh(c_t), with gates i, f, o and candidate g (Hochreiter 1997; forget gate, Gers 2000)."""

    gates: ClassVar[int] = 4

    def _cells(self, features: int) -> nn.RNNBase:
        from torch import nn

        return nn.LSTM(features, self.hidden_size, self.num_layers, batch_first=True, bidirectional=self.bidirectional)


@leaf
class GRU(Recurrent):
    """h_t = (1 - z) n + z h_(t-1), with gates r and z and candidate n = tanh(W x_t + r (U h_(t-1))) (Cho et al. 2014)."""

    gates: ClassVar[int] = 3

    def _cells(self, features: int) -> nn.RNNBase:
        from torch import nn

        return nn.GRU(features, self.hidden_size, self.num_layers, batch_first=True, bidirectional=self.bidirectional)
