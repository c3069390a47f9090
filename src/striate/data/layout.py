"""Which folders of a data set are splits and which are classes: decided by their names; if these are ambiguous, the user must say."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from striate.core.errors import DataError
from striate.data.kinds import DECODED, picture_format
from striate.data.listing import entries_of, leave_out_top, num_pictures, pictures_below, subfolders_of
from striate.data.omissions import NO_SPLIT, Ledger, some

Layout = Literal["auto", "classes", "splits"]

SYNONYMS = {
    "train": "train", "training": "train", "trn": "train",
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "dev": "val",
    "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip
# Words that say nothing beside the name of a split, or of a folder that holds the classes.
OF_FOLDERS = ("set", "sets", "data", "dataset", "datasets", "image", "images", "img", "imgs", "picture", "pictures", "photo", "photos",
              "pic", "pics", "folder", "split", "splits", "samples", "jpg", "jpeg", "jpegs", "png")  # fmt: skip
JOINED = re.compile(rf"({'|'.join(sorted(SYNONYMS, key=len, reverse=True))})({'|'.join(sorted(OF_FOLDERS, key=len, reverse=True))})")
# Words of folders beside the splits that hold no class.
NO_CLASSES = ("extra", "unlabelled", "unlabeled", "unsup", "sample", "samples", "pred", "predict", "prediction", "predictions",
              "submission", "submissions", "new", "raw", "backup", "old", "unused", "misc", "other", "others", "tmp", "temp")  # fmt: skip
BOXES = ("labels", "annotations", "annotation")  # beside images/: what detectors are trained on

OF_CLASSES = "CLASS"  # what lies in a split, in words


class SplitName(NamedTuple):
    """The split that a folder's name indicates."""

    split: str
    rest: tuple[str, ...]  # words beside it that would have to stand in the names of the other splits too


class Layers(NamedTuple):
    """The folders of the splits, by split, and notes on them."""

    splits: dict[str, Path]
    notes: list[str]


def split_name(name: str) -> SplitName | None:
    """The split that a folder's name indicates, as `training_set`, `seg_train` and `val2017` do; None for other names."""
    parts = re.findall(r"[^\W\d_]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFC", name)))
    words: list[str] = []
    for part in parts:
        word = part.lower()
        words += match.groups() if (match := JOINED.fullmatch(word)) else [word]
    splits = [word for word in words if word in SYNONYMS]
    if len(splits) != 1:
        return None
    return SplitName(SYNONYMS[splits[0]], tuple(word for word in words if word not in (*splits, *OF_FOLDERS) and not word.isdigit()))


def folders_of_splits(
    root: Path, ledger: Ledger, *, layout: Layout = "auto", inside: str = OF_CLASSES, to_train: bool = True, by_rule: bool = False
) -> Layers:
    """The folders of the splits; `root` itself is the training split where there are none. Without `to_train`, any split will do.

    With `by_rule` the classes are not folders, so that a split needs none.

    Raises:
        DataError: there are splits but no training split, two folders for one split, or what the folders are is in doubt: says what they
            look like, and how to state it.
    """
    if layout == "classes":
        return Layers({"train": root}, [])
    subfolders = subfolders_of(root)
    named = _candidates(subfolders)
    holding = {path: name for path, name in named.items() if subfolders_of(path) or (by_rule and num_pictures(path))}
    if layout == "auto":
        _refuse_splits_without_classes(root, subfolders, named, holding, inside)
    if not holding:
        if layout == "splits":
            raise DataError(f"{root}: there is no folder train/", f"Put the training pictures in {root / 'train'}/{inside}/.")
        doubt = to_train and not by_rule
        return _of_classes(root, subfolders, ledger, to_train=doubt) if inside == OF_CLASSES else Layers({"train": root}, [])
    splits: dict[str, Path] = {}
    for path, name in holding.items():
        if name.split in splits:
            raise DataError(f"{root}: both {splits[name.split].name}/ and {path.name}/ are a {name.split} split", "Keep one of them.")
        splits[name.split] = path
    if "train" not in splits and to_train:
        have = ", ".join(f"{path.name}/" for path in holding)
        raise DataError(f"{root}: has {have} but no train/", f"Put the training pictures in {root / 'train'}/{inside}/.")
    notes = [f"{path.name}/ is read as the {split} split" for split, path in splits.items() if path.name != split]
    beside = [path for path in subfolders if path not in holding]
    if inside == OF_CLASSES:
        splits = {split: _unwrapped(path, notes) for split, path in splits.items()}
    if layout == "auto":
        refuse_splits_in_classes(splits)
        _refuse_to_lose_labels(root, splits.get("train", next(iter(splits.values()))), beside, sure=len(named) > 1 or "train" not in splits)
    leave_out_top(root, ledger, NO_SPLIT)
    for path in beside:
        ledger.leave_out(NO_SPLIT, pictures_below(path, Ledger()))
    if without := [f"{path.name}/" for path in beside if not num_pictures(path)]:
        notes.append(f"not a split, ignored: {some(without)}")
    return Layers(splits, notes)


