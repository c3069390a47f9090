"""LeNet-5's output: the Euclidean distance to one fixed code for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from striate.core.errors import ShapeError
from striate.networks.layers.base import Cost, Count, Layer, Shape, leaf

if TYPE_CHECKING:
    from torch import nn


@leaf
class EuclideanRBF(Layer):
    """y_i = sum_j (x_j - w_ij)^2, the squared distance of a vector to a fixed code w_i of +1 and -1 for each class.

    With 84 inputs and at most 10 classes the codes are pictures of the digits, 7 places wide and 12 high, as in LeNet-5; otherwise they
    are drawn once, from `seed`. The class is the one at the smallest distance; with `negate`, the default, the distances come out
    negative, so that the largest output is the class as everywhere else. Cross-entropy on those is the paper's discriminative loss
    without its constant for a rubbish class.

    Departs from the source: the paper does not print its codes; the ten pictures are our own.
    Source: LeCun, Bottou, Bengio and Haffner, 1998, section II.B, equations 7 to 9.
    """

    role: ClassVar[str] = "rbf"
    num_classes: Count
    negate: bool = True
    seed: Annotated[int, Field(ge=0)] = 0

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ShapeError(f"a radial basis output needs a vector (F,), got {shape}", "Put Flatten() before it.")
        return (self.num_classes,)

    def cost(self, shape: Shape) -> Cost:
        self.output_shape(shape)
        pairs = shape[0] * self.num_classes
        return Cost(macs=pairs, activations=self.num_classes, connections=pairs)

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.radial import EuclideanRBFModule

        self.output_shape(shape)
        return EuclideanRBFModule(shape[0], self.num_classes, negate=self.negate, seed=self.seed)
