"""Samples that are no pictures, with what a model looks at: signals as lines over a band of heat, rows of tables as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from striate.drawing.style import COLOURS, LEAST, SMALL, WRONG, drawing, panels, plain, png_bytes, short_name

WIDTH = 3.6  # inches of a panel
MOST_BARS = 12  # columns of a table, those with the most heat


def heat_over_lines(samples: np.ndarray, heats: Mapping[str, np.ndarray], captions: Sequence[str], *, title: str) -> bytes:
    """One row per signal and one column per method: each channel as a line of its own height, the heat as a band behind all.

    Args:
        samples: (N, L, C); each channel is drawn between its least and its largest value.
        heats: Name of a method -> (N, L); what is below 0 is drawn as none.
        captions: One per signal.
        title: The heading.
    """
    number, length, channels = samples.shape
    with drawing():
        size = (max(WIDTH * len(heats), 5.0), number * (0.75 + 0.4 * channels) + 0.9)
        figure, grid = panels(number, len(heats), size=size, title=title, sharex=True)
        for place, (sample, words) in enumerate(zip(samples, captions, strict=True)):
            spread = np.ptp(sample, axis=0)
            lines = (sample - sample.min(0)) / np.where(spread > 0, spread, 1)  # (L, C) of 0 to 1
            for axes, (name, values) in zip(grid[place], heats.items(), strict=True):
                heat = np.maximum(values[place], 0)
                band = axes.imshow(
                    heat[None] / (heat.max() or 1),
                    extent=(-0.5, length - 0.5, -0.1, 1.2 * channels),
                    aspect="auto",
                    cmap="YlOrRd",
                    vmin=0,
                    vmax=1,
                    interpolation="nearest",
                )
                for channel in range(channels):
                    axes.plot(lines[:, channel] + 1.2 * (channels - 1 - channel), color="#222222", linewidth=0.9)
                axes.set(yticks=[1.2 * (channels - 1 - k) + 0.5 for k in range(channels)], yticklabels=[f"{k}" for k in range(channels)])
                axes.set_ylabel("channel" if axes is grid[place, 0] else "")
                axes.set_title(words if axes is grid[place, 0] else "", fontsize=SMALL, parse_math=False)
                axes.set_xlabel(f"place ({name})" if place == number - 1 else "", parse_math=False)
        bar = figure.colorbar(band, ax=grid, orientation="horizontal", shrink=0.4, aspect=40, ticks=[0, 1])
        bar.ax.set_xticklabels(["no heat", "most"])
        return png_bytes(figure)


def heat_of_columns(
    samples: np.ndarray, heats: Mapping[str, np.ndarray], captions: Sequence[str], names: Sequence[str], *, title: str
) -> bytes:
    """One row per row of a table and one column per method: a bar for each column of the table, those with the most heat first.

    Args:
        samples: (N, F), the values that stand beside the names.
        heats: Name of a method -> (N, F).
        captions: One per row.
        names: Of the columns.
        title: The heading.
    """
    shown = min(MOST_BARS, len(names))
    with drawing():
        size = (max((WIDTH + 0.6) * len(heats), 5.5), len(samples) * (0.7 + 0.17 * shown) + 0.6)
        figure, grid = panels(len(samples), len(heats), size=size, title=title)
        for place, (sample, words) in enumerate(zip(samples, captions, strict=True)):
            for axes, (name, values) in zip(grid[place], heats.items(), strict=True):
                heat = values[place]
                first = np.argsort(-np.abs(heat), kind="stable")[:shown]
                colours = [COLOURS[0] if value >= 0 else WRONG for value in heat[first]]
                axes.barh(range(shown), heat[first], color=colours)
                axes.invert_yaxis()
                labels = [f"{short_name(names[k])} = {sample[k]:.4g}" for k in first]
                axes.set_yticks(range(shown), labels, fontsize=LEAST, parse_math=False)
                plain(axes, title="", x=name if place == len(samples) - 1 else "")
                axes.set_title(words if axes is grid[place, 0] else "", fontsize=SMALL, parse_math=False)
        return png_bytes(figure)
