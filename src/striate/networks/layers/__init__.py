"""The vocabulary of descriptions: every leaf, and the two joins."""

from striate.networks.layers.activation import Activation
from striate.networks.layers.base import Cost, Layer, Reach, Row, Shape, View
from striate.networks.layers.convolution import Conv
from striate.networks.layers.dense import Dropout, Flatten, Identity, Linear
from striate.networks.layers.joins import Chain, Parallel
from striate.networks.layers.normalization import BatchNorm
from striate.networks.layers.pooling import GlobalPool, Pool, Subsample

__all__ = [
    "Activation",
    "BatchNorm",
    "Chain",
    "Conv",
    "Cost",
    "Dropout",
    "Flatten",
    "GlobalPool",
    "Identity",
    "Layer",
    "Linear",
    "Parallel",
    "Pool",
    "Reach",
    "Row",
    "Shape",
    "Subsample",
    "View",
]
