"""Embeddings: many features per image reduced to two, to be plotted."""

from __future__ import annotations

import importlib.util
from typing import Any, Literal

import numpy as np

from striate.core.errors import EnvironmentFault, UsageError

Embedding = Literal["pca", "tsne", "umap"]


def check_installed(method: Embedding) -> None:
    """Check that the method can be used.

    Raises:
        EnvironmentFault: UMAP is not installed.
    """
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise EnvironmentFault(
            "UMAP is not installed",
            "Install it, pip install umap-learn, or use t-SNE (tsne) or principal components (pca).",
        )


def embedded(features: np.ndarray, method: Embedding = "pca", *, seed: int = 0) -> np.ndarray:
    """(N, 2) places of (N, D) features: by principal components, t-SNE or UMAP.

    Raises:
        UsageError: fewer than 4 images, or features that are not finite.
        EnvironmentFault: UMAP is not installed.
    """
    if len(features) < 4 or not np.isfinite(features).all():
        raise UsageError(f"an embedding needs at least 4 images with finite features, got {len(features)}")
    centred = features.astype(np.float64) - features.mean(0)
    if method == "pca":
        left, sizes, right = np.linalg.svd(centred, full_matrices=False)
        signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])  # the same on every machine
        places: np.ndarray = (left * sizes * signs)[:, :2]
        return np.pad(places, [(0, 0), (0, 2 - places.shape[1])])
    if method == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(features) - 1) / 3)
        found: np.ndarray = TSNE(perplexity=perplexity, init="random", random_state=seed).fit_transform(centred)
        return found
    check_installed(method)
    import umap  # type: ignore[import-not-found]

    reducer: Any = umap.UMAP(n_neighbors=min(15, len(features) - 1), random_state=seed)
    drawn: np.ndarray = reducer.fit_transform(centred)
    return drawn
