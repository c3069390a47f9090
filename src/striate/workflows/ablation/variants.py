"""The variants of an ablation: edits in words, alone, in pairs or from a file."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.core.errors import UnknownNameError, UsageError
from striate.core.text import in_lines
from striate.networks.layers.foreign import Foreign, OwnNetwork
from striate.networks.network import Network
from striate.networks.table import table_diff
from striate.workflows.recipes.files import safe_yaml

ROLES = ("activation", "pooling", "norm")  # that swap takes
MOST_VARIANTS = 1000  # of a grid
GRID = "`grid` takes a YAML file with 'variants', names with lists of edits, or 'grid', lists of edits to combine."
NOTHING = "none"  # an edit of a grid that leaves things as they are
BASELINE = "baseline"
AUGMENTATION = "without augmentation"  # the one edit of the training


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The baseline after some edits."""

    name: str
    edits: tuple[str, ...]
    network: Network
    augmented: bool  # as the baseline is; else not at all
    diff: tuple[str, ...]  # of the layer tables


def variants_of(network: Network, edits: Sequence[str], *, pairs: bool = False, grid: Path | None = None) -> list[Variant]:
    """The baseline; each of `edits` alone; with `pairs` each two of them; and what the file `grid` lists.

    Raises:
        UsageError: an edit matches nothing, or says nothing that can be done; names it, and where there are several, all of them.
    """
    _check_editable(network)
    lists = [(), *((edit,) for edit in edits)]
    lists += itertools.combinations(edits, 2) if pairs else []
    named = {" + ".join(words) or BASELINE: words for words in lists} | (read_grid(grid) if grid is not None else {})
    if len(named) < 2:
        raise UsageError(
            "nothing to ablate: no edit is named", "For example 'without shortcut' and 'without norm': --without shortcut --without norm."
        )
    found: list[Variant] = []
    wrong: dict[tuple[str, ...], UsageError] = {}
    for name, words in named.items():
        if any((word,) in wrong for word in words):
            continue  # a pair with an edit that cannot be made alone
        try:
            found.append(variant(network, name, tuple(words)))
        except UsageError as error:
            wrong[tuple(words)] = error
    if len(wrong) == 1:
        raise next(iter(wrong.values()))
    if wrong:
        lines = [f"  {' + '.join(words)}: {error.message}. {error.remedy}".rstrip() for words, error in wrong.items()]
        raise UsageError(in_lines([f"{len(wrong)} variants of {network.name} cannot be made:", *lines]), "Leave these edits out.")
    slugs = [slug(one.name) for one in found]
    for one, word in zip(found, slugs, strict=True):
        if slugs.count(word) > 1:
            raise UsageError(f"two variants would use the same folder {word}: one is {one.name!r}", "Give them different names.")
    return found


def _check_editable(network: Network) -> None:
    """Networks without a description have no parts to edit; the user's own modules could not be trained in other processes either."""
    from_elsewhere = next((child for _, child in network.root.children if isinstance(child, Foreign)), None)
    if from_elsewhere is None:
        return
    whose = "the user's own module" if isinstance(from_elsewhere, OwnNetwork) else "a module of another library"
    raise UsageError(
        f"{network.name} is {whose}, and not described by its parts: ablate has no parts to remove",
        "Take a network of `striate networks`, or train this one and damage it: striate ablate RUN --lesion.",
    )


def variant(network: Network, name: str, edits: tuple[str, ...]) -> Variant:
    """`network` after `edits`, in their order.

    Raises:
        UsageError: an edit cannot be made, or what is left gives no class scores.
    """
    edited, augmented = network, True
    for edit in edits:
        if edit == AUGMENTATION:
            augmented = False
        else:
            edited = applied(edited, edit)
    if edited.output_shape != network.output_shape:
        raise UsageError(
            f"{name}: the output of {network.name} would be {edited.output_shape}, and must stay {network.output_shape}, a score per class",
            "Select fewer parts, for example with @ and a place: 'without pool@stage1'.",
        )
    lines = [] if edited is network else table_diff(network, edited)
    return Variant(
        name=name,
        edits=edits,
        network=edited,
        augmented=augmented,
        diff=(*lines, *([] if augmented else ["- augmentation of the training"])),
    )


