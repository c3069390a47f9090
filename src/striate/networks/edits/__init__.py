"""Edits: functions from a network to another network, over the tree of its description.

An edit first selects parts, then removes or replaces them, then checks that what is left fits together. An edit that selects nothing
is an error. What was done stands in the provenance of the edited network; names and paths of the parts that stay do not change.
"""

from striate.networks.edits.auxiliary import auxiliary
from striate.networks.edits.convolutional import fully_convolutional
from striate.networks.edits.heads import head
from striate.networks.edits.kernels import factorize, split_kernels
from striate.networks.edits.replace import num_groups, swap, without
from striate.networks.edits.sizes import depth, width
from striate.networks.edits.tree import Part, parts, select

__all__ = [
    "Part",
    "auxiliary",
    "depth",
    "factorize",
    "fully_convolutional",
    "head",
    "num_groups",
    "parts",
    "select",
    "split_kernels",
    "swap",
    "width",
    "with_weights_of",
    "without",
]
