"""Explain a model: heat maps of pictures, and views of the network itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from striate.core.errors import ShapeError, UnknownNameError
from striate.core.images import Kind
from striate.core.reports import shown_short, write_files
from striate.data.records import ImageSet
from striate.insight import explain as tools
from striate.insight.explain import METHODS, Method
from striate.workflows.explanation.choosing import Chosen, as_inputs, choose, members_of, of_unit, sampled, suited
from striate.workflows.explanation.maps import Explained, draw_maps
from striate.workflows.explanation.page import page
from striate.workflows.explanation.views import VIEWS, View, Viewed, draw_views
from striate.workflows.subjects.subject import LabelledRequest, Subject, open_model
from striate.workflows.training.runs import new_run_folder

Asked = Literal[Method, "all"]  # all: every method and every view that the network and its data have
OF_MAPS = ("grad_cam", "grad_cam_plus_plus", "maps", "channels", "units", "by_class")  # methods and views of a feature map


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
    kind: Kind = "pictures"
    notes: tuple[str, ...] = ()  # methods that give the same maps
    left_out: dict[str, str] = Field(default_factory=dict)  # of all methods and views, what there is not -> why


def explain(request: ExplainRequest, *, say: Callable[[str], None] = lambda _text: None) -> ExplainReport:
    """Draw heat maps and views into a folder, with an HTML page that shows them all.

    Raises:
        UsageError: the model gives no classes, there is no such class or layer, or no data is given and the run does not record it.
        DataError: no pictures, or one that cannot be read; names it.
        RefusedFileError: the model file is damaged or not a model.
        EnvironmentFault: UMAP is requested and not installed, or the output cannot be written.
    """
    if "umap" in request.views:
        tools.check_installed("umap")  # before the work
    subject = open_model(request.run, device=request.device, module=request.module)
    subject.report_folder("explain", request.output)
    model = subject.classifier("explain works on models that give one class per picture", "Give a run of `task='classify'`.")
    if request.target is not None and request.target not in model.classes:
        raise UnknownNameError("class", request.target, model.classes, f"Known: {', '.join(model.classes[:20])}.")
    read = functools.cache(lambda: subject.pictures(request, request.split, "explain", say))
    return explain_chosen(subject, request, choose(request, model, read, say), read, say=say)


def explain_chosen(
    subject: Subject, request: ExplainRequest, chosen: Chosen, read: Callable[[], ImageSet], *, say: Callable[[str], None]
) -> ExplainReport:
    """The same of a subject that is open already, and of pictures that are read; `read` gives the split, for views that need it."""
    with tools.taking_pictures(subject.module(), subject.trained.images.kind):
        return _explained(subject, suited(request, subject.trained.images.kind, say), chosen, read, say=say)


def _explained(
    subject: Subject, request: ExplainRequest, chosen: Chosen, read: Callable[[], ImageSet], *, say: Callable[[str], None]
) -> ExplainReport:
    model, network, every = subject.trained, subject.module(), "all" in request.methods
    inputs = as_inputs(model, chosen.images)
    layers = _layers(request, network, inputs[:1], members_of(model))  # before anything is written
    left_out = {} if layers else dict.fromkeys(OF_MAPS, "the network has no feature map")
    methods = tuple(name for name in (METHODS if every else request.methods) if name != "all" and name not in left_out)
    name = subject.path.stem if subject.path is not None else subject.name
    output = subject.report_folder("explain", request.output) or new_run_folder("explain", name, None)
    whose = (model.classes, network, layers, chosen.names, inputs, functools.partial(of_unit, model))
    viewed = Viewed(*whose, seed=request.seed, kind=model.images.kind)
    maps = draw_maps(request, model, viewed, methods, chosen, say=say)
    views = dict.fromkeys((*request.views, *(view for view in VIEWS if every and view not in left_out)))
    drawn, missing = draw_views(views, viewed, sampled(model, read), required=request.views, say=say)
    shown, left_out = [*maps.shown, *drawn], left_out | missing
    for name, why in left_out.items():
        say(f"{name}: left out: {why}")
    report = ExplainReport(
        model=subject.name,
        layer=", ".join(layers),
        methods=methods,
        randomisation=maps.randomisation,
        pictures=maps.pictures,
        files=(*(item.name for item in shown), "index.html"),
        output=str(output),
        kind=model.images.kind,
        notes=maps.notes,
        left_out=left_out,
    )
    whole = page(f"{subject.name}: what it looks at", shown, left_out)
    write_files(output, {item.name: item.content for item in shown} | {"index.html": whole, "explain.json": report})
    return report


def _layers(request: ExplainRequest, network: nn.Module, images: Tensor, members: tuple[str, ...]) -> tuple[str, ...]:
    """The path of the layer, by default the last feature map, of an ensemble one for each of its members.

    None if there is none, and nothing that needs one is requested by name.

    Raises:
        UnknownNameError: there is no such layer.
        ShapeError: there is no feature map.
    """
    try:
        if request.layer is None:
            return tuple(tools.last_map(network, images, within=member) for member in members or ("",))
    except ShapeError as error:
        if needs := [name for name in (*request.methods, *request.views) if name in OF_MAPS]:
            remedy = "Name a `layer`, or take another method, such as `methods=('saliency',)`."
            raise ShapeError(f"{needs[0]}: {error.problem}", remedy) from None
        return ()
    tools.part(network, request.layer)
    return (request.layer,)