def _candidates(subfolders: Sequence[Path]) -> dict[Path, SplitName]:
    """The folders that are called a split: plainly, or with the same words beside it in the names of two splits or more."""
    names = {path: name for path in subfolders if (name := split_name(path.name)) is not None}
    plain = {path: name for path, name in names.items() if not name.rest}
    if any(name.split == "train" for name in plain.values()):
        return plain
    for rest in {name.rest: None for name in names.values() if name.rest}:
        alike = {path: name for path, name in names.items() if name.rest == rest}
        if len({name.split for name in alike.values()}) > 1 and any(name.split == "train" for name in alike.values()):
            return alike
    return plain


def _refuse_splits_without_classes(
    root: Path, subfolders: Sequence[Path], named: Mapping[Path, SplitName], holding: Mapping[Path, SplitName], inside: str
) -> None:
    """Refuse to take for classes what is called a split and holds pictures without class folders; a class may be called train."""
    flat = [path for path in named if path not in holding and num_pictures(path)]
    if not flat or any(name.split == "train" for name in holding.values()):
        return
    if len(named) == 1 and flat[0].name.lower() in ("train", "training") and len(subfolders) > 1:
        return
    counts = ", ".join(f"{path.name}/ {num_pictures(path):,}" for path in flat)
    raise DataError(
        f"{root}: {some([f'{path.name}/' for path in flat])} look{'s' if len(flat) == 1 else ''} like a split, but "
        f"the pictures in it are not in class folders ({counts})",
        f"Sort them into {flat[0]}/{inside}/, or move the folder away; if it is a class, say so with `layout='classes'`.",
    )


def _of_classes(root: Path, subfolders: Sequence[Path], ledger: Ledger, *, to_train: bool) -> Layers:
    """Folders of classes, in `root` or in the one folder that it holds."""
    notes: list[str] = []
    names = {path.name.lower() for path in subfolders}
    if "images" in names and names & set(BOXES) and not any(num_pictures(path) for path in subfolders if path.name.lower() != "images"):
        raise _boxes(root, subfolders)
    inner = _unwrapped(root, notes)
    if inner != root:
        found = folders_of_splits(inner, ledger, to_train=to_train)
        return Layers(found.splits, notes + found.notes)
    refuse_splits_in_classes({"train": root})
    if to_train:
        _refuse_classes_in_parts(root, subfolders)
    return Layers({"train": root}, notes)


