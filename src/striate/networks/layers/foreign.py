"""Networks that have no description, as one leaf: published ones by their name in timm or torchvision, and the user's own module.

Their table is read from the torch modules inside, in the order in which they run. What such a network sees is not known: it counts as
everything.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from striate.core.errors import EnvironmentFault, ShapeError, UnknownNameError, UsageError
from striate.networks.layers.base import Cost, Count, Layer, Row, Shape, View, changed_fields, leaf

if TYPE_CHECKING:
    from torch import Tensor, nn

Library = Literal["timm", "torchvision"]
PlainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", max_length=200)]
WITH_SECOND_HEADS = ("googlenet", "inception_v3")  # of torchvision


@leaf
class ForeignPart(Layer):
    """One torch module inside a network without a description, for its table; it cannot be built alone."""

    module: str

    @property
    def kind(self) -> str:
        return self.module.lower()

    def __str__(self) -> str:
        return self.module


@leaf
class ForeignNorm(ForeignPart):
    """A normalization among them."""

    role: ClassVar[str] = "norm"


class Foreign(Layer):
    """The base of both kinds: the table of the torch modules inside."""

    role: ClassVar[str] = "model"

    def _lines(self, shape: Shape) -> tuple[Line, ...]:
        """The table for input of `shape`."""
        raise NotImplementedError

    def output_shape(self, shape: Shape) -> Shape:
        return self._lines(shape)[-1].output_shape

    def cost(self, shape: Shape) -> Cost:
        lines = self._lines(shape)
        return Cost(*(sum(getattr(line.cost, name) for line in lines) for name in ("params", "macs", "activations")))

    def rows(self, shape: Shape, view: View, path: str = "") -> Iterator[Row]:
        try:
            lines = self._lines(shape)
        except ShapeError as error:
            raise error.within(path) if path else error from None
        view = view._replace(whole=True)
        for line in lines:
            part = ForeignNorm(line.module) if "norm" in line.module.lower() else ForeignPart(line.module)
            yield Row(".".join(filter(None, (path, line.path))), part, line.input_shape, line.output_shape, line.cost, view)


@leaf
class PublishedNetwork(Foreign):
    """A network of timm or torchvision, built by its name in the library's own list, with as many channels as come in."""

    library: Library
    model: PlainName
    num_classes: Count

    def build(self, shape: Shape) -> nn.Module:
        make = _timm_network if self.library == "timm" else _torchvision_network
        return make(self.model, self.num_classes, shape)

    def _lines(self, shape: Shape) -> tuple[Line, ...]:
        return _published_lines(self, shape)


@leaf
class OwnNetwork(Foreign):
    """The user's own module. A file keeps its class name and its counts, never its code: it must be passed again."""

    module: str
    num_outputs: Count
    params: Annotated[int, Field(ge=0)]
    macs: Annotated[int, Field(ge=0)] = 0
    given: Any = dataclasses.field(default=None, repr=False, compare=False)  # the module; not in a file

    def __post_init__(self) -> None:
        if self.given is not None:
            from torch import nn

            if not isinstance(self.given, nn.Module):
                raise UsageError(f"{self.module}: expected a torch module, got {type(self.given).__name__}")

    def build(self, shape: Shape) -> nn.Module:
        if self.given is None:
            remedy = "Pass it: striate.load(run, module=...), or network=... to train and repro."
            raise UsageError(f"the network is the user's own module, {self.module}, and a file holds only its weights", remedy)
        return copy.deepcopy(self.given)  # type: ignore[no-any-return]

    def _lines(self, shape: Shape) -> tuple[Line, ...]:
        if self.given is None:
            return (Line("", self.module, shape, (self.num_outputs,), Cost(self.params, self.macs)),)
        return lines_of(self.given, shape)

    def to_data(self) -> dict[str, Any]:
        return {"type": type(self).__name__, **{name: value for name, value in changed_fields(self).items() if name != "given"}}

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.module})"


class Line(NamedTuple):
    """One torch module of a foreign network: where it stands, its class, its shapes and its cost for one sample."""

    path: str
    module: str
    input_shape: Shape
    output_shape: Shape
    cost: Cost


