"""A linear head in closed form: linear discriminant analysis, for so many classes that logistic regression would take too long.

Each class has its own mean, and all share one covariance. Of fewer pictures than features that has no inverse: it is drawn towards its
mean variance. The logits are divided by a temperature that makes pictures which were left out the likeliest, as densities of so many
features are far too sure.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SHRINK = 0.7  # of 0.1 to 0.97 the best, or half a point from it, with 20 and with 64 flower photos a class
TEMPERATURES = 2.0 ** np.arange(-1, 9)
MOST_ASKED = 2_000  # pictures that choose the temperature


def discriminant(features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """(K, F + 1) the weights and biases of the logits, at the likeliest temperature T.

        W_k = C^-1 m_k / T          b_k = (log share_k - m_k C^-1 m_k / 2) / T

    Args:
        features: (N, F) floats.
        labels: (N,) int64 in [0, K), each class with a picture.
        weights: (N,) of the pictures, where only their ratios count.
    """
    order = torch.argsort(labels, stable=True)
    later = torch.ones(len(labels), dtype=torch.bool)
    later[order[1:]] = labels[order[1:]] == labels[order[:-1]]
    later[order[0]] = False  # all but the first picture of each class
    held = torch.nonzero(later)[:, 0]
    held = held[torch.linspace(0, len(held) - 1, min(MOST_ASKED, len(held))).long()] if len(held) else held
    heads = _heads(features, labels, weights)
    if not len(held):
        return heads
    rest = torch.ones(len(labels), dtype=torch.bool)
    rest[held] = False
    others = _heads(features[rest], labels[rest], weights[rest])
    logits = features[held] @ others[:, :-1].T + others[:, -1]  # (M, K)
    likely = [float((logits / each).log_softmax(1)[torch.arange(len(held)), labels[held]].mean()) for each in TEMPERATURES]
    return heads / float(TEMPERATURES[int(np.argmax(likely))])


def _heads(features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """(K, F + 1) the weights and biases at temperature 1."""
    num_images, size = features.shape
    counts = torch.zeros(int(labels.max()) + 1, dtype=features.dtype).index_add_(0, labels, weights).clamp(min=1e-9)  # (K,)
    centre = features.mean(0)
    moved = features - centre
    means = torch.zeros(len(counts), size, dtype=features.dtype).index_add_(0, labels, weights[:, None] * moved) / counts[:, None]  # (K, F)
    rest = moved - means[labels] if num_images > len(counts) else moved  # one picture a class: as they differ from each other
    covariance = (weights[:, None] * rest).T @ rest / weights.sum()
    even = (covariance.trace() / size).clamp(min=1e-9) * torch.eye(size, dtype=features.dtype)
    weight = torch.linalg.solve((1 - SHRINK) * covariance + SHRINK * even, means.T).T  # (K, F)
    bias = (counts / counts.sum()).log() - (weight * means).sum(1) / 2 - weight @ centre
    return torch.cat([weight, bias[:, None]], 1)
