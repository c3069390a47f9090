"""Pictures with the pictures that a network is to make of them: denoised, enlarged, coloured.

Arrays are X (n, h, w, c) and Y (n, H, W, C); folders are opened in `pair_files`. A target is as large as its input, or a whole number of
times larger on both sides, the same for all; its channels may be others. With an `InputEffect` any pictures will do: they are the targets,
and their inputs are made of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import numpy as np

from striate.core.errors import DataError, UsageError
from striate.core.images import ImageSpec, InputSpec
from striate.core.targets import Task
from striate.data.arrays import as_images
from striate.data.fitting import fit_image, fit_images, placed, placement, with_channels
from striate.data.identities import picture_digests
from striate.data.input_effects import InputEffect
from striate.data.packing import room_for, take_rows
from striate.data.records import DataSource, ImageSet, Part

CHUNK = 64  # pictures whose inputs are made at a time
CHANNEL_NAMES = {1: ("grey",), 3: ("red", "green", "blue")}


def channel_names(count: int) -> tuple[str, ...]:
    """The names of the channels of a picture, as the outputs of a network."""
    return CHANNEL_NAMES.get(count) or tuple(f"channel {index}" for index in range(count))


@dataclass(frozen=True)
class PairSet(ImageSet):
    """One split, decoded; `labels` are the targets (N, H, W, C) uint8, and `classes` the names of their channels.

    Attributes:
        effect: That made `images` of them; in training noise is drawn anew each epoch.
    """

    effect: InputEffect | None = None

    @property
    def label_noun(self) -> str:
        """The name of `labels`, in the plural."""
        return "targets"

    @property
    def scale(self) -> int:
        """Pixels of a target along each side for one of its input."""
        return int(self.labels.shape[1] // self.images.shape[1])

    def take(self, indices: np.ndarray | Sequence[int]) -> Self:
        """The pictures at `indices` (n,) whole numbers, in that order."""
        places = np.asarray(indices, np.int64)
        paths = tuple(self.paths[place] for place in places)
        return dataclasses.replace(self, images=take_rows(self.images, places), labels=take_rows(self.labels, places), paths=paths)


Read = Callable[[int], tuple[np.ndarray, np.ndarray | None]]  # target and input of a pair, by its place in a split; uint8 (h, w, c)


@dataclass(frozen=True)
class PairSource(DataSource):
    """Opened pairs; nothing is decoded before `read`.

    Attributes:
        pairs: Opens a split, and gives what reads its pairs.
        scale: Pixels of a target along each side for one of its input.
        effect: That makes the inputs of the targets.
    """

    task: Task = "restore"
    pairs: Mapping[str, Callable[[], Read]] = field(default_factory=dict, repr=False)
    scale: int = 1
    effect: InputEffect | None = None

    def with_classes(self, classes: tuple[str, ...]) -> DataSource:
        """The data, if its targets have the channels that a model gives.

        Raises:
            DataError: they have others.
        """
        if self.classes != classes:
            message = f"{self.name}: the targets have {len(self.classes)} channels ({', '.join(self.classes)})"
            raise DataError(f"{message}, but the model gives {len(classes)} ({', '.join(classes)})", "Give targets like those it learned.")
        return self

    def at_places(self, places: Mapping[str, Callable[[], np.ndarray]]) -> Self:
        """The data with only those pairs of each split that stand at its `places` (n,)."""
        fewer = super().at_places(places)
        return dataclasses.replace(fewer, pairs={split: partial(_reader_at, self.pairs[split], chosen) for split, chosen in places.items()})

    def read(self, split: str, *, spec: InputSpec | None = None, places: np.ndarray | None = None) -> PairSet:
        """Decode a split, or its pairs at `places`, inputs brought to `spec` and targets alike; without a spec, as the pictures are.

        Raises:
            DataError: there is no such split, a file cannot be read, a pair does not fit, or without a spec the sizes differ; names it.
        """
        part = self._part(split)
        if spec is not None and not isinstance(spec, ImageSpec):
            raise DataError(f"{self.name}: has pictures, and the network takes {spec.kind}", "Choose a network that takes pictures.")
        spec = spec or self._own_spec()
        chosen = range(len(part.paths)) if places is None else places.tolist()
        paths = tuple(part.paths[place] for place in chosen)
        height, width = spec.extent
        targets = room_for((len(chosen), height * self.scale, width * self.scale, len(self.classes)))
        inputs = room_for((len(chosen), height, width, spec.channels))
        read_pair = self.pairs[split]()

        def put(row: int) -> None:
            try:
                target, given = read_pair(chosen[row])
                targets[row], fitted = fitted_pair(target, given, spec, self.scale, len(self.classes))
                if fitted is not None:
                    inputs[row] = fitted
            except DataError as error:
                raise DataError(f"{paths[row]}: {error.message.removeprefix(f'{paths[row]}: ')}", error.remedy) from None

        with ThreadPoolExecutor() as pool:
            list(pool.map(put, range(len(chosen))))
        if self.effect is not None:
            names = part.names or part.paths
            for start in range(0, len(chosen), CHUNK):
                some_places = chosen[start : start + CHUNK]
                made = self.effect.made(targets[start : start + CHUNK], [names[place] for place in some_places])
                inputs[start : start + CHUNK] = _with_channels_of(made, spec)
        return PairSet(self.name, split, inputs, targets, self.classes, paths, self.effect)

    def _own_spec(self) -> ImageSpec:
        if self.image_size is None:
            raise DataError(f"{self.name}: the pictures have different sizes", "Give an `image_size`.")
        zeros, ones = (0.0,) * self.channels, (1.0,) * self.channels
        return ImageSpec(height=self.image_size[0], width=self.image_size[1], channels=self.channels, mean=zeros, std=ones, fit="cut")


def fitted_pair(
    target: np.ndarray, given: np.ndarray | None, spec: ImageSpec, scale: int, channels: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """A target (H, W, C) uint8 and its input, where one is `given`, brought to the size of `spec` by its fit, both alike.

    Raises:
        DataError: the target is not `scale` times as large as its input, or one of them has other channels.
    """
    target = with_channels(target, channels)
    size = (spec.height * scale, spec.width * scale)
    if given is None:
        larger = dataclasses.replace(spec, height=size[0], width=size[1], channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels)
        return fit_image(target, larger), None
    given = with_channels(given, spec.channels)
    if target.shape[:2] != (scale * given.shape[0], scale * given.shape[1]):
        raise size_error("its target", given.shape, target.shape, scale)
    place = placement(given.shape[0], given.shape[1], spec)
    return placed(target, size, place.enlarged(scale)), placed(given, spec.extent, place)


def size_error(what: str, given: tuple[int, ...], target: tuple[int, ...], scale: int) -> DataError:
    """The error for a pair whose sizes do not fit."""
    sizes = f"has {target[0]} x {target[1]} pixels for an input of {given[0]} x {given[1]}"
    wanted = "as large" if scale == 1 else f"{scale} times as large on each side"
    return DataError(
        f"{what} {sizes}, expected {wanted}, as the first pair is", "Make all targets as large as their inputs, or all by one factor."
    )


def scale_of(given: tuple[int, ...], target: tuple[int, ...], what: str) -> int:
    """The whole number of times that a target (H, W, ...) is as large as its input (h, w, ...) on both sides.

    Raises:
        DataError: it is not.
    """
    scale = max(1, target[0] // given[0])
    if tuple(target[:2]) != (scale * given[0], scale * given[1]):
        message = f"{what}: has {target[0]} x {target[1]} pixels for an input of {given[0]} x {given[1]}"
        raise DataError(message, "A target must be as large as its input, or a whole number of times larger on both sides.")
    return scale


def _with_channels_of(inputs: np.ndarray, spec: ImageSpec) -> np.ndarray:
    return np.stack([with_channels(one, spec.channels) for one in inputs]) if inputs.shape[3] != spec.channels else inputs


# ---- arrays and other data


def pairs_of_arrays(splits: Mapping[str, tuple[Any, Any]], name: str, fields: Mapping[str, tuple[str, str]]) -> PairSource:
    """The pairs of arrays: split -> (X, Y), called `fields` in errors.

    Raises:
        DataError: they are no pictures, not as many targets as inputs, or of sizes or channels that do not fit; names the field.
    """
    inputs, targets = (
        {split: as_images(pair[which], f"{name}: {fields[split][which]}") for split, pair in splits.items()} for which in (0, 1)
    )
    first = "train" if "train" in splits else next(iter(splits))
    scale = scale_of(inputs[first].shape[1:], targets[first].shape[1:], f"{name}: {fields[first][1]}")
    for split in splits:
        if len(inputs[split]) != len(targets[split]):
            message = f"{name}: {fields[split][1]} has {len(targets[split]):,} pictures for {len(inputs[split]):,} of {fields[split][0]}"
            raise DataError(message, "Give one target per picture.")
        if targets[split].shape[1:3] != tuple(scale * side for side in inputs[split].shape[1:3]):
            raise size_error(f"{name}: {fields[split][1]}", inputs[split].shape[1:], targets[split].shape[1:], scale)
        for arrays, field_name in ((inputs, fields[split][0]), (targets, fields[split][1])):
            if arrays[split].shape[3] != arrays[first].shape[3]:
                message = f"{name}: {field_name} has {arrays[split].shape[3]} channels, the {first} split {arrays[first].shape[3]}"
                raise DataError(message, "Convert them to the same number.")
    sizes = {tuple(array.shape[1:3]) for array in inputs.values()}
    return PairSource(
        name,
        channel_names(targets[first].shape[3]),
        inputs[first].shape[3],
        sizes.pop() if len(sizes) == 1 else None,
        parts={split: partial(_part_of_array, name, split, array) for split, array in inputs.items()},
        pairs={split: partial(_arrays_reader, targets[split], inputs[split]) for split in splits},
        scale=scale,
    )


def source_of_pictures(values: Any) -> DataSource:
    """An array of pictures X (n, h, w) or (n, h, w, c), which have no labels.

    Raises:
        DataError: they are no pictures.
    """
    images = as_images(values, "arrays: X")
    paths = tuple(f"arrays/train/{index:05d}" for index in range(len(images)))
    part = Part(without_labels(len(images)), paths, partial(fit_images, images), digests=partial(picture_digests, images))
    height, width, channels = images.shape[1:]
    return DataSource("arrays", channel_names(channels), channels, (height, width), {"train": lambda: part})


def pairs_of_source(source: DataSource, effect: InputEffect) -> PairSource:
    """The pictures of other data as targets, whose inputs `effect` makes.

    Raises:
        UsageError: it has no pictures.
        DataError: its pictures have several sizes, or no colours to be learned.
    """
    if source.kind != "pictures":
        raise UsageError(f"`input_effect`: makes inputs of pictures, and {source.name} has {source.kind}", "Leave it out.")
    if source.image_size is None:
        raise DataError(f"{source.name}: the pictures have different sizes", "Give them one size, or a folder of picture files.")

    refuse_without_colours(source.name, source.channels, effect)

    def part(split: str) -> Part:
        found = source.parts[split]()
        return found._replace(labels=without_labels(len(found.paths)))

    return PairSource(
        source.name,
        channel_names(source.channels),
        effect.channels(source.channels),
        input_size({source.image_size}, effect),
        parts={split: partial(part, split) for split in source.splits},
        pairs={split: partial(_source_reader, source, split) for split in source.splits},
        scale=effect.scale,
        effect=effect,
    )


def refuse_without_colours(name: str, channels: int, effect: InputEffect | None) -> None:
    """Refuse pictures without three colours where an effect makes them grey.

    Raises:
        DataError: they have none.
    """
    if effect is not None and effect.name == "grey" and channels != 3:
        kind = "are grey already" if channels == 1 else f"have {channels} channels, not three colours"
        raise DataError(f"{name}: the pictures {kind}, so `input_effect='grey'` makes nothing of them", "Give pictures in colour.")


def input_size(sizes: set[tuple[int, int]], effect: InputEffect | None) -> tuple[int, int] | None:
    """The size of all inputs, if they have one."""
    if len(sizes) != 1:
        return None
    height, width = next(iter(sizes))
    scale = effect.scale if effect is not None else 1
    return (height // scale, width // scale) if min(height, width) >= scale else None


def _part_of_array(name: str, split: str, array: np.ndarray) -> Part:
    paths = tuple(f"{name}/{split}/{index:05d}" for index in range(len(array)))
    return Part(without_labels(len(array)), paths, partial(fit_images, array), digests=partial(picture_digests, array))


def _arrays_reader(targets: np.ndarray, inputs: np.ndarray) -> Read:
    return lambda place: (targets[place], inputs[place])


def _source_reader(source: DataSource, split: str) -> Read:
    targets = source.read(split).images
    return lambda place: (targets[place], None)


def _reader_at(opened: Callable[[], Read], places: Callable[[], np.ndarray]) -> Read:
    read, chosen = opened(), places()
    return lambda place: read(int(chosen[place]))


def without_labels(count: int) -> np.ndarray:
    """(count, 0): the labels of pictures without any, all of one kind for a division."""
    return np.zeros((count, 0))


def no_images(_spec: Any, _places: np.ndarray | None = None) -> np.ndarray:
    """The pictures of a part of pairs, which nothing asks for."""
    raise RuntimeError("pairs are read by their source")
