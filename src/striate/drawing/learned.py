"""Pictures of what a network learned: the norms of its kernels, what its channels respond to, and how it places pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from striate.drawing.style import SMALL, beside, colour_bar, drawing, fitted, look, name_ticks, panels, png_bytes

REDUCED = {  # method -> its name, and that of an axis
    "pca": ("principal components", "principal component"),
    "tsne": ("t-SNE", "t-SNE coordinate (no unit)"),
    "umap": ("UMAP", "UMAP coordinate (no unit)"),
}


def norms_picture(norms: Mapping[str, np.ndarray], num_convolutions: int) -> bytes:
    """The norms of kernels (K, C), output channel by input channel, of some of the convolutions."""
    columns = min(4, len(norms))
    rows = -(-len(norms) // columns)
    with drawing():
        from matplotlib.ticker import MaxNLocator

        some = f" of {len(norms)} of {num_convolutions} convolutions" if len(norms) < num_convolutions else ""
        size = (max(3.1 * columns, 5.4), 2.7 * rows + 0.5)
        figure, grid = panels(rows, columns, size=size, title=f"Norms of the kernels{some}, each between two channels (L2)")
        for axes in grid.ravel()[len(norms) :]:
            axes.axis("off")
        for axes, (name, values) in zip(grid.ravel(), norms.items(), strict=False):
            image = axes.imshow(values, aspect="auto", cmap="viridis", vmin=0, interpolation="nearest")
            colour_bar(figure, image, axes, "norm")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
            axes.set(xlabel="input channel", ylabel="output channel")
            axes.set_title(fitted(f"{name}\n{values.shape[1]} in, {values.shape[0]} out", 2.3, SMALL), fontsize=SMALL, parse_math=False)
        return png_bytes(figure)


def means_picture(means: np.ndarray, classes: Sequence[str], heading: str) -> bytes:
    """The mean output (K, C) of each channel by class; not-a-number for a class without pictures."""
    high = max(0.15 * len(means), 1.2) if len(means) <= 60 else 9.0  # inches
    with drawing():
        figure, ((axes,),) = panels(1, 1, size=(9.0, high + 1.4), title=heading)
        order = np.argsort(np.where(np.isnan(means), -np.inf, means).argmax(0), kind="stable")  # channels beside their class
        reach = float(np.nanmax(np.abs(means))) or 1.0
        low, colours = (-reach, "RdBu_r") if np.nanmin(means) < 0 else (0.0, "viridis")  # of outputs that have a sign, and that have none
        image = axes.imshow(means[:, order], aspect="auto", cmap=colours, vmin=low, vmax=reach, interpolation="nearest")
        axes.set(xlabel="number of the channel, in the order of the class that it responds to most", ylabel="class of the pictures")
        name_ticks(axes.xaxis, [str(channel) for channel in order], 6.4)
        name_ticks(axes.yaxis, classes, high)
        colour_bar(figure, image, axes, "mean output")
        return png_bytes(figure)


def layout_picture(places: np.ndarray, labels: np.ndarray, classes: Sequence[str], method: str) -> tuple[bytes, str]:
    """Pictures at their places (N, 2) by class, as an embedding gives them; and the heading."""
    name, axis = REDUCED[method]
    heading = f"{len(labels):,} pictures as the classifier reads them, by {name}"
    with drawing():
        figure, ((axes,),) = panels(1, 1, size=(8.4, 5.5), title=heading)
        for k, each in enumerate(classes):
            chosen, kind = labels == k, look(k)
            if chosen.any():
                axes.scatter(*places[chosen].T, s=12, color=kind["color"], marker=kind["marker"], label=each, linewidths=0)
        beside(axes)
        axes.set(xticks=[], yticks=[], xlabel=f"first {axis}", ylabel=f"second {axis}")
        return png_bytes(figure), heading
