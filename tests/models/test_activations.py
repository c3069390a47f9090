"""Outputs of all parts of a network, recorded while it runs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.models.activations import activations_of


class Block(nn.Module):
    """Adds its input in place, as many networks do, and applies a ReLU in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.norm(self.conv(images))
        maps += images
        acted: Tensor = self.act(maps)
        return acted


def test_what_is_recorded_is_not_overwritten_in_place_and_the_network_stays_as_it_was() -> None:
    torch.manual_seed(0)
    network, images = nn.Sequential(Block(), nn.Flatten(), nn.Linear(90, 2)).train(), torch.randn(2, 3, 5, 6)
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}

    found = activations_of(network, images)

    assert list(found) == ["0.conv", "0.norm", "0.act", "0", "1", "2"]
    conv = F.conv2d(images, network[0].conv.weight, network[0].conv.bias, padding=1)
    norm = F.batch_norm(conv, torch.zeros(3), torch.ones(3))
    torch.testing.assert_close(found["0.conv"], conv.detach())
    torch.testing.assert_close(found["0.norm"], norm.detach())
    torch.testing.assert_close(found["0.act"], F.relu(norm + images).detach())
    assert found["0"] is found["0.act"]
    assert network.training and all(torch.equal(buffer, buffers[name]) for name, buffer in network.named_buffers())
    assert not any(part._forward_hooks for part in network.modules())


def test_a_block_that_changes_its_last_layer_s_output_in_place_has_its_own() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, numbers: Tensor) -> Tensor:
            changed: Tensor = self.inner(numbers).add_(1)
            return changed

    found = activations_of(nn.Sequential(Shifted(), Shifted()), torch.zeros(1, 2))

    assert {path: float(output[0, 0]) for path, output in found.items()} == {"0.inner": 0, "0": 1, "1.inner": 1, "1": 2}