def _refuse_classes_in_parts(root: Path, subfolders: Sequence[Path]) -> None:
    """Refuse `fold1/cat, fold1/dog, fold2/cat, ...`: folders that differ in a number and hold the same folders are hardly the classes."""
    inner = [tuple(path.name for path in subfolders_of(folder)) for folder in subfolders]
    names = {re.sub(r"\d+", "0", folder.name.lower()) for folder in subfolders}
    if len(subfolders) < 2 or len(set(inner)) != 1 or len(inner[0]) < 2 or len(names) != 1 or "0" not in names.pop():
        return
    outer, classes = (some([f"{name}/" for name in those]) for those in ([path.name for path in subfolders], inner[0]))
    one = subfolders[0].name
    raise DataError(
        f"{root}: {outer} differ only in a number and all hold {classes}, which look like the classes but would be merged into one",
        f"Make the classes the outer folders: {root / inner[0][0] / one}/; or say that {one}/ is a class with `layout='classes'`.",
    )


def _boxes(folder: Path, subfolders: Sequence[Path]) -> DataError:
    images = next(path for path in subfolders if path.name.lower() == "images")
    names = some([f"{path.name}/" for path in subfolders])
    return DataError(
        f"{folder}: {names} look like pictures with bounding boxes, for a detector; a classifier needs one class per picture",
        f"Sort the pictures into a folder for each class; if {images}/ holds such folders, name it as the data.",
    )


def _unwrapped(folder: Path, notes: list[str]) -> Path:
    """`folder`, or the one that holds all of it, if it has the same name or one that is no class: `seg_train/seg_train`, `images`."""
    subfolders = subfolders_of(folder)
    if {path.name.lower() for path in subfolders} >= {"images", "labels"} and not num_pictures(folder / "labels"):
        raise _boxes(folder, subfolders)
    if len(subfolders) != 1 or any(picture_format(path) in DECODED for path in entries_of(folder)):
        return folder
    inner = subfolders[0]
    words = re.findall(r"[^\W\d_]+", inner.name.lower())
    same = inner.name.lower() == folder.resolve().name.lower() or (bool(words) and words[-1] in OF_FOLDERS)
    if not same or len(subfolders_of(inner)) < 2:
        return folder
    notes.append(f"{folder.name}/ holds only {inner.name}/, which is read instead")
    return _unwrapped(inner, notes)


def refuse_splits_in_classes(splits: Mapping[str, Path]) -> None:
    """Refuse folders of a split that hold splits themselves: test pictures would be trained on.

    Raises:
        DataError: there are such folders; says where they belong, and how to say that they are none.
    """
    for folder in splits.values():
        found = [
            sub
            for path in subfolders_of(folder)
            for sub in subfolders_of(path)
            if (name := split_name(sub.name)) is not None and not name.rest and num_pictures(sub)
        ]
        if found:
            one = found[0]
            outside = f"Make the splits the outer folders: {folder / one.name / one.parent.name}/"
            if subfolders_of(one):  # of folds, each with splits of its own
                outside = f"Name one of them as the data: {one.parent}"
            raise DataError(
                f"{folder}: looks like class folders that contain splits ({some([f'{path.parent.name}/{path.name}/' for path in found])}), "
                "which would be merged into one",
                f"{outside}; or read all of it as one data set with `layout='classes'`.",
            )


def _refuse_to_lose_labels(root: Path, train: Path, beside: Sequence[Path], *, sure: bool) -> None:
    """Refuse to leave out folders beside the splits that hold classes, or may be classes where `train` is not `sure` to be a split."""
    classes = {path.name for path in subfolders_of(train)}
    counts = {path: count for path in beside if (count := num_pictures(path))}
    labelled = [path for path in counts if classes & {sub.name for sub in subfolders_of(path)}]
    doubted = labelled if sure else [path for path in counts if path in labelled or not _is_no_class(path.name)]
    if doubted:
        words = some([f"{path.name}/ ({counts[path]:,} pictures)" for path in doubted])
        raise DataError(
            f"{root}: {train.name}/ looks like a training split, which would ignore {words}; or it is a class like them",
            "Choose one: `layout='splits'`, or `layout='classes'`; or move what should not be read out of the folder.",
        )


def _is_no_class(name: str) -> bool:
    return any(word in NO_CLASSES for word in re.findall(r"[^\W\d_]+", name.lower()))
