"""The choices that a request leaves open: network, settings and augmentation by the data and the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.core.errors import UnknownNameError, UsageError
from striate.core.images import STATISTICS
from striate.core.targets import Task
from striate.data.augmentation.record import Augmentation
from striate.data.input_effects import InputEffect
from striate.data.reading import FIELDS as READING
from striate.data.records import DataSource, num_batches
from striate.data.signals import NETWORKS
from striate.engine.limits import CUT, in_effect
from striate.engine.losses import WITH_SMOOTHING
from striate.engine.schedules import OWN_RISE
from striate.engine.settings import TrainSettings
from striate.models.fitting import default_settings, shift_for
from striate.models.fitting import network_for as network_for_size
from striate.networks.catalog import CATALOG, described_network
from striate.networks.catalog import network as catalog_network
from striate.networks.network import Network
from striate.workflows.recipes.book import RECIPES, Recipe, network_of
from striate.workflows.recipes.checked import with_checked_fields
from striate.workflows.recipes.files import KNOWN, read_recipe_file
from striate.workflows.recipes.options import given
from striate.workflows.runs.config import ARRAYS, refuse_bad_fields
from striate.workflows.tasks.registry import task_named

if TYPE_CHECKING:
    from striate.workflows.training.request import TrainRequest

MIRRORS_TO_ITSELF = ("cifar10", "cifar100", "fashion_mnist")  # named sets whose pictures may be mirrored without changing class
GROUPS = ("settings", "augmentation", "images")  # of `set`
IMAGES = ("mean", "std", "fit", "normalization")  # of images in `set`; the size is `image_size`
FIND = "find"  # in place of a learning rate
LEFT_TO_US = (("learning_rate", FIND), ("batch_size", "auto"), ("pretrained", "auto"))  # that are found out before the training
SETTINGS = [each.name for each in dataclasses.fields(TrainSettings)]
NOT_OF_UPDATES = ("seed", "device", "deterministic", "precision", "monitor", "patience")  # settings that ask for no training
AUGMENTATIONS = [each.name for each in dataclasses.fields(Augmentation)]


def network_for(source: DataSource) -> str:
    """The catalogue's choice for the task, for the kind of the samples, or for pictures of this size."""
    return task_named(source.task).network or NETWORKS.get(source.kind) or network_for_size(source.image_size)


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The settings of `recipe`: flags override them, they override defaults; a file overrides the recipe that it names."""

    recipe: Callable[[Network, int], Recipe] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    augmentation: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)  # of a run's config.yaml: its data, network and pictures
    folder: Path | None = None  # of the file

    def network_for(self, source: DataSource) -> str | None:
        """The network that the recipe is for, if the data is pictures that have a class, labels or numbers each."""
        if self.recipe is None or source.kind != "pictures" or task_named(source.task).network is not None:
            return None
        return network_of(self.recipe, source.image_size)

    def augmentation_of(self, network: Network, num_train: int) -> Augmentation | None:
        """The recipe's augmentation, where there is a recipe."""
        return self.recipe(network, num_train).augmentation if self.recipe is not None else None


NO_CHOICES = Choices()


def choices_of(recipe: str | Path | None) -> Choices:
    """The settings of a recipe's name or file.

    Raises:
        UnknownNameError: no recipe has the name, or a name in the file is not known; gives the nearest.
        UsageError: there is no such file, or a value is not of its kind.
        RefusedFileError: the file holds more than plain data.
    """
    if recipe is None:
        return NO_CHOICES
    if recipe in RECIPES:
        return Choices(recipe=RECIPES[str(recipe)])
    path = Path(recipe)
    if path.suffix not in (".yaml", ".yml") and not path.exists():
        raise unknown_recipe(str(recipe))
    content = read_recipe_file(path)
    name = content.pop("recipe", None)
    if name is not None and name not in RECIPES:
        raise unknown_recipe(str(name))
    refuse_bad_values(path, content)
    refuse_bad_fields(str(path), {name: value for name, value in content.items() if name not in KNOWN})
    return Choices(
        recipe=RECIPES[name] if name is not None else None,
        settings=as_asked(content.pop("settings"), content.pop("asked", None) or {}, content.get("num_train")),
        augmentation=content.pop("augmentation"),
        others=content,
        folder=path.parent,
    )


