"""The vocabulary of descriptions: every leaf, and the two joins."""

from striate.networks.layers.activation import Activation
from striate.networks.layers.attention import ClassToken, PositionEmbedding, SelfAttention, TakeStep
from striate.networks.layers.base import Cost, Layer, Reach, Row, Shape, View
from striate.networks.layers.channels import ChannelChunk, ChannelLinear, Gain, MatchChannels, PadChannels, Scale, ShuffleChannels
from striate.networks.layers.convolution import Conv
from striate.networks.layers.deformable import DeformableConv
from striate.networks.layers.dense import Flatten, Identity, Linear
from striate.networks.layers.dropout import Dropout, SpatialDropout, StochasticDepth
from striate.networks.layers.forms import asymmetric_conv, depthwise_conv, separable_conv
from striate.networks.layers.joins import Chain, Parallel
from striate.networks.layers.local import LocallyConnected
from striate.networks.layers.normalization import BatchNorm, GlobalResponseNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from striate.networks.layers.pooling import AdaptivePool, GlobalPool, Pool, Subsample
from striate.networks.layers.radial import EuclideanRBF
from striate.networks.layers.recurrent import GRU, LSTM, Elman, ToSequence, ToSignal
from striate.networks.layers.transposed import ConvTranspose, Interpolate

__all__ = [
    "GRU",
    "LSTM",
    "Activation",
    "AdaptivePool",
    "BatchNorm",
    "Chain",
    "ChannelChunk",
    "ChannelLinear",
    "ClassToken",
    "Conv",
    "ConvTranspose",
    "Cost",
    "DeformableConv",
    "Dropout",
    "Elman",
    "EuclideanRBF",
    "Flatten",
    "Gain",
    "GlobalPool",
    "GlobalResponseNorm",
    "GroupNorm",
    "Identity",
    "InstanceNorm",
    "Interpolate",
    "Layer",
    "LayerNorm",
    "Linear",
    "LocalResponseNorm",
    "LocallyConnected",
    "MatchChannels",
    "PadChannels",
    "Parallel",
    "Pool",
    "PositionEmbedding",
    "Reach",
    "Row",
    "Scale",
    "SelfAttention",
    "Shape",
    "ShuffleChannels",
    "SpatialDropout",
    "StochasticDepth",
    "Subsample",
    "TakeStep",
    "ToSequence",
    "ToSignal",
    "View",
    "asymmetric_conv",
    "depthwise_conv",
    "separable_conv",
]
