"""The recipe that is taken where a request names neither a recipe nor a network: the fast one, for many small pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from striate.data.records import DataSource
from striate.workflows.recipes.book import is_for_fast
from striate.workflows.recipes.choices import NO_CHOICES, NOT_OF_UPDATES, Choices, choices_of, chosen_augmentation, chosen_settings

if TYPE_CHECKING:
    from striate.workflows.training.request import TrainRequest

MANY = 20_000  # training pictures from which few epochs are enough
KEEP_RECIPE = (*NOT_OF_UPDATES, "epochs", "steps", "compile")  # settings that leave a recipe as it is
OTHERS = ("recipe", "network", "pretrained", "pretrain", "extend", "image_size", "fit")  # fields beside the settings that ask for more


def with_default_recipe(
    request: TrainRequest, choices: Choices, source: DataSource, say: Callable[[str], None]
) -> tuple[TrainRequest, Choices]:
    """The request and its choices, with the recipe that is the default for the pictures, where there is one."""
    name = default_recipe(request, source)
    if name is None:
        return request, choices
    say(f"recipe    {name}, as for all sets of many small pictures; --model, --recipe or another setting replaces it")
    return dataclasses.replace(request, recipe=name), choices_of(name)


def default_recipe(request: TrainRequest, source: DataSource) -> str | None:
    """The name of the recipe for a request, None where the defaults by network and number of pictures are taken.

    The fast recipe is for classes of at least 20,000 training pictures of one small size, and only as it is: a request for another
    network, optimizer, rate, batch or augmentation gets the defaults that suit any.
    """
    if source.kind != "pictures" or source.task != "classify" or not is_for_fast(source.image_size):
        return None
    if any(getattr(request, name) is not None for name in OTHERS) or request.set:
        return None
    if set(chosen_settings(request, NO_CHOICES)) - set(KEEP_RECIPE) or chosen_augmentation(request, NO_CHOICES):
        return None
    found = source.num_images("train")
    return "fast" if min(found, request.train_images or found) >= MANY else None
