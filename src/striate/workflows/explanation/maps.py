"""Heat maps of pictures: drawn, measured, and in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from striate.core.images import SignalSpec
from striate.core.text import counted
from striate.drawing.lines import heat_of_columns, heat_over_lines
from striate.drawing.pictures import Scale, montage
from striate.drawing.style import short_name
from striate.insight.explain import COARSE, Method, attribute, trust_in
from striate.models.model import OF_SCORES, Model
from striate.workflows.explanation.page import Shown, shaded
from striate.workflows.explanation.words import agreements, told

if TYPE_CHECKING:
    from striate.workflows.explanation.choosing import Chosen
    from striate.workflows.explanation.explain import ExplainRequest
    from striate.workflows.explanation.views import Viewed


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One picture: the prediction, the class that was explained, and how well each map finds the pixels that matter."""

    path: str
    answer: str
    probability: float
    target: str
    label: str | None
    deletion: dict[str, float]  # method -> area under the curve, the smaller the better
    insertion: dict[str, float]  # method -> area under the curve, the larger the better


class Maps(NamedTuple):
    """The heat maps of all pictures by all methods: as in the report, and as they are shown."""

    pictures: tuple[Explained, ...]
    randomisation: dict[str, float]
    notes: tuple[str, ...]
    shown: list[Shown]


def draw_maps(
    request: ExplainRequest, model: Model, viewed: Viewed, methods: Sequence[Method], chosen: Chosen, *, say: Callable[[str], None]
) -> Maps:
    """Explain the model's answers, or the class that is requested, by each method."""
    network, layer, inputs = viewed.network, viewed.layers, viewed.inputs
    probabilities = model.shares(chosen.images)
    if model.gives_scores:
        say(OF_SCORES)
    answers = probabilities.argmax(1)
    targets = answers if request.target is None else np.full(len(answers), model.classes.index(request.target))
    classes = torch.from_numpy(targets).to(inputs.device)
    heats, trust, apart = {}, {}, viewed.kind == "rows"
    for method in methods:
        say(f"{method}: {counted(len(answers), viewed.kind[:-1])}")
        heats[str(method)] = attribute(method, network, layer, inputs, classes, seed=request.seed, apart=apart)
        if request.sanity:
            trust[str(method)] = trust_in(method, network, layer, inputs, classes, heats[method], seed=request.seed, apart=apart)
    explained = tuple(
        Explained(
            path=chosen.names[place],
            answer=model.classes[answer],
            probability=float(probabilities[place, answer]),
            target=model.classes[targets[place]],
            label=model.classes[label] if label is not None else None,
            deletion={method: float(found.deletion[place]) for method, found in trust.items()},
            insertion={method: float(found.insertion[place]) for method, found in trust.items()},
        )
        for place, (answer, label) in enumerate(zip(answers, chosen.labels, strict=True))
    )
    randomisation = {method: found.randomisation for method, found in trust.items()}
    notes = agreements(network, inputs, heats)
    words = told(", ".join(layer), randomisation, notes, viewed.kind)
    shown = [Shown("heat-maps.png", "Heat maps", drawn(model, chosen.images, explained, heats), words)] if heats else []
    return Maps(explained, randomisation, notes, shown)


def drawn(model: Model, samples: np.ndarray, explained: Sequence[Explained], heats: Mapping[str, Tensor]) -> bytes:
    """The picture of the maps, as suits the kind of the samples."""
    if model.images.kind == "signals":
        return over_signals(samples, explained, heats)
    if model.images.kind == "rows":
        return by_features(samples, explained, heats, columns_of(model))
    return _drawn(samples, explained, heats)


def columns_of(model: Model) -> tuple[str, ...]:
    """The names of a table's columns; their numbers where they have none."""
    names = model.images.columns if isinstance(model.images, SignalSpec) else ()
    return names or tuple(f"column {number}" for number in range(model.images.channels))


def caption(item: Explained) -> str:
    """The sample's name, its answer, its class, and the class that is explained where that is another."""
    truth = f", is {short_name(item.label)}" if item.label is not None else ""
    aim = f", for {short_name(item.target)}" if item.target != item.answer else ""
    return f"{short_name(item.path)}: {short_name(item.answer)} {100 * item.probability:.0f} %{truth}{aim}"


def over_signals(samples: np.ndarray, explained: Sequence[Explained], heats: Mapping[str, Tensor]) -> bytes:
    """One row per signal, one column per method: the channels as lines, the heat as a band behind them."""
    titles = {name: name.replace("_", " ") for name in heats}
    bands = {titles[name]: heat[:, 0].cpu().numpy() for name, heat in heats.items()}  # (N, L)
    return heat_over_lines(samples, bands, [caption(item) for item in explained], title="Where the model looks")


def by_features(samples: np.ndarray, explained: Sequence[Explained], heats: Mapping[str, Tensor], names: Sequence[str]) -> bytes:
    """One row per row of the table, one column per method: a bar for each column of the table."""
    bars = {name.replace("_", " "): heat[:, 0].cpu().numpy() for name, heat in heats.items()}  # (N, F)
    return heat_of_columns(samples, bars, [caption(item) for item in explained], names, title="What the model looks at")


def _drawn(images: np.ndarray, explained: Sequence[Explained], heats: Mapping[str, Tensor]) -> bytes:
    """One row per picture: the picture, then each method's map."""
    cells, captions = [], []
    for place, (image, item) in enumerate(zip(images, explained, strict=True)):
        plain = image if image.shape[2] == 3 else image.mean(2, keepdims=True).round().astype(np.uint8).repeat(3, 2)
        truth = f"\nis {short_name(item.label)}" if item.label is not None else ""
        cells.append(plain)
        captions.append(f"{short_name(item.path)}\n{short_name(item.answer)} {100 * item.probability:.0f} %{truth}")
        for method, heat in heats.items():
            cells.append(shaded(heat[place].cpu().numpy(), plain if method in COARSE else None))
            areas = f"\ndeletion {item.deletion[method]:.2f}, insertion {item.insertion[method]:.2f}" if method in item.deletion else ""
            aim = f"\nfor {short_name(item.target)}" if item.target != item.answer else ""
            captions.append(f"{method.replace('_', ' ')}{aim}{areas}")
    across = 1 + len(heats)
    groups = max(1, min(len(images), round(6 / across)))
    scales = [
        *([Scale("turbo", "least", "most", "over the picture:")] if any(name in COARSE for name in heats) else []),
        *([Scale("inferno", "least", "most", "by pixels:")] if any(name not in COARSE for name in heats) else []),
    ]
    return montage(np.stack(cells), captions, title="Where the model looks", columns=across * groups, scales=scales)
