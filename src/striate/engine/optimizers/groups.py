"""Parameter groups by weight decay and learning rate."""

from __future__ import annotations

from collections import defaultdict
from itertools import takewhile

from torch import nn

from striate.core.errors import UnknownNameError
from striate.engine.freezing import parts_named
from striate.engine.optimizers.base import ParamGroup
from striate.engine.settings import TrainSettings


def is_decayed(param: nn.Parameter, settings: TrainSettings) -> bool:
    """Return whether decay, L1 and L2 apply to a parameter: not to biases and norms, which have one axis, unless requested."""
    return param.ndim > 1 or settings.decay_all


def groups_of(settings: TrainSettings, model: nn.Module) -> list[ParamGroup]:
    """The trainable parameters of `model` by decay and by rate, in the model's order.

    Raises:
        UnknownNameError: `layer_rates` names a part that is not there; gives the nearest.
    """
    trainable = [(name, param) for name, param in model.named_parameters() if param.requires_grad]
    rates = _rates(settings, model)
    members: dict[tuple[bool, float], list[tuple[str, nn.Parameter]]] = defaultdict(list)
    for name, param in trainable:
        members[is_decayed(param, settings), rates[name]].append((name, param))
    return [
        ParamGroup(
            name=("decayed" if has_decay else "kept") + (f", rate x {rate:g}" if rate != 1 else ""),
            params=[param for _, param in named],
            weight_decay=settings.weight_decay if has_decay else 0.0,
            rate=rate,
            names=tuple(name for name, _ in named),
        )
        for (has_decay, rate), named in sorted(members.items(), key=lambda member: not member[0][0])
    ]


def _rates(settings: TrainSettings, model: nn.Module) -> dict[str, float]:
    """Name of each parameter -> factor of its rate: that of its layer, times that of the longest path that holds it."""
    units = units_of(model)
    last = max(units.values(), default=0)
    asked: dict[str, tuple[int, float]] = {}  # parameter -> length of the path that says so, factor
    for path, factor in settings.layer_rates.items():
        for name in _parameters_at(model, path):
            if name not in asked or asked[name][0] <= path.count("."):
                asked[name] = path.count("."), factor
    return {name: settings.layer_decay ** (last - unit) * asked.get(name, (0, 1.0))[1] for name, unit in units.items()}


def _parameters_at(model: nn.Module, path: str) -> list[str]:
    """The names of the parameters in the part at `path`, or of the parameter that it names."""
    names = [name for name, _ in model.named_parameters()]
    exact = [name for name in names if name == path or name.endswith(f".{path}")]
    if exact:
        return exact
    try:
        parts = [f"{part}." for part, _ in parts_named(model, path)]
    except UnknownNameError:
        known = {name for name, _ in model.named_modules() if name} | set(names)
        raise UnknownNameError("part in layer_rates", path, known) from None
    return [name for name in names if name.startswith(tuple(parts))]


def units_of(model: nn.Module) -> dict[str, int]:
    """Name of each parameter -> the layer it belongs to, from 0 at the input.

    A layer is a block of a stage, or else a part of the network with weights of its own: the first two words of a path. What has
    only vectors, such as a norm, belongs to the layer before it. For a ResNet these are the layers of timm.
    """
    names = [name for name, _ in model.named_parameters()]
    words = [name.split(".")[:-1] for name in names]
    wrapped = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, zip(*words, strict=False)))  # words that all begin with
    paths = [tuple(path[wrapped : wrapped + 2]) for path in words]
    heavy = {path for path, (_, param) in zip(paths, model.named_parameters(), strict=True) if param.ndim > 1}
    units: dict[str, int] = {}
    seen: dict[tuple[str, ...], int] = {}
    for name, path in zip(names, paths, strict=True):
        if path in heavy and path not in seen:
            seen[path] = len(seen)
        units[name] = seen.get(path, max(0, len(seen) - 1))
    return units