def lines_of(module: nn.Module, shape: Shape) -> tuple[Line, ...]:
    """A line for each module without children, in the order in which they run; first one for all that is outside of them.

    Raises:
        ShapeError: the module cannot take a picture of `shape`, or gives no logits (N, K) or (N, K, H, W).
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from striate.core.modes import evaluation_mode, hooked

    found: list[Line] = []
    counted = FlopCounterMode(display=False)
    own = {name: part for name, part in module.named_modules() if not any(True for _ in part.children())}
    marks: dict[str, int] = {}

    def before(name: str) -> None:
        marks[name] = counted.get_total_flops()

    def after(name: str, part: nn.Module, images: Any, result: Any) -> None:
        if isinstance(result, torch.Tensor) and images and isinstance(images[0], torch.Tensor):
            params = sum(param.numel() for param in part.parameters()) if all(line.path != name for line in found) else 0
            macs = (counted.get_total_flops() - marks[name]) // 2
            cost = Cost(params, macs, result[0].numel())
            found.append(Line(name, type(part).__name__, tuple(images[0].shape[1:]), tuple(result.shape[1:]), cost))

    handles = [part.register_forward_pre_hook(lambda _, __, name=name: before(name)) for name, part in own.items()]
    handles += [part.register_forward_hook(lambda part, x, y, name=name: after(name, part, x, y)) for name, part in own.items()]
    weight = next(module.parameters(), torch.zeros(()))
    images = torch.zeros(1, *shape, dtype=weight.dtype, device=weight.device)
    try:
        with hooked(handles), evaluation_mode(module), torch.no_grad(), counted:
            logits: Tensor = module(images)
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:  # what modules raise at a size that they do not take
        if isinstance(error, NotImplementedError):
            raise
        raise ShapeError(f"{type(module).__name__} cannot take a picture {shape}: {str(error).splitlines()[0]}") from None
    if not isinstance(logits, torch.Tensor) or logits.ndim < 2 or len(logits) != 1:
        came = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ShapeError(f"{type(module).__name__} must give logits (N, K), or (N, K, H, W) for pixels, gave {came} for one picture")
    outside = Cost(
        params=sum(param.numel() for param in module.parameters()) - sum(line.cost.params for line in found),
        macs=counted.get_total_flops() // 2 - sum(line.cost.macs for line in found),
    )
    rest = Line("", type(module).__name__, shape, tuple(logits.shape[1:]), outside)
    lines = found if outside == Cost() and found and found[-1].output_shape == rest.output_shape else [rest, *found]
    if lines[-1].output_shape != rest.output_shape:
        lines = [*lines[1:], rest]
    return tuple(lines)


@functools.lru_cache(maxsize=8)
def _published_lines(layer: PublishedNetwork, shape: Shape) -> tuple[Line, ...]:
    import torch

    try:
        with torch.device("meta"):
            return lines_of(layer.build(shape), shape)
    except NotImplementedError:  # some compute with numbers of their weights while they are built
        with torch.random.fork_rng(devices=[]):
            return lines_of(layer.build(shape), shape)


def _timm_network(name: str, num_classes: int, shape: Shape) -> nn.Module:
    timm = library("timm")
    check_name("timm", name)
    fixed = bool((timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()).fixed_input_size)
    options = {"img_size": shape[1:]} if fixed else {}
    module: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=shape[0], **options)
    return module


def _torchvision_network(name: str, num_classes: int, shape: Shape) -> nn.Module:
    models = library("torchvision").models
    check_name("torchvision", name)
    if shape[0] != 3:
        raise ShapeError(f"torchvision:{name} takes 3 channels, got a picture {shape}", "Grey pictures can be repeated over 3 channels.")
    options: dict[str, Any] = {"aux_logits": False, "init_weights": True} if name in WITH_SECOND_HEADS else {}
    module: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **options)
    return module


def check_name(which: Library, name: str) -> None:
    """Refuse a name that is not in the library's own list of classifiers.

    Raises:
        UnknownNameError: gives the nearest.
        EnvironmentFault: the library is not installed.
    """
    known = _names(which)
    if name not in known:
        raise UnknownNameError(f"network of {which}", name, known)


@functools.lru_cache(maxsize=2)
def _names(which: Library) -> frozenset[str]:
    if which == "timm":
        return frozenset(library("timm").list_models())
    models = library("torchvision").models
    return frozenset(models.list_models(module=models))


def library(which: Library) -> Any:
    """timm or torchvision.

    Raises:
        EnvironmentFault: it is not installed.
    """
    try:
        if which == "timm":
            import timm

            return timm
        import torchvision.models
    except ImportError:
        raise EnvironmentFault(
            f"a network of {which} was requested, but {which} is not installed", f"Install it: pip install {which}."
        ) from None
    return torchvision


def published_shape(which: Library, name: str) -> Shape:
    """The input (C, H, W) that a network was published for; of torchvision's that of ImageNet."""
    check_name(which, name)
    if which == "timm":
        config = library("timm").get_pretrained_cfg(name)
        return tuple(config.input_size) if config is not None else (3, 224, 224)
    return (3, 299, 299) if name == "inception_v3" else (3, 224, 224)
