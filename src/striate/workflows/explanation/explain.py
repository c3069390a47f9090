"""Explain a model: heat maps of pictures, and views of the network itself."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from striate.core.errors import DataError, EnvironmentFault, ShapeError, UnknownNameError, UsageError
from striate.core.files import make_folder, write_atomically, write_json
from striate.core.reports import shown_short
from striate.core.text import Lines, in_lines
from striate.data.decode import REMEDY as UNREADABLE
from striate.data.folder import readable_pictures
from striate.data.records import ImageSet
from striate.drawing.pictures import Scale, montage
from striate.drawing.style import short_name
from striate.insight import explain as tools
from striate.insight.measure.classes import most_confident_mistakes
from striate.models.model import OF_SCORES, Model
from striate.workflows.explanation.agreement import in_words, same_maps
from striate.workflows.explanation.page import Shown, page, shaded
from striate.workflows.explanation.views import VIEWS, View, Viewed, draw_view
from striate.workflows.subjects.subject import LabelledRequest, Subject, open_model, read_split
from striate.workflows.training.runs import new_run_folder

Method = Literal[
    "grad_cam",
    "grad_cam_plus_plus",
    "saliency",
    "smooth_grad",
    "integrated_gradients",
    "input_x_gradient",
    "guided_backprop",
    "deconvnet",
    "occlusion",
]
METHODS: tuple[Method, ...] = get_args(Method)
Asked = Literal[Method, "all"]  # all: every method and every view that the network and its data have
COARSE = ("grad_cam", "grad_cam_plus_plus", "occlusion")  # laid over the picture; the others are drawn beside it
OF_MAPS = ("grad_cam", "grad_cam_plus_plus", "maps", "channels", "units", "by_class")  # methods and views of a feature map
GROUP = 16  # pictures that run at once
MAX_READ = 2000  # pictures of a split that the views look at
TRUST = {  # the measures of how far a map can be trusted
    "deletion": "probability of the class, on average, while the map's strongest pixels are taken away first; lower is better",
    "insertion": "the same while they are put into a blurred picture first; higher is better",
    "randomised": "rank correlation with the maps of random weights; near 1 the map shows the picture, not the network",
}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class ExplainRequest(LabelledRequest):
    """The model, the pictures, the methods and views."""

    pictures: tuple[Path, ...] = ()  # files, or folders of them; by default some of a split of the run's data
    methods: tuple[Asked, ...] = ("grad_cam",)
    views: tuple[View, ...] = ()
    layer: str | None = None  # of Grad-CAM and of the views; the last feature map by default
    target: str | None = None  # the class that is explained; the model's answer by default
    mistakes: bool = False  # only pictures of the split that the model gets wrong, the most confident first
    num_pictures: int = Field(default=12, ge=1, le=256)
    sanity: bool = True  # deletion, insertion, and what remains of a map when the weights are randomised
    split: Literal["train", "val"] | None = None  # None: val; all of other data without splits
    seed: int = 0
    output: Path | None = None


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


@shown_short
@dataclass(frozen=True, kw_only=True)
class ExplainReport:
    """The pictures drawn, and measures of their faithfulness."""

    model: str
    layer: str  # of the feature map; empty if the network has none
    methods: tuple[str, ...]
    randomisation: dict[str, float]  # method -> mean rank correlation with the maps of random weights; near 0 is good
    pictures: tuple[Explained, ...]
    files: tuple[str, ...]
    output: str
    notes: tuple[str, ...] = ()  # methods that give the same maps
    left_out: dict[str, str] = Field(default_factory=dict)  # of all methods and views, what there is not -> why


class Chosen(NamedTuple):
    """Pictures to explain."""

    names: list[str]
    images: np.ndarray  # (N, H, W, C) uint8, as the model takes them
    labels: Sequence[int | None]


def explain(request: ExplainRequest, *, say: Callable[[str], None] = lambda _text: None) -> ExplainReport:
    """Draw heat maps and views into a folder, with an HTML page that shows them all.

    Raises:
        UsageError: the model gives no classes, there is no such class or layer, or no data is given and the run does not record it.
        DataError: no pictures, or one that cannot be read; names it.
        RefusedFileError: the model file is damaged or not a model.
        EnvironmentFault: UMAP is requested and not installed, or the output cannot be written.
    """
    unavailable = _not_installed(request)  # before the work
    subject = open_model(request.run, device=request.device, module=request.module)
    subject.report_folder("explain", request.output)
    model = subject.classifier("explain works on models that give one class per picture", "Give a run of `task='classify'`.")
    if request.target is not None and request.target not in model.classes:
        raise UnknownNameError("class", request.target, model.classes, f"Known: {', '.join(model.classes[:20])}.")

    @functools.cache
    def read() -> ImageSet:
        return read_split(subject.open_data(request, f"explain {subject.where}", say), request.split, "explain", say)[0]

    return explain_chosen(subject, request, _chosen(request, model, read, say), read, unavailable, say=say)


def explain_chosen(
    subject: Subject,
    request: ExplainRequest,
    chosen: Chosen,
    read: Callable[[], ImageSet],
    unavailable: Mapping[str, str],
    *,
    say: Callable[[str], None],
) -> ExplainReport:
    """The same of a subject that is open already, and of pictures that are read.

    Args:
        subject: The model.
        request: The methods and views.
        chosen: The pictures.
        read: Gives the split, for views that need it.
        unavailable: Of all views, those that cannot be drawn here, and why.
        say: Takes a line for the user.
    """
    every, left_out = "all" in request.methods, dict(unavailable)
    model = subject.trained
    names, images, labels = chosen
    inputs = normalized(model, images)
    network = inner(model)
    layer = request.layer or _last_map(request, network, inputs[:1])
    if layer:
        tools.part(network, layer)  # before anything is written
    else:
        left_out |= dict.fromkeys(OF_MAPS, "the network has no feature map")
    methods = [name for name in (METHODS if every else request.methods) if name != "all" and name not in left_out]
    output = _folder(subject, request)

    probabilities = model.shares(images)
    if model.gives_scores:
        say(OF_SCORES)
    answers = probabilities.argmax(1)
    targets = answers if request.target is None else np.full(len(images), model.classes.index(request.target))
    classes = torch.from_numpy(targets).to(inputs.device)
    heats, trust = {}, {}
    for method in methods:
        say(f"{method}: {len(images)} pictures")
        heats[method] = attribute(method, network, layer, inputs, classes, seed=request.seed)
        if request.sanity:
            trust[method] = _trust(network, layer, method, inputs, classes, heats[method], request.seed)
    explained = [
        Explained(
            path=name,
            answer=model.classes[answer],
            probability=float(row[answer]),
            target=model.classes[target],
            label=model.classes[label] if label is not None else None,
            deletion={method: float(found[1][place]) for method, found in trust.items()},
            insertion={method: float(found[2][place]) for method, found in trust.items()},
        )
        for place, (name, answer, row, target, label) in enumerate(zip(names, answers, probabilities, targets, labels, strict=True))
    ]
    randomisation: dict[str, float] = {method: found[0] for method, found in trust.items()}
    notes = _agreements(network, inputs, heats)
    shown = [Shown("heat-maps.png", "Heat maps", _drawn(images, explained, heats), _told(layer, randomisation, notes))] if heats else []
    viewed = Viewed(model.classes, network, layer, names, inputs, images, lambda x: _from_unit(model, x), seed=request.seed)
    for view in [*request.views, *(name for name in VIEWS if every and name not in request.views and name not in left_out)]:
        say(f"{view}: drawing")
        try:
            shown += draw_view(view, viewed, lambda: _readable(model, read))
        except (UsageError, DataError) as error:
            if view in request.views:
                raise
            left_out[view] = error.message.removeprefix(f"{view}: ")
    for name, why in left_out.items():
        say(f"{name}: left out: {why}")
    for item in shown:
        write_atomically(output / item.name, item.content)
    title = f"{subject.name}: what it looks at"
    write_atomically(output / "index.html", page(title, shown, left_out))
    report = ExplainReport(
        model=subject.name,
        layer=layer,
        methods=tuple(methods),
        randomisation=randomisation,
        pictures=tuple(explained),
        files=(*(item.name for item in shown), "index.html"),
        output=str(output),
        notes=notes,
        left_out=left_out,
    )
    write_json(output / "explain.json", _plain(report))
    return report


def _not_installed(request: ExplainRequest) -> dict[str, str]:
    """The view that needs a package which is not installed.

    Raises:
        EnvironmentFault: it is requested by its name.
    """
    try:
        if "all" in request.methods or "umap" in request.views:
            tools.check_installed("umap")
    except EnvironmentFault as error:
        if "umap" in request.views:
            raise
        return {"umap": f"{error.message}. {error.remedy}"}
    return {}


def _last_map(request: ExplainRequest, network: nn.Module, images: Tensor) -> str:
    """The path of the last feature map; empty if there is none, and nothing that needs one is requested by name.

    Raises:
        ShapeError: there is none.
    """
    try:
        return tools.last_map(network, images)
    except ShapeError as error:
        needs = [name for name in (*request.methods, *request.views) if name in OF_MAPS]
        if needs:
            raise ShapeError(
                f"{needs[0]}: {error.problem}", "Name a `layer`, or take another method, such as `methods=('saliency',)`."
            ) from None
        return ""


def _agreements(network: nn.Module, inputs: Tensor, heats: dict[Method, Tensor]) -> tuple[str, ...]:
    """A sentence on each group of methods that give the same maps."""
    groups = same_maps({str(name): heat for name, heat in heats.items()})
    has_relu = bool(groups) and tools.has_relu(network, inputs[:1])
    return tuple(in_words(group, has_relu=has_relu) for group in groups)


def inner(model: Model) -> nn.Module:
    """The network of a model without its normalization: normalized images (N, C, H, W) to logits."""
    network: nn.Module = model.module.get_submodule("network")
    return network


def normalized(model: Model, images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, C) as the network takes them: (N, C, H, W) float."""
    inputs: Tensor = model.module.normalized(torch.from_numpy(np.array(images)).to(model.device))  # type: ignore[operator]
    return inputs.contiguous()


