"""The form of an exported file that a user asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Precision = Literal["float32", "float16", "bfloat16", "int8", "int8_weights"]
Input = Literal["uint8", "float32"]
Format = Literal["onnx", "torch", "openvino", "html", "bundle"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The form of a file.

    Attributes:
        precision: Of the weights; int8: of weights and of all that the network computes.
        input: uint8: pictures as they were decoded, of any size. float32: (N, C, H, W) as the network takes them, prepared by the user.
        training: Pictures of the training split, uint8 (n, H, W, C) or samples (n, ..., C), as the model takes them; only for int8.
        facts: Of the model, by name, for those who open the file; none may be changed later.
    """

    precision: Precision = "float32"
    input: Input = "uint8"
    training: np.ndarray | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
