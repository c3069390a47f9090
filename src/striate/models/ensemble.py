"""An ensemble: several trained models of the same classes and pictures as one, whose probabilities are the mean of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from striate.core.errors import UsageError
from striate.networks.foreign import is_own
from striate.networks.layers import Chain, Parallel
from striate.networks.model_file import ModelFile
from striate.networks.network import Network

if TYPE_CHECKING:
    from striate.models.model import Model

SHARED = ("data", "split")  # facts of the training that the ensemble keeps where all its members have the same


def ensemble_file(models: Sequence[Model]) -> ModelFile:
    """The content of the ensemble's model file; see `Model.ensemble`."""
    if len(models) < 2:
        raise UsageError(f"an ensemble needs two models or more, got {len(models)}", "For example those of `striate repeat --seeds 5`.")
    first = models[0]
    for number, model in enumerate(models, 1):
        refuse_other(model, first, number)
    members: dict[str, Any] = {f"member{number}": model.network.root for number, model in enumerate(models, 1)}
    names = sorted({model.network.name for model in models})
    network = Network(
        name=f"ensemble of {len(models)} {' and '.join(names)}",
        input_shape=first.network.input_shape,
        root=Chain(ensemble=Parallel(**members, merge="mixture")),
        source="; ".join(sorted({model.network.source for model in models} - {""})),
    )
    module = network.build()
    module.load_state_dict(
        {
            f"ensemble.{member}.{name}": tensor.cpu()
            for member, model in zip(members, models, strict=True)
            for name, tensor in model.module.get_submodule("network").state_dict().items()
        }
    )
    facts: dict[str, Any] = {
        name: first.info[name]
        for name in SHARED
        if name in first.info and all(model.info.get(name) == first.info[name] for model in models)
    }
    return ModelFile(network, module.eval(), first.classes, first.images, facts)


def refuse_other(model: Model, first: Model, number: int = 1) -> None:
    """Refuse a model that has no place beside `first` in an ensemble.

    Raises:
        UsageError: it has other classes or pictures, gives no single class or scores, or is the user's own module; says so.
    """
    name = f"member {number} ({model.network.name})"
    remedy = "An ensemble is of classifiers of the same classes and pictures, as `striate repeat --seeds 5 --ensemble` trains them."
    if model.task != "classify":
        raise UsageError(f"{name}: gives {model.task} outputs, not one class per picture", remedy)
    if model.gives_scores:
        raise UsageError(f"{name}: was trained with a hinge loss and gives scores, which have no mean as probabilities have", remedy)
    if is_own(model.network):
        raise UsageError(f"{name}: is a torch module of its own, which a model file does not hold", remedy)
    if model.classes != first.classes:
        words = ", ".join(map(repr, sorted(set(model.classes) ^ set(first.classes))[:5])) or "the same in another order"
        raise UsageError(f"{name}: has other classes than member 1: {words}", remedy)
    if model.images != first.images:
        raise UsageError(f"{name}: takes other pictures than member 1: {model.images}, not {first.images}", remedy)
