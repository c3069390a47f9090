"""Describe a network of your own as data, look at its table, vary it, and train it."""

import striate
from striate import Network
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, GlobalPool, Identity, Linear, Parallel, Pool


def conv(channels: int) -> Chain:
    return Chain(conv=Conv(channels, 3, padding=1, bias=False), norm=BatchNorm(), act=Activation("relu"))


def residual(channels: int) -> Chain:
    """Two convolutions, and a shortcut around them."""
    return Chain(add=Parallel(body=Chain(first=conv(channels), second=conv(channels)), shortcut=Identity(), merge="sum"))


net = Network(
    "my_residual_net",
    (1, 8, 8),
    Chain(
        stem=conv(16),
        stage1=residual(16),
        pool=Pool("max", 2),
        widen=conv(32),
        stage2=residual(32),
        head=Chain(pool=GlobalPool(), linear=Linear(10)),
    ),
)
print(net)  # shapes, parameters, MACs and receptive field, before anything is built
print(f"without shortcuts: {net.without('shortcut').params:,} parameters")

report = striate.train("digits", network=net, epochs=3)
print(f"{report.network}: val accuracy {report.val.accuracy:.2f} in {report.run}")
