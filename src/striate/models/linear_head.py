"""A linear head by logistic regression on the features of a frozen network: what few labelled pictures can teach in one pass.

The features are what reaches the head, of each picture and of its mirror image, standardized. The strength of the penalty is chosen by
cross-validation over pictures, whose answers also give an estimate of the accuracy from all of them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from striate.core.modes import evaluation_mode, hooked

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression
    from torch import Tensor, nn

    from striate.networks.modules.image import ImageModule

STRENGTHS = tuple(10.0**power for power in range(-5, 1))  # of C, the inverse penalty on standardized features; weakest weights first
FOLDS = 5
GROUP = 32  # pictures that the network sees at a time


@dataclass(frozen=True)
class LinearHead:
    """Weights of a head, and what cross-validation says of it."""

    weight: Tensor  # (K, F)
    bias: Tensor  # (K,)
    strength: float  # C
    correct: int | None  # pictures that a head, fitted to the other folds, names right; None where a class has a single picture
    folds: int
    num_images: int


def fit_linear_head(module: ImageModule, head: str, images: np.ndarray, labels: np.ndarray, num_classes: int, *, seed: int) -> LinearHead:
    """Fit the dense layer `head` of `module` to labelled pictures; `module` stays as it is.

    Args:
        module: The network, on its device.
        head: The path of its last dense layer in the described network.
        images: (N, H, W, C) uint8, of the module's own size.
        labels: (N,) int64.
        num_classes: The outputs of the head; a class without a picture gets the least bias of all.
        seed: Decides the folds.
    """
    both = [features(module, head, images, mirrored=mirrored) for mirrored in (False, True)]  # (N, F) each
    stacked = np.concatenate(both)
    mean, std = stacked.mean(0), np.maximum(stacked.std(0), 1e-6)
    plain, mirror = ((each - mean) / std for each in both)
    counts = np.bincount(labels)
    folds = min(FOLDS, int(counts[counts > 0].min()))
    strength, correct = _chosen_strength(plain, mirror, labels, folds, seed)
    model = _fitted(plain, mirror, labels, strength)
    weight, bias = _of_all_classes(model, num_classes)
    return LinearHead(
        weight=torch.from_numpy(weight / std).float(),
        bias=torch.from_numpy(bias - (weight / std) @ mean).float(),
        strength=strength,
        correct=correct,
        folds=folds,
        num_images=len(labels),
    )


def features(module: ImageModule, head: str, images: np.ndarray, *, mirrored: bool = False) -> np.ndarray:
    """(N, F) float64: what reaches the head for each picture, or for its mirror image."""
    kept: list[np.ndarray] = []

    def keep(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        kept.append(inputs[0].double().cpu().numpy())

    device = module.scale.device
    layer = module.network.get_submodule(head)
    with evaluation_mode(module), torch.inference_mode(), hooked([layer.register_forward_pre_hook(keep)]):
        for start in range(0, len(images), GROUP):
            group = np.array(images[start : start + GROUP])  # a copy: the source may be read-only
            module(torch.from_numpy(group[:, :, ::-1].copy() if mirrored else group).to(device))
    return np.concatenate(kept)


def _chosen_strength(plain: np.ndarray, mirror: np.ndarray, labels: np.ndarray, folds: int, seed: int) -> tuple[float, int | None]:
    """The strength with the most pictures named right by heads that were fitted without them, and their number; the weaker of equals."""
    from sklearn.model_selection import StratifiedKFold

    if folds < 2:
        return STRENGTHS[len(STRENGTHS) // 2], None
    divided = list(StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32).split(plain, labels))
    right = {
        strength: sum(
            int((_fitted(plain[fitted], mirror[fitted], labels[fitted], strength).predict(plain[held]) == labels[held]).sum())
            for fitted, held in divided
        )
        for strength in STRENGTHS
    }
    best = max(right, key=lambda strength: (right[strength], -strength))
    return best, right[best]


def _fitted(plain: np.ndarray, mirror: np.ndarray, labels: np.ndarray, strength: float) -> LogisticRegression:
    """Logistic regression on both views of pictures."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a head that is nearly there serves as well
        return LogisticRegression(C=strength, max_iter=200).fit(np.concatenate([plain, mirror]), np.concatenate([labels, labels]))


def _of_all_classes(model: LogisticRegression, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(K, F) weights and (K,) biases; of two classes one has them with each sign halved."""
    coef, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    weight, bias = np.zeros((num_classes, coef.shape[1])), np.full(num_classes, intercept.min() - 10)
    weight[model.classes_], bias[model.classes_] = coef, intercept
    return weight, bias
