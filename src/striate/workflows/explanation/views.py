"""Views of a network: its filters, its feature maps, pictures that maximize classes and channels, and embeddings of pictures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from typing import Literal, NamedTuple, get_args

from torch import Tensor, nn

from striate.core.errors import DataError, EnvironmentFault, UsageError
from striate.core.images import Kind
from striate.data.records import ImageSet
from striate.insight.explain import Embedding, check_installed
from striate.workflows.explanation.looks import activations, by_class, filters, layout, maps, of_channels, of_classes, units
from striate.workflows.explanation.page import Shown

View = Literal["filters", "maps", "activations", "classes", "channels", "units", "by_class", "pca", "tsne", "umap"]
VIEWS: tuple[View, ...] = get_args(View)
DRAWS_PICTURES = ("filters", "maps", "classes", "channels", "units")
OF_NETWORK = {"filters": filters, "maps": maps, "activations": activations, "classes": of_classes, "channels": of_channels}
OF_SPLIT: dict[str, Callable[[Viewed, ImageSet, Tensor], list[Shown]]] = {
    "units": units,
    "by_class": by_class,
    **{method: functools.partial(layout, method=method) for method in get_args(Embedding)},
}


class Viewed(NamedTuple):
    """The subject of the views."""

    classes: tuple[str, ...]
    network: nn.Module
    layers: tuple[str, ...]  # of Grad-CAM: the last feature map, of an ensemble that of each member; none if there is no map
    names: list[str]
    inputs: Tensor  # (N, C, H, W) normalized
    from_unit: Callable[[Tensor], Tensor]  # (N, C, H, W) in [0, 1] -> normalized
    seed: int
    kind: Kind = "pictures"

    @property
    def layer(self) -> str:
        """The first layer."""
        return next(iter(self.layers), "")

    @property
    def extent(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures."""
        channels, height, width = self.inputs.shape[1:]
        return channels, height, width


def draw_views(
    views: Iterable[View],
    viewed: Viewed,
    read: Callable[[], tuple[ImageSet, Tensor]],
    *,
    required: Collection[View],
    say: Callable[[str], None],
) -> tuple[list[Shown], dict[str, str]]:
    """The files of the views; and of those that are not required, why they could not be drawn."""
    shown, missing = list[Shown](), dict[str, str]()
    for view in views:
        say(f"{view}: drawing")
        try:
            shown += draw_view(view, viewed, read)
        except (UsageError, DataError, EnvironmentFault) as error:
            if view in required:
                raise
            remedy = f". {error.remedy}" if isinstance(error, EnvironmentFault) else ""
            missing[view] = error.message.removeprefix(f"{view}: ") + remedy
    return shown, missing


def draw_view(view: View, viewed: Viewed, read: Callable[[], tuple[ImageSet, Tensor]]) -> list[Shown]:
    """The files of one view; `read` gives a split and the network's input for it."""
    if viewed.kind != "pictures" and view in DRAWS_PICTURES:
        raise UsageError(
            f"{view}: draws pictures, and the model takes {viewed.kind}", "Views of all data: activations, by_class, pca, tsne."
        )
    if view in OF_NETWORK:
        return OF_NETWORK[view](viewed)
    if view == "umap":
        check_installed(view)
    return OF_SPLIT[view](viewed, *read())
