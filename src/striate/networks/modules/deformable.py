"""The torch module of the deformable convolution, on torchvision's kernel. Importing it imports torchvision."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.ops import deform_conv2d


class DeformableConvModule(nn.Conv2d):
    """A convolution whose taps are moved by the output of `move`, a second convolution that starts at zero."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, ...],
        *,
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
        bias: bool,
        modulated: bool,
        moves: int,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, padding, dilation, groups, bias)  # type: ignore[arg-type]
        self.modulated = modulated
        self.move = nn.Conv2d(in_channels, moves, kernel, stride, padding, dilation)  # type: ignore[arg-type]
        for parameter in self.move.parameters():
            nn.init.zeros_(parameter)
        self.move.keeps_start = True  # type: ignore[assignment]  # for weight initialization

    def forward(self, x: Tensor) -> Tensor:
        moves = self.move(x)  # (N, moves, H_out, W_out)
        mask = None
        if self.modulated:
            offsets = moves.shape[1] // 3 * 2
            moves, mask = moves[:, :offsets], moves[:, offsets:].sigmoid()
        moved: Tensor = deform_conv2d(x, moves, self.weight, self.bias, self.stride, self.padding, self.dilation, mask)
        return moved