def as_asked(settings: Mapping[str, Any], asked: Mapping[str, Any], num_train: int | None) -> dict[str, Any]:
    """The settings of a run as requested instead of as they took effect, unless the file was edited since."""
    if num_train is None or not set(asked) <= set(CUT):
        return dict(settings)
    wanted = TrainSettings(**{**settings, **asked})
    taken = in_effect(wanted, num_train, num_batches(num_train, wanted.batch_size))
    unedited = taken == TrainSettings(**settings)
    return {**settings, **asked} if unedited else dict(settings)


def refuse_bad_values(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse values in a recipe file with a wrong type or range.

    Raises:
        UsageError: names the file and the first of them.
    """
    settings = {key: value for key, value in content["settings"].items() if value != FIND}
    try:
        with_checked_fields(TrainSettings, **settings)
        with_checked_fields(Augmentation, **content["augmentation"])
    except UsageError as error:
        raise UsageError(f"{path}: {error.message.replace('`', '')}", error.remedy) from None


def unknown_recipe(name: str) -> UnknownNameError:
    """The error for an unknown recipe."""
    return UnknownNameError("recipe", name, RECIPES, f"Known: {', '.join(RECIPES)}, or a YAML file.")


def settings_for(
    network: Network, num_train: int, request: TrainRequest, choices: Choices = NO_CHOICES, task: Task = "classify", **found: Any
) -> TrainSettings:
    """The settings of a training: what the request's `set` says over its fields, its recipe file, its recipe, and the defaults.

    What is to be found out, such as the rate of `learning_rate='find'`, is that of the recipe or the default unless it is `found`. A
    recipe smooths labels only where the loss can, and schedules that begin with a rise of their own warm up only on request.

    Raises:
        UsageError: a value is out of range, no setting has the name.
    """
    chosen = chosen_settings(request, choices)
    chosen = {name: value for name, value in chosen.items() if (name, value) not in LEFT_TO_US} | found
    if choices.recipe is not None:
        base: TrainSettings = choices.recipe(network, num_train).settings
        if task_named(task).loss_like(chosen.get("loss", base.loss)) not in WITH_SMOOTHING:
            base = dataclasses.replace(base, smoothing=0.0)
        settings = with_checked_fields(lambda **fields: dataclasses.replace(base, **fields), **chosen)
    else:
        losses = task_named(task).losses
        own = {**({"loss": losses[0]} if losses else {}), **task_named(task).settings}
        settings = with_checked_fields(default_settings, network, num_train, **own | chosen)
    if settings.schedule in OWN_RISE and "warmup_epochs" not in chosen:
        settings = dataclasses.replace(settings, warmup_epochs=0.0)
    return settings


def finds_rate(request: TrainRequest) -> bool:
    """Return whether the learning rate is found by a range test."""
    return bool(chosen_settings(request, choices_of(request.recipe)).get("learning_rate") == FIND)


def chosen_settings(request: TrainRequest, choices: Choices) -> dict[str, Any]:
    """The values of the recipe file, the fields and `set`, the later override the earlier; given epochs replace steps."""
    chosen: dict[str, Any] = {}
    for layer in (choices.settings, given(request, "settings"), overrides(request, "settings", SETTINGS)):
        if "epochs" in layer and "steps" not in layer:
            chosen["steps"] = None
        chosen |= layer
    refuse_idle_attack(chosen)
    return chosen


def with_recipe(request: TrainRequest) -> tuple[TrainRequest, Choices]:
    """The request with what its recipe says of its inputs, checked, and the other choices of the recipe.

    Raises:
        UnknownNameError, UsageError, RefusedFileError: as `choices_of`, `completed`, `with_image_settings` and `refuse_wrong_settings`.
    """
    choices = choices_of(request.recipe)
    request = with_effect(with_image_settings(with_named_statistics(completed(request, choices))))
    refuse_wrong_settings(request, choices)
    return request, choices


def with_effect(request: TrainRequest) -> TrainRequest:
    """The request with the task of its `input_effect`, where it has one.

    Raises:
        UsageError: there is no such effect, or another task is asked for.
    """
    if request.input_effect is None:
        return request
    InputEffect.read(request.input_effect)
    if request.task not in (None, "restore"):
        message = f"`input_effect={request.input_effect!r}` makes pictures to restore, which `task={request.task!r}` cannot use"
        raise UsageError(message, "Leave one of the two out.")
    return dataclasses.replace(request, task="restore")


def refuse_wrong_settings(request: TrainRequest, choices: Choices) -> None:
    """Refuse wrong settings before any picture is read.

    Raises:
        UnknownNameError: `set` names what there is not; gives the nearest.
        UsageError: no data, a value that is not of its kind or out of range, epochs to be added to no run; see `refuse_idle_attack`.
    """
    if request.data is None or (isinstance(request.data, str) and not request.data):
        remedy = "Name them: striate train photos, or striate train digits; `striate datasets` lists the named sets."
        raise UsageError("no pictures to train on", remedy)
    if isinstance(request.epochs, str):
        remedy = "Use `epochs=N`, or extend a run: striate train --resume RUN --epochs +N."
        raise UsageError(f"`epochs={request.epochs!r}`: must be a whole number for a new run", remedy)
    chosen = {name: value for name, value in chosen_settings(request, choices).items() if (name, value) not in LEFT_TO_US}
    with_checked_fields(TrainSettings, **chosen)
    with_checked_fields(Augmentation, **chosen_augmentation(request, choices))


def refuse_idle_attack(chosen: Mapping[str, Any]) -> None:
    """Refuse settings of an attack if there is no adversarial training, and of a second task if there is none.

    Raises:
        UsageError: names the setting.
    """
    if chosen.get("auxiliary") is None and chosen.get("auxiliary_weight", TrainSettings.auxiliary_weight) != TrainSettings.auxiliary_weight:
        raise UsageError("auxiliary_weight: no second task to train on", "Also give `auxiliary='rotation'`, or coarser classes.")
    said = [name for name in chosen if name.startswith("adversarial_") and chosen[name] != getattr(TrainSettings, name)]
    if said and chosen.get("adversarial") is None:
        raise UsageError(f"{said[0]}: no attack to train against", "Also give `adversarial='pgd'` or `adversarial='fgsm'`.")


def completed(request: TrainRequest, choices: Choices) -> TrainRequest:
    """The request with what it leaves open and the `config.yaml` of a run says: data, network, pictures and their division.

    Raises:
        UsageError: a value is not of its kind.
        RefusedFileError: the network's description beside the file is damaged.
    """
    others, fields = choices.others if request.extend is None else {}, {}  # what is extended decides them
    if request.data is None and others.get("data", ARRAYS) != ARRAYS:
        fields = {"data": others["data"], "skip_unreadable": others.get("skip_unreadable", request.skip_unreadable)}
        fields |= {"layout": others.get("layout", "auto")} if request.layout == "auto" else {}
        fields |= {name: others[name] for name in READING if others.get(name) and not getattr(request, name)}
        fields |= {} if request.data_dir is not None else {"data_dir": others.get("data_dir")}
    weaker = {
        "pretrained": others.get("pretrained") or "none" if "pretrained" in others else None,  # not what would be chosen today
        "pretrain": others.get("pretrain"),
        "task": others.get("task"),
        "input_effect": others.get("input_effect"),
        "val_fraction": others.get("val_fraction"),
        "train_images": others.get("train_images"),
        "seed": others.get("val_seed"),
    }
    if request.network is None and "network" in others:
        network, images = network_of_run(others["network"], choices.folder), others["images"]
        square = isinstance(network, str) and images.get("height") == images.get("width")
        weaker |= {
            "network": network,
            "fit": images.get("fit"),
            "normalization": images.get("normalization"),
            "image_size": images.get("height") if square else None,
        }
    fields |= {name: value for name, value in weaker.items() if value is not None and getattr(request, name) is None}
    if "seed" in fields and choices.settings.get("seed", fields["seed"]) != fields["seed"]:
        fields["set"] = {"settings.seed": choices.settings["seed"], **request.set}
    return with_checked_fields(lambda **filled: dataclasses.replace(request, **filled), **fields)


def network_of_run(name: Any, folder: Path | None) -> str | Network:
    """The name, if it still gives the trained network; else the description that the run keeps beside its configuration."""
    path = (folder or Path()) / "network.json"
    if not path.is_file():
        return str(name)
    kept = described_network(path)
    channels, *extent = kept.input_shape
    is_plain = name in CATALOG and kept == catalog_network(str(name), kept.output_shape[0], channels, tuple(extent))
    return str(name) if is_plain else kept


def overrides(request: TrainRequest, group: str, known: Sequence[str]) -> dict[str, Any]:
    """The values of `set={'GROUP.NAME': VALUE}`.

    Raises:
        UnknownNameError: another group, or no such name in it; gives the nearest.
    """
    found = {}
    for key, value in request.set.items():
        head, _, name = key.partition(".")
        if head not in GROUPS:
            raise UnknownNameError("group of `set`", head, GROUPS, f"The groups are {', '.join(GROUPS)}.")
        if head == group:
            if name not in known:
                raise UnknownNameError(f"name in `set` {group}", name, known, f"Known: {', '.join(known)}.")
            found[name] = value
    return found


def with_named_statistics(request: TrainRequest) -> TrainRequest:
    """The request with the mean and the deviation of a normalization that is called by their name."""
    if request.normalization not in STATISTICS:
        return request
    mean, std = STATISTICS[str(request.normalization)]
    return dataclasses.replace(request, normalization="dataset", set={"images.mean": list(mean), "images.std": list(std), **request.set})


def with_image_settings(request: TrainRequest) -> TrainRequest:
    """The request with the fit and the normalization of its `set={'images.NAME': VALUE}`.

    Raises:
        UnknownNameError: there is no such name; gives all.
        UsageError: a value is not of its kind, or a mean or deviation is not of numbers from 0 to 1, or not of the data set.
    """
    said = overrides(request, "images", IMAGES)
    fields = {name: said[name] for name in ("fit", "normalization") if name in said}
    request = with_checked_fields(lambda **fields: dataclasses.replace(request, **fields), **fields)
    given = given_statistics(request)
    if given and request.normalization not in (None, "dataset"):
        remedy = f"Leave it out, or use `normalization='dataset'` instead of {request.normalization}."
        raise UsageError(f"`set` images.{next(iter(given))}: has no effect, as each picture is normalized by itself", remedy)
    return request


def given_statistics(request: TrainRequest, channels: int | None = None) -> dict[str, Any]:
    """The `mean` and the `std` of `set={'images.NAME': [...]}`, one per channel in units of a pixel's range; a single one is repeated.

    Raises:
        UsageError: they are not such numbers.
    """
    said = overrides(request, "images", IMAGES)
    given = {name: said[name] if isinstance(said[name], list | tuple) else [said[name]] for name in ("mean", "std") if name in said}
    for name, values in given.items():
        if not all(isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1 for value in values):
            remedy = f"For example `set={{'images.{name}': [0.485, 0.456, 0.406]}}`; values of 0 to 255 are divided by 255."
            raise UsageError(
                f"`set` images.{name}: expected one number per channel, in units of a pixel's range, got {said[name]!r}", remedy
            )
        if channels is not None and len(values) not in (1, channels):
            few = f"{channels} channel{'' if channels == 1 else 's'}"
            raise UsageError(f"`set` images.{name}: the network takes {few}, got {len(values)} numbers", "Give one for each channel.")
    return {name: tuple(map(float, values)) * ((channels or 1) if len(values) == 1 else 1) for name, values in given.items()}


def augmentation_for(
    source: DataSource, network: Network, request: TrainRequest, choices: Choices = NO_CHOICES, base: Augmentation | None = None
) -> Augmentation:
    """The augmentation of a training: what the request's `set` says over its fields, its recipe file, its recipe, and the defaults.

    The default is random shifts by an eighth of the picture (grey ones: 1 pixel), but none for dense networks. Only where it keeps the
    class are pictures mirrored, by default and by a recipe: those of folders, and of some named sets. For numbers the default is none,
    whatever the recipe: many, such as places and angles, change with the picture. With masks, a recipe gives only what moves both alike.
    What is no picture is left as it is.

    Args:
        source: The source of the pictures.
        network: The network that is trained.
        request: The request.
        choices: The values of the recipe file.
        base: The values of the recipe.
    """
    if source.kind != "pictures":
        return Augmentation()
    record = task_named(source.task)
    mirrors = record.mirrors or source.name in MIRRORS_TO_ITSELF or source.image_size is None
    base = record.augmentation(base)
    if base is None:
        base = Augmentation(crop_padding=shift_for(network, source.channels), flip=True)
    chosen = {"flip": base.flip and mirrors, **chosen_augmentation(request, choices)}
    return with_checked_fields(lambda **fields: dataclasses.replace(base, **fields), **chosen)


def chosen_augmentation(request: TrainRequest, choices: Choices) -> dict[str, Any]:
    """The augmentation by the recipe file, the fields and `set`, the later override the earlier."""
    return {**choices.augmentation, **given(request, "augmentation"), **overrides(request, "augmentation", AUGMENTATIONS)}
