"""A layer of your own in torch, in a module of your own: trained, measured and explained as any other network.

The run keeps the module's weights and not its code, so the module is handed in again when the run is used.
"""

import torch
from torch import Tensor, nn

import striate


class Squeeze(nn.Module):
    """Weighs each channel by what all channels are on average (squeeze and excitation: Hu et al., 2018)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        weights = self.weigh(x.mean(dim=(2, 3)))  # (N, C)
        return x * weights[:, :, None, None]  # (N, C, H, W)


def network() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), Squeeze(16, 4), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), Squeeze(32, 8)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    )


torch.manual_seed(0)
report = striate.train("digits", module=network(), epochs=6)
print(f"val accuracy {report.val.accuracy:.2f} in {report.run}")

model = striate.load(report.run, module=network())
measured = striate.evaluate(model, "digits", split="val")
print(f"{measured.num_images} pictures, macro F1 {measured.macro_f1:.2f}")
shown = striate.explain(report.run, module=network(), num_pictures=4, output=f"{report.run}/shown")
print(f"what it looks at: {shown.output}")
