"""DCGAN against the sizes of its Figure 1 and a plain restatement."""

from __future__ import annotations

import torch
from torch import nn

from striate.networks.catalog import network


def test_the_generator_has_the_maps_of_figure_1() -> None:
    net = network("dcgan_generator")
    shapes = [row.output_shape for row in net.rows if row.path.endswith("conv")]
    widths = (100, 1024, 512, 256, 128, 3)
    kernels = (16, 25, 25, 25, 25)

    assert shapes == [(1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (3, 64, 64)]
    weights = sum(k * a * b for k, a, b in zip(kernels, widths[:-1], widths[1:], strict=True))
    assert net.params == weights + 2 * sum(widths[1:-1])


def test_the_discriminator_is_its_mirror_image() -> None:
    shapes = [row.output_shape for row in network("dcgan_discriminator").rows if row.path.endswith("conv")]

    assert shapes == [(128, 32, 32), (256, 16, 16), (512, 8, 8), (1024, 4, 4)]
    assert network("dcgan_discriminator").output_shape == (1,)


def test_both_are_the_chains_of_plain_torch_layers_that_the_paper_lists() -> None:
    """ReLU and tanh in the generator, leaky ReLU of slope 0.2 in the discriminator; no normalization at its first and last layer."""
    torch.manual_seed(0)
    ours = network("dcgan_generator").build().double().eval()
    parts: list[nn.Module] = [nn.ConvTranspose2d(100, 1024, 4, bias=False), nn.BatchNorm2d(1024), nn.ReLU()]
    for before, after in ((1024, 512), (512, 256), (256, 128), (128, 3)):
        parts.append(nn.ConvTranspose2d(before, after, 5, 2, 2, 1, bias=False))
        parts += [nn.BatchNorm2d(after), nn.ReLU()] if after > 3 else [nn.Tanh()]
    plain = nn.Sequential(*parts).double().eval()
    plain.load_state_dict(dict(zip(plain.state_dict(), ours.state_dict().values(), strict=True)))
    noise = torch.randn(2, 100, 1, 1, dtype=torch.float64)
    judge = network("dcgan_discriminator").build().double().eval()
    layers: list[nn.Module] = [nn.Conv2d(3, 128, 5, 2, 2, bias=False), nn.LeakyReLU(0.2)]
    for before, after in ((128, 256), (256, 512), (512, 1024)):
        layers += [nn.Conv2d(before, after, 5, 2, 2, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    critic = nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024 * 16, 1)).double().eval()
    critic.load_state_dict(dict(zip(critic.state_dict(), judge.state_dict().values(), strict=True)))

    with torch.inference_mode():
        pictures = ours(noise)
        torch.testing.assert_close(pictures, plain(noise), rtol=0, atol=0)
        torch.testing.assert_close(judge(pictures), critic(pictures), rtol=0, atol=0)
    assert pictures.abs().max() < 1