def applied(network: Network, edit: str) -> Network:
    """`network` after an edit in words: `without shortcut`, `swap activation=tanh`, `split-kernels 3x3`, `width 0.5`, ...

    Raises:
        UnknownNameError: there is no such edit, or no such role to swap.
        UsageError: a word is missing, or is not a number where one is required.
    """
    verb, _, what = edit.strip().partition(" ")
    what = what.strip()
    if verb not in EDITS:
        raise UnknownNameError("edit", verb, EDITS, f"Edits begin with {', '.join(EDITS)}.")
    if verb != "factorize" and not what:
        raise UsageError(f"the edit {verb!r} needs a word after it", "For example: without shortcut, swap activation=tanh, width 0.5.")
    return EDITS[verb](network, what)


def _swapped(network: Network, what: str) -> Network:
    role, equals, to = what.partition("=")
    if role not in ROLES:
        raise UnknownNameError("role to swap", role, ROLES, f"Roles are: {', '.join(ROLES)}.")
    if not equals or not to:
        raise UsageError(f"swap {what}: must name a replacement", f"For example: swap {role}=...")
    wanted: dict[str, Any] = {role: to}
    return network.swap(**wanted)


def _split_kernels(network: Network, what: str) -> Network:
    word, at, place = what.partition("@")
    return network.split_kernels(word, place=place if at else None)


def _factor(verb: str, what: str) -> float:
    try:
        return float(what)
    except ValueError:
        raise UsageError(f"{verb} must be a positive factor such as 0.5, got {what!r}") from None


EDITS: dict[str, Callable[[Network, str], Network]] = {  # by the first word
    "without": Network.without,
    "swap": _swapped,
    "split-kernels": _split_kernels,
    "factorize": lambda network, what: network.factorize(place=what.removeprefix("@") or None),
    "head": Network.head,
    "width": lambda network, what: network.width(_factor("width", what)),
    "depth": lambda network, what: network.depth(_factor("depth", what)),
}


def read_grid(path: Path) -> dict[str, tuple[str, ...]]:
    """The variants that a YAML file lists: `variants`, a name for each list of edits; and `grid`, lists of edits to be combined.

    In a list of `grid`, `none` stands for no edit.

    Raises:
        UsageError: the file holds something else; names the place.
        RefusedFileError: it is not plain YAML.
    """
    content = safe_yaml(path, remedy=GRID)
    if not isinstance(content, Mapping) or not content or set(content) - {"variants", "grid"}:
        raise UsageError(f"{path}: must hold 'variants' (names with lists of edits) or 'grid' (lists of edits to combine), or both")
    found: dict[str, tuple[str, ...]] = {}
    variants = content.get("variants") or {}
    if not isinstance(variants, Mapping):
        raise UsageError(f"{path}: variants must be names with lists of edits, got {variants!r}")
    for name, words in variants.items():
        found[str(name)] = _words(path, f"variants.{name}", words)
    axes = content.get("grid") or []
    if not isinstance(axes, list):
        raise UsageError(f"{path}: grid must be a list of lists of edits, got {axes!r}")
    lists = [_words(path, f"grid {i}", axis) for i, axis in enumerate(axes, 1)]
    if (count := math.prod(map(len, lists))) > MOST_VARIANTS:
        raise UsageError(f"{path}: grid combines to {count:,} variants, more than {MOST_VARIANTS:,}", "Use fewer edits, or several grids.")
    for words in itertools.product(*lists) if lists else ():
        chosen = tuple(word for word in words if word != NOTHING)
        if chosen:
            found[" + ".join(chosen)] = chosen
    return found


def _words(path: Path, place: str, words: Any) -> tuple[str, ...]:
    if isinstance(words, str):
        words = [words]
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise UsageError(f"{path}: {place} must be a list of edits such as 'without shortcut', got {words!r}")
    return tuple(words)


def slug(name: str) -> str:
    """A variant's name as a folder's."""
    return re.sub(r"[^A-Za-z0-9.=]+", "-", name).strip("-.") or "variant"
