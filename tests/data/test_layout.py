"""Which folders are splits and which are classes: names tell, and a doubt stops before labels are lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from striate.core.errors import DataError
from striate.data.layout import SplitName, split_name
from striate.data.masks import open_masks
from striate.data.sources import open_data

MakeFolder = Callable[..., Path]


def below(*folders: str) -> dict[str, None]:
    """Two pictures of cats and one of dogs in each folder."""
    return {f"{folder}/{name}": None for folder in folders for name in ("cat/1.png", "cat/2.png", "dog/1.png")}


def refused(root: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        open_data(root)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("parts", [("2023", "2024"), ("fold1", "fold2", "fold10"), ("Batch 1", "batch 2")])
def test_classes_in_numbered_folders_stop_and_are_read_once_they_are_outside(make_folder, parts):
    root = make_folder(below(*parts))

    error = refused(root)

    assert all(f"{part}/" in error.message for part in parts)
    assert "all hold cat/, dog/" in error.message
    assert open_data(root, layout="classes").classes == tuple(sorted(parts))
    assert open_data(root, to_train=False).classes == tuple(sorted(parts))  # a run that was trained so can still be looked at
    moved = make_folder({f"outside/{path.split('/')[1]}/{path.split('/')[0]}/{path.split('/')[2]}": None for path in below(*parts)})
    assert open_data(moved / "outside").classes == ("cat", "dog")


@pytest.mark.parametrize("folders", [("cat/indoor", "dog/indoor"), ("0/a", "0/b", "1/c", "1/d"), ("1/a", "2/a")])
def test_folders_inside_of_classes_are_parts_of_them(make_folder, folders):
    root = make_folder({f"{folder}/1.png": None for folder in folders})

    assert open_data(root).classes == tuple(sorted({folder.split("/")[0] for folder in folders}))


@pytest.mark.parametrize(
    ("name", "split", "rest"),
    [
        ("train", "train", ()),
        ("Training", "train", ()),
        ("training_set", "train", ()),
        ("TrainImages", "train", ()),
        ("trainset", "train", ()),
        ("val2017", "val", ()),
        ("Valid", "val", ()),
        ("test-data", "test", ()),
        ("1. Test set", "test", ()),
        ("seg_train", "train", ("seg",)),
        ("flowers train", "train", ("flowers",)),
        ("train_station", "train", ("station",)),
    ],
)
def test_a_name_tells_of_a_split(name: str, split: str, rest: tuple[str, ...]):
    assert split_name(name) == SplitName(split, rest)


@pytest.mark.parametrize("name", ["cat", "trains", "tested", "train_test", "contest", "trainer", "", "42", "devil"])
def test_other_names_tell_of_none(name: str):
    assert split_name(name) is None


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("Train", "Test"),
        ("train_images", "test_images"),
        ("images/train", "images/test"),
        ("train/images", "test/images"),
        ("photos/training_set", "photos/test_set"),
        ("TrainData", "TestData"),
    ],
)
def test_plain_splits_are_read_as_splits_and_said(train: str, test: str, make_folder: MakeFolder):
    source = open_data(make_folder(below(train, test)))
    assert source.splits == ("train", "test") and source.classes == ("cat", "dog")
    assert source.class_counts("train") == source.class_counts("test") == {"cat": 2, "dog": 1}
    assert source.notes


def test_a_lone_folder_of_pictures_is_looked_into(make_folder: MakeFolder):
    source = open_data(make_folder(below("images")))
    assert source.class_counts("train") == {"cat": 2, "dog": 1}
    assert source.notes == ("photos/ holds only images/, which is read instead",)
    assert "at least two classes, got only 'emu'" in refused(make_folder(below("emu"), root="one")).message


def test_classes_whose_names_only_begin_like_splits_are_classes(make_folder: MakeFolder):
    source = open_data(make_folder(below("train_station", "test_tube")))
    assert source.classes == ("test_tube", "train_station")


def test_a_class_that_is_called_train_is_a_class(make_folder: MakeFolder):
    source = open_data(make_folder({f"{name}/1.png": None for name in ("bus", "car", "train")}))
    assert source.classes == ("bus", "car", "train")


def test_a_train_folder_beside_classes_stops_and_can_be_stated(make_folder: MakeFolder):
    root = make_folder(below("bus", "car", "train"))

    error = refused(root)

    assert "train/ looks like a training split, which would ignore bus/ (3 pictures), car/ (3 pictures)" in error.message
    assert "`layout='splits'`" in error.remedy and "`layout='classes'`" in error.remedy
    assert open_data(root, layout="classes").class_counts("train") == {"bus": 3, "car": 3, "train": 3}
    stated = open_data(root, layout="splits")
    assert stated.class_counts("train") == {"cat": 2, "dog": 1}
    assert stated.left_out[0].count == 6 and stated.left_out[0].why == "ignored, in a folder that is not a split"


def test_labelled_pictures_beside_two_splits_stop(make_folder: MakeFolder):
    error = refused(make_folder(below("train", "test", "extra")))
    assert "would ignore extra/ (3 pictures)" in error.message


def test_pictures_without_labels_beside_the_splits_are_counted(make_folder: MakeFolder):
    root = make_folder({**below("train", "seg"), **below("val"), "seg/x.png": None})
    root = make_folder(
        {**below("train", "val"), "sample/1.png": None, "pred/a/2.png": None, "docs/a.txt": b"", "test/1.png": None, "a.png": None},
        root="p",
    )

    source = open_data(root)

    assert source.splits == ("train", "val")
    (note, counted) = source.notes
    assert note == "not a split, ignored: docs/"
    assert counted.startswith(f"4 pictures ignored, in a folder that is not a split: {root / 'a.png'}, ")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"train/1.png": None, "test/2.png": None}, "test/, train/ look like a split, but the pictures in it are not in class folders"),
        ({"cat/1.png": None, "dog/2.png": None, "test/3.png": None}, "test/ looks like a split"),
        ({**below("cats", "dogs"), "test_images/3.png": None}, "test_images/ looks like a split"),
        ({**below("train"), "bus/3.png": None}, "would ignore bus/ (1 pictures)"),
    ],
)
def test_splits_without_class_folders_stop(files: dict[str, None], words: str, make_folder: MakeFolder):
    error = refused(make_folder(files))
    assert words in error.message and "`layout='classes'`" in error.remedy


@pytest.mark.parametrize("outer", ["", "train/"])
def test_splits_inside_class_folders_stop(outer: str, make_folder: MakeFolder):
    files = [f"{outer}{name}/{split}/1.png" for name in ("cat", "dog") for split in ("train", "Test")]
    root = make_folder(dict.fromkeys(files))

    error = refused(root)

    assert "looks like class folders that contain splits (cat/Test/, cat/train/, dog/Test/, dog/train/)" in error.message
    assert str(root / outer / "Test" / "cat") in error.remedy and "`layout='classes'`" in error.remedy
    if not outer:
        assert open_data(root, layout="classes").class_counts("train") == {"cat": 2, "dog": 2}


@pytest.mark.parametrize("pictures", ["images/1.jpg", "images/train/1.jpg", "train/images/1.jpg"])
def test_pictures_with_boxes_are_told_from_classes(pictures: str, make_folder: MakeFolder):
    labels = pictures.replace("images", "labels").replace(".jpg", ".txt")
    error = refused(make_folder({pictures: None, labels: b"0 0.5 0.5 1 1"}))
    assert "images/, labels/ look like pictures with bounding boxes, for a detector" in error.message


def test_splits_inside_images_and_masks_stop(make_folder: MakeFolder):
    root = make_folder({f"{kind}/{split}/1.png": None for kind in ("images", "masks") for split in ("train", "val")})
    with pytest.raises(DataError, match="looks like class folders that contain splits"):
        open_masks(root)


def test_a_stated_split_must_be_there(make_folder: MakeFolder):
    with pytest.raises(DataError, match="there is no folder train/"):
        open_data(make_folder(below("a", "b")), layout="splits")


def test_folds_that_hold_splits_are_told_to_be_named_one_at_a_time(make_folder: MakeFolder):
    """Their splits moved outside would make classes of the folds."""
    files = [f"fold_{k}/{split}/{name}/1.png" for k in (0, 1) for split in ("train", "val") for name in ("cat", "dog")]
    root = make_folder(dict.fromkeys(files))
    assert (
        refused(root).remedy
        == f"Name one of them as the data: {root / 'fold_0'}; or read all of it as one data set with `layout='classes'`."
    )
    assert open_data(root / "fold_0").classes == ("cat", "dog")
