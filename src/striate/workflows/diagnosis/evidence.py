"""The pictures that findings of `striate diagnose` point to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from striate.drawing.pictures import curves_picture
from striate.drawing.style import DPI, RIGHT, TRAIN, VAL, WRONG, drawing, png_bytes, short_name
from striate.insight.diagnose import LayerSample, Sample
from striate.insight.diagnose.states import DRIFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARES = {"dead": WRONG, "saturated": VAL, "constant": TRAIN, "alike": RIGHT}
LEAST = 1e-12  # that is drawn on a scale of powers
MOST_NAMES = 40  # layers that are named along the axis


def curves_evidence(rows: Sequence[Mapping[str, Any]]) -> bytes | None:
    """The curves of the epochs; None without any."""
    return curves_picture(rows) if rows else None


def gradient_evidence(samples: Sequence[Sample]) -> bytes | None:
    """The signal that reaches each layer and the size of its updates, at the first look, in the middle and at the last."""
    panels = {
        "signal": "|dL / d output|, a sample (nats)",
        "update_ratio": "|change| / |weights|, an update",
    }
    seen = {name: _on_log_scale(samples, name) for name in panels}
    shown = [name for name in panels if seen[name]]
    if not shown:
        return None
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.2, 3.0 * len(shown) + 1.2), dpi=DPI, layout="constrained")
        grid = figure.subplots(len(shown), 1, squeeze=False)
        for axes, name in zip(grid[:, 0], shown, strict=True):
            chosen = seen[name]
            for (step, values), colour in zip(chosen, (TRAIN, VAL, WRONG), strict=False):
                axes.plot(
                    list(values), list(values.values()), marker="o", markersize=3.5, linewidth=1.3, color=colour, label=f"step {step:,}"
                )
            axes.set_yscale("log")
            axes.set_ylabel(panels[name])
            axes.legend(frameon=False, fontsize=8)
            _name_layers(axes, list(chosen[-1][1]))
            if name == "update_ratio":
                axes.axhline(1e-3, color="#999999", linewidth=0.8, linestyle="--")
        grid[0, 0].set_title("Gradients and updates from the input to the output", loc="left", fontsize=11)
        return png_bytes(figure)


def _on_log_scale(samples: Sequence[Sample], name: str) -> list[tuple[int, dict[str, float]]]:
    """Step and values by path, zero as the least that is drawn, of at most three samples that have some."""
    found = []
    for sample in samples:
        values = {layer.path: value for layer in sample.layers if (value := getattr(layer, name)) is not None}
        if any(values.values()):
            found.append((sample.step, {path: max(value, LEAST) for path, value in values.items()}))
    return [found[place] for place in sorted({0, len(found) // 2, len(found) - 1})] if found else []


def shares_evidence(samples: Sequence[Sample]) -> bytes | None:
    """The shares of dead, saturated, constant and equal units of each layer, at the last look."""
    layers = samples[-1].layers if samples else ()
    bars = [(layer, name) for layer in layers for name in SHARES if _share(layer, name) is not None]
    drifts = {layer.path: layer.drift for layer in layers if layer.drift is not None}
    if not bars and not drifts:
        return None
    with drawing():
        from matplotlib.figure import Figure

        panels = [bool(bars), bool(drifts)]
        figure = Figure(figsize=(7.2, 3.0 * sum(panels) + 1.2), dpi=DPI, layout="constrained")
        grid = list(figure.subplots(sum(panels), 1, squeeze=False)[:, 0])
        grid[0].set_title(f"Parts of the network at step {samples[-1].step:,}", loc="left", fontsize=11)
        if bars:
            axes = grid.pop(0)
            for name, colour in SHARES.items():
                values = [(place, 100 * (_share(layer, name) or 0)) for place, (layer, kind) in enumerate(bars) if kind == name]
                if values:
                    axes.bar([place for place, _ in values], [value for _, value in values], color=colour, label=name)
            axes.set_ylim(0, 100)
            axes.set_ylabel("units or outputs (%)")
            axes.legend(frameon=False, fontsize=8, ncols=4)
            _name_layers(axes, [layer.path for layer, _ in bars])
        if drifts:
            axes = grid.pop(0)
            axes.bar(range(len(drifts)), list(drifts.values()), color=VAL)
            axes.axhline(DRIFT, color="#999999", linewidth=0.8, linestyle="--")
            axes.set_ylim(0, 1.1 * max(DRIFT, *drifts.values()))
            axes.set_ylabel("batch norm drift (nats)")
            _name_layers(axes, list(drifts))
        return png_bytes(figure)


def _share(layer: LayerSample, name: str) -> float | None:
    value: float | None = getattr(layer, name)
    return value


def _name_layers(axes: Axes, paths: Sequence[str]) -> None:
    every = math.ceil(len(paths) / MOST_NAMES)
    places = range(0, len(paths), every)
    axes.set_xticks(list(places), [short_name(paths[place], 28) for place in places], rotation=90, fontsize=7, parse_math=False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