def _from_unit(model: Model, pictures: Tensor) -> Tensor:
    """(N, C, H, W) in [0, 1] as the network takes them, with gradients."""
    inputs: Tensor = model.module.normalized(255 * pictures.permute(0, 2, 3, 1))  # type: ignore[operator]
    return inputs


def attribute(method: Method, network: nn.Module, layer: str, inputs: Tensor, classes: Tensor, *, seed: int = 0) -> Tensor:
    """The heat (N, H, W) of one method for normalized images (N, C, H, W), at the images' size; `layer` is empty if there is no map."""
    where, extent = tools.part(network, layer) if layer else network, (inputs.shape[2], inputs.shape[3])
    window = max(1, min(extent) // 6)
    calls: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "grad_cam": lambda x, k: tools.on_images(tools.grad_cam(network, where, x, k), extent),
        "grad_cam_plus_plus": lambda x, k: tools.on_images(tools.grad_cam_plus_plus(network, where, x, k), extent),
        "saliency": lambda x, k: tools.heat_of(tools.gradient(network, x, k)),
        "smooth_grad": lambda x, k: tools.heat_of(tools.smooth_grad(network, x, k, seed=seed)),
        "integrated_gradients": lambda x, k: tools.heat_of(tools.integrated_gradients(network, x, k, num_steps=32)),
        "input_x_gradient": lambda x, k: tools.heat_of(tools.input_x_gradient(network, x, k)),
        "guided_backprop": lambda x, k: tools.heat_of(tools.guided_backprop(network, x, k)),
        "deconvnet": lambda x, k: tools.heat_of(tools.deconvnet(network, x, k)),
        "occlusion": lambda x, k: tools.occlusion(network, x, k, window=window, stride=max(1, window // 2), batch_size=32),
    }
    parts = zip(torch.split(inputs, GROUP), torch.split(classes, GROUP), strict=True)
    return torch.cat([calls[method](x, k) for x, k in parts])


def _trust(
    network: nn.Module, layer: str, method: Method, inputs: Tensor, classes: Tensor, heat: Tensor, seed: int
) -> tuple[float, Tensor, Tensor]:
    """The similarity to maps of random weights, and the areas under the deletion and the insertion curves."""
    few, chosen = inputs[:GROUP], classes[:GROUP]
    other = attribute(method, tools.randomised(network, seed=seed), layer, few, chosen, seed=seed)
    alike = tools.rank_correlation(heat[:GROUP].abs(), other.abs())
    parts = zip(*(torch.split(tensor, GROUP) for tensor in (inputs, classes, heat)), strict=True)
    curves = [tools.deletion_insertion(network, *part) for part in parts]
    return float(alike.mean()), torch.cat([c.deletion_area for c in curves]), torch.cat([c.insertion_area for c in curves])


def _chosen(request: ExplainRequest, model: Model, read: Callable[[], ImageSet], say: Callable[[str], None]) -> Chosen:
    """The pictures that the request names."""
    if request.pictures:
        if request.mistakes:
            raise UsageError("mistakes: known only for a split, which has labels", "Leave the pictures or `mistakes=True` out.")
        files = readable_pictures(request.pictures, skip_unreadable=request.skip_unreadable, say=say)
        if len(files) > request.num_pictures:
            say(f"the first {request.num_pictures} of {len(files):,} pictures are explained")
        files = files[: request.num_pictures]
        try:
            return Chosen([file.name for file in files], model.read(files), [None] * len(files))
        except DataError as error:
            if error.remedy != UNREADABLE:
                raise
            raise DataError(error.message, "Repair it, or give the pictures to explain one by one.") from None
    split = read()
    if request.mistakes:
        places = most_confident_mistakes(model.shares(split.images), split.labels, request.num_pictures)
        if not len(places):
            raise DataError(f"{split.name}: the model makes no mistakes on the {split.split} split", "Leave `mistakes=True` out.")
    else:
        places = spread(len(split), request.num_pictures)
    return taken(split, places)


def spread(num_images: int, most: int) -> np.ndarray:
    """At most `most` places, spread over a split."""
    places: np.ndarray = np.linspace(0, num_images - 1, min(most, num_images)).round().astype(np.int64)
    return places


def taken(split: ImageSet, places: np.ndarray) -> Chosen:
    """The pictures of a split at some places."""
    some = split.take(places)
    return Chosen([Path(path).name for path in some.paths], np.asarray(some.images), [int(label) for label in some.labels])


def _readable(model: Model, read: Callable[[], ImageSet]) -> tuple[ImageSet, Tensor]:
    """At most `MAX_READ` pictures of the split, spread over it, and what the network takes."""
    split = read()
    some = split.take(spread(len(split), MAX_READ))
    return some, normalized(model, some.images)


def _folder(subject: Subject, request: ExplainRequest) -> Path:
    output = subject.report_folder("explain", request.output)
    if output is None:
        return new_run_folder("explain", subject.path.stem if subject.path is not None else subject.name, None)
    make_folder(output)
    return output


def _drawn(images: np.ndarray, explained: Sequence[Explained], heats: dict[Method, Tensor]) -> bytes:
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


def _told(layer: str, randomisation: dict[str, float], notes: Sequence[str]) -> str:
    """The text under the maps."""
    lines = [f"Grad-CAM is taken at {layer}."] if layer else []
    lines += [f"{note[0].upper()}{note[1:]}." for note in notes]
    return " ".join([*lines, *(trust_in_words(randomisation) if randomisation else [])])


def trust_in_words(randomisation: dict[str, float]) -> list[str]:
    """The meaning of the measures of faithfulness, and that of all maps together for each method."""
    scores = ", ".join(f"{name.replace('_', ' ')} {value:+.2f}" for name, value in randomisation.items())
    return [*(f"{name[0].upper()}{name[1:]}: {text}." for name, text in TRUST.items()), f"Here: randomised {scores}."]


def _plain(report: ExplainReport) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(ExplainReport).dump_python(report, mode="json")


def summary(report: ExplainReport) -> Lines:
    """The report as text."""
    lines = [f"{report.model}: {len(report.pictures)} pictures" + (f", feature map of {report.layer}" if report.layer else "")]
    if report.randomisation:
        lines.append(f"  {'method':<22}{''.join(f'{name:>12}' for name in TRUST)}")
    for method in report.methods:
        line = f"  {method:<22}"
        if method in report.randomisation:
            deletion, insertion = (np.mean([getattr(item, name)[method] for item in report.pictures]) for name in ("deletion", "insertion"))
            line += f"{deletion:>12.3f}{insertion:>12.3f}{report.randomisation[method]:>+12.3f}"
        lines.append(line.rstrip())
    if report.randomisation:
        lines += ["", *(f"{name:<11} {text}" for name, text in TRUST.items())]
    lines += [f"note        {note}" for note in report.notes]
    lines.append(f"pictures    {report.output}/index.html")
    return in_lines([*lines, ""])


__all__ = [
    "METHODS",
    "VIEWS",
    "Chosen",
    "ExplainReport",
    "ExplainRequest",
    "Explained",
    "attribute",
    "explain",
    "inner",
    "normalized",
    "spread",
    "summary",
    "taken",
    "trust_in_words",
]
