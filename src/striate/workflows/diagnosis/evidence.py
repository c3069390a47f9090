"""The pictures that findings of `striate diagnose` point to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from striate.core.reports import write_files
from striate.drawing.curves import curves_picture
from striate.drawing.style import COLOURS, RULE, VAL, beside, curve, drawing, empty, look, name_ticks, panels, plain, png_bytes, powers
from striate.insight.diagnose import Finding, LayerSample, Sample
from striate.insight.diagnose.states import DRIFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURES = {  # which kinds of finding each picture shows
    "gradients.png": ("vanishing_gradient", "exploding_gradient", "uneven_updates", "learning_rate_too_high", "learning_rate_too_low"),
    "layers.png": ("dead_relu", "saturated", "constant_units", "symmetric_units", "batch_norm_drift"),
    "curves.png": ("overfitting", "underfitting", "label_noise", "val_differs", "batch_norm_unsettled"),
}
SHARES = {"dead": COLOURS[1], "saturated": COLOURS[0], "constant": COLOURS[4], "alike": COLOURS[3]}
LEAST = 1e-12  # that is drawn on a scale of powers
WIDTH = 8.4  # inches
ROOM = 6.4  # of them for the parts of the network
LONGEST = 40  # characters of the path of a part


def draw_evidence(
    output: Path, findings: Sequence[Finding], samples: Sequence[Sample], rows: Sequence[Mapping[str, str]], *, draw_all: bool
) -> list[Finding]:
    """Draw the evidence into the folder `output`, without `draw_all` only that of a finding; the findings with their pictures' names."""
    kinds = {finding.kind for finding in findings}
    drawings: dict[str, Callable[[], bytes | None]] = {
        "gradients.png": lambda: gradient_evidence(samples),
        "layers.png": lambda: shares_evidence(samples),
        "curves.png": lambda: curves_picture(rows) if rows else None,
    }
    drawn = {name: draw() for name, draw in drawings.items() if draw_all or kinds & set(PICTURES[name])}
    drawn = {name: picture for name, picture in drawn.items() if picture is not None}
    write_files(output, drawn)
    pictures = {kind: name for name in drawn for kind in PICTURES[name]}
    return [dataclasses.replace(finding, picture=pictures.get(finding.kind)) for finding in findings]


def gradient_evidence(samples: Sequence[Sample]) -> bytes | None:
    """The signal that reaches each layer and the size of its updates, at the first look, in the middle and at the last."""
    names = {"signal": "gradient at the output\n(nats, root mean square)", "update_ratio": "update / weights\n(L2 norms)"}
    seen = {name: found for name in names if (found := _on_log_scale(samples, name))}
    if not seen:
        return None
    paths = list(dict.fromkeys(layer.path for sample in samples for layer in sample.layers if _drawn(layer, seen)))
    with drawing():
        size = (WIDTH, 2.3 * len(seen) + 1.0 + 0.055 * min(LONGEST, max(map(len, paths))))
        figure, grid = panels(len(seen), 1, size=size, title="Gradients and updates from the input to the output", sharex=True)
        for axes, (name, chosen) in zip(grid[:, 0], seen.items(), strict=True):
            plain(axes, y=names[name])
            powers(axes, "y")
            for place, (step, values) in enumerate(chosen):
                places = [paths.index(path) for path in values]
                curve(axes, places, list(values.values()), label=f"step {step:,}", **look(place))
            if name == "update_ratio":
                axes.axhline(1e-3, color=RULE, linewidth=0.8, linestyle="--", label="usual: 0.001")
            beside(axes)
        _name_parts(axes, paths)
        return png_bytes(figure)


def _drawn(layer: LayerSample, names: Mapping[str, object]) -> bool:
    return any(getattr(layer, name) is not None for name in names)


def _on_log_scale(samples: Sequence[Sample], name: str) -> list[tuple[int, dict[str, float]]]:
    """Step and values by path, zero as the least that is drawn, of at most three samples that have some."""
    found = []
    for sample in samples:
        values = {layer.path: value for layer in sample.layers if (value := getattr(layer, name)) is not None}
        if any(values.values()):
            found.append((sample.step, {path: max(value, LEAST) for path, value in values.items()}))
    return [found[place] for place in sorted({0, len(found) // 2, len(found) - 1})] if found else []


def shares_evidence(samples: Sequence[Sample]) -> bytes | None:
    """The shares of dead, saturated, constant and equal units of each layer, at the last look; a healthy network's panel says so."""
    layers = samples[-1].layers if samples else ()
    measured = [layer for layer in layers if any(getattr(layer, name) is not None for name in SHARES)]
    drifts = {layer.path: layer.drift for layer in layers if layer.drift is not None}
    if not measured and not drifts:
        return None
    with drawing():
        longest = min(LONGEST, max(len(layer.path) for layer in layers))
        troubled = any(getattr(layer, name) for layer in measured for name in SHARES)
        each = 2.0 + 0.055 * longest  # inches
        heights = [*([each if troubled else 0.7] if measured else []), *([each] if drifts else [])]
        title = f"Parts of the network at step {samples[-1].step:,}"
        figure, grid = panels(len(heights), 1, size=(WIDTH, sum(heights) + 0.5), title=title, height_ratios=heights)
        rows = list(grid[:, 0])
        if measured:
            _draw_shares(rows.pop(0), measured)
        if drifts:
            _draw_drifts(rows.pop(0), drifts)
        return png_bytes(figure)


def _draw_shares(axes: Axes, layers: Sequence[LayerSample]) -> None:
    """Bars of the parts with a share over 0, as many beside each other as there are kinds of trouble."""
    kinds = [name for name in SHARES if any(getattr(layer, name) for layer in layers)]
    troubled = [layer for layer in layers if any(getattr(layer, name) for name in kinds)]
    looked_for = [name for name in SHARES if any(getattr(layer, name) is not None for layer in layers)]
    if not troubled:
        empty(axes, f"None of the {len(layers)} parts that were examined has units that are {_listed(looked_for)}.")
        axes.set_title("units or outputs that do nothing")
        return
    plain(axes, title=f"units or outputs that do nothing, in {len(troubled)} of {len(layers)} parts", y="share (%)")
    width = 0.8 / len(kinds)
    for k, name in enumerate(kinds):
        at = [place + (k - (len(kinds) - 1) / 2) * width for place in range(len(troubled))]
        axes.bar(at, [100 * (getattr(layer, name) or 0) for layer in troubled], width, color=SHARES[name], label=name)
    axes.set(ylim=(0, 100), xlim=(-0.6, max(len(troubled), 4) - 0.4))
    beside(axes)
    _name_parts(axes, [layer.path for layer in troubled])


def _draw_drifts(axes: Axes, drifts: Mapping[str, float]) -> None:
    plain(axes, title=f"batch norms: running statistics against the batch's, at most {max(drifts.values()):.2g} nats", y="drift (nats)")
    axes.bar(range(len(drifts)), list(drifts.values()), color=VAL)
    axes.axhline(DRIFT, color=RULE, linewidth=0.8, linestyle="--", label=f"warned of\nfrom {DRIFT:g}")
    axes.set(ylim=(0, 1.1 * max(DRIFT, *drifts.values())), xlim=(-0.6, max(len(drifts), 4) - 0.4))
    beside(axes)
    _name_parts(axes, list(drifts))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _name_parts(axes: Axes, paths: Sequence[str]) -> None:
    axes.set_xlabel("part of the network")
    name_ticks(axes.xaxis, paths, ROOM, longest=LONGEST, upright=True)
