"""Folders of pictures: classes by name, splits by their synonyms, every bad file named, nobody's file touched."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.core.errors import DataError
from striate.core.images import ImageSpec
from striate.data.decode import decode_image
from striate.data.folder import picture_files
from striate.data.records import DataSource
from striate.data.sources import open_data

MakeFolder = Callable[..., Path]
Encode = Callable[..., bytes]
Pixels = Callable[..., np.ndarray]
SPEC = ImageSpec(height=6, width=10, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3, fit="crop")
TWO = {"cat/1.png": None, "cat/2.png": None, "dog/1.png": None}


def fingerprints(root: Path) -> dict[str, tuple[str, int]]:
    """Content and time of every file below `root`."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


def relative(source: DataSource, split: str, root: Path) -> list[str]:
    return [Path(path).relative_to(root).as_posix() for path in source.read(split, spec=SPEC).paths]


# ---- what is read


def test_each_subfolder_is_a_class_and_a_picture_its_decoded_file(make_folder: MakeFolder):
    root = make_folder({"dog/2.png": None, "cat/b.jpg": None, "cat/a.png": None, "emu/1.png": None, "dog/1.png": None})
    before = fingerprints(root)

    source = open_data(root)
    images = source.read("train", spec=SPEC)

    assert source.name == "photos" and source.classes == ("cat", "dog", "emu") and source.splits == ("train",)
    assert relative(source, "train", root) == ["cat/a.png", "cat/b.jpg", "dog/1.png", "dog/2.png", "emu/1.png"]
    assert images.labels.tolist() == [0, 0, 1, 1, 2] and images.labels.dtype == np.int64
    assert images.images.shape == (5, 6, 10, 3) and images.images.dtype == np.uint8
    for path, pixels in zip(images.paths, images.images, strict=True):
        np.testing.assert_array_equal(pixels, decode_image(path, SPEC))
    assert source.num_images("train") == 5 and source.class_counts("train") == {"cat": 2, "dog": 2, "emu": 1}
    assert source.notes == ()
    assert fingerprints(root) == before


def test_without_a_spec_pictures_keep_their_size_and_different_sizes_are_an_error(make_folder: MakeFolder, encode: Encode, picture: Pixels):
    root = make_folder(TWO)
    source = open_data(root)
    assert source.image_size == (12, 16)
    np.testing.assert_array_equal(source.read("train").images[0], decode_image(root / "cat/1.png"))

    (root / "cat/odd.png").write_bytes(encode(picture(11, 16)))
    source = open_data(root)
    assert source.image_size is None
    with pytest.raises(DataError, match="2 different sizes"):
        source.read("train")


@pytest.mark.parametrize("train", ["train", "training", "Train", "TRAINING"])
@pytest.mark.parametrize("val", ["val", "valid", "validation", "dev", "VAL"])
@pytest.mark.parametrize("test", ["test", "testing"])
def test_splits_have_synonyms_and_their_use_is_said(train: str, val: str, test: str, make_folder: MakeFolder):
    root = make_folder({f"{split}/{name}/1.png": None for split in (train, val, test) for name in ("cat", "dog")})
    source = open_data(root)
    assert source.splits == ("train", "val", "test")
    said = {folder for folder in (train, val, test) for note in source.notes if note.startswith(f"{folder}/ is read as")}
    assert said == {train, val, test} - {"train", "val", "test"}
    for split, folder in zip(source.splits, (train, val, test), strict=True):
        assert relative(source, split, root) == [f"{folder}/cat/1.png", f"{folder}/dog/1.png"]


def test_another_split_may_lack_classes_and_keeps_the_labels_of_the_training_split(make_folder: MakeFolder):
    root = make_folder(
        {"train/ant/1.png": None, "train/bee/1.png": None, "train/cow/1.png": None, "val/cow/1.png": None, "test/bee/1.png": None}
    )
    source = open_data(root)
    assert source.read("val", spec=SPEC).labels.tolist() == [2]
    assert source.class_counts("test") == {"ant": 0, "bee": 1, "cow": 0}


def test_hidden_files_and_those_that_systems_leave_are_ignored(make_folder: MakeFolder):
    hidden = ["cat/.hidden.png", "cat/._1.png", "cat/Thumbs.db", "cat/desktop.ini", "cat/.DS_Store", ".ipynb_checkpoints/1.png",
              "cat/.ipynb_checkpoints/1.png", "__MACOSX/1.png", ".git/x.png"]  # fmt: skip
    root = make_folder({**TWO, **dict.fromkeys(hidden, b"not a picture")})
    source = open_data(root)
    assert source.classes == ("cat", "dog") and source.num_images("train") == 3
    (note,) = source.notes
    assert note.startswith("6 pictures left out, hidden or in system folders such as thumbnails and trash: ")


def test_other_files_are_ignored_and_said(make_folder: MakeFolder):
    root = make_folder({**TWO, "cat/labels.csv": b"a,b", "cat/noending": b"?", "readme.txt": b"hello"})
    source = open_data(root)
    assert source.num_images("train") == 3
    assert any("3 files ignored" in note and "labels.csv" in note for note in source.notes)


@pytest.mark.parametrize("name", ["x.JPG", "x.Jpeg", "x.JPE", "x.PNG", "x.webp", "x.BMP", "x.gif", "x.TIF", "x.tiff", "x.ppm"])
def test_endings_in_any_case_are_pictures_and_content_decides(name: str, make_folder: MakeFolder, encode: Encode, picture: Pixels):
    root = make_folder({**TWO, f"cat/{name}": encode(picture(12, 16))})  # a PNG under any name
    assert open_data(root).class_counts("train")["cat"] == 3


def test_folders_inside_a_class_belong_to_it(make_folder: MakeFolder):
    root = make_folder({"cat/a/1.png": None, "cat/b/deep/2.png": None, "dog/1.png": None})
    assert open_data(root).class_counts("train") == {"cat": 2, "dog": 1}


def test_channels_are_1_only_where_all_pictures_are_grey(make_folder: MakeFolder, encode: Encode, picture: Pixels):
    grey = encode(np.ascontiguousarray(picture(12, 16)[..., 0]))
    root = make_folder({"cat/1.png": grey, "dog/1.png": grey, "dog/2.png": encode(Image.fromarray(picture(12, 16)[..., 0] > 90))})
    source = open_data(root)
    assert source.channels == 1 and source.read("train").images.shape == (3, 12, 16, 1)

    (root / "dog/3.png").write_bytes(encode(picture(12, 16)))
    source = open_data(root)
    assert source.channels == 3
    images = source.read("train").images
    assert images.shape == (4, 12, 16, 3)
    np.testing.assert_array_equal(images[0, ..., 2], images[0, ..., 0])


def test_the_size_is_that_of_the_upright_picture(make_folder: MakeFolder, encode: Encode, picture: Pixels):
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = encode(picture(16, 12), "JPEG", exif=exif)
    source = open_data(make_folder({"cat/1.jpg": lying, "dog/1.jpg": encode(picture(12, 16), "JPEG")}))
    assert source.image_size == (12, 16)
    assert source.read("train").images.shape == (2, 12, 16, 3)


@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not allow")
def test_odd_names_are_read(make_folder: MakeFolder):
    odd = ["n" * 251 + ".png", "-rf.png", "a b.png", "100%.png", "{x}.png", "new\nline.png", "tab\t.png", "日本.png", "\U0001f600.png",
           "a'b\".png", "\u202efoo.png"]  # fmt: skip
    root = make_folder({**{f"cat/{name}": None for name in odd}, "dog/1.png": None})
    images = open_data(root).read("train", spec=SPEC)
    assert sorted(Path(path).name for path in images.paths[: len(odd)]) == sorted(odd)


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="names that are not UTF-8 exist on Linux only")
def test_file_names_that_are_not_utf_8_are_read(make_folder: MakeFolder):
    root = make_folder(TWO)
    odd = os.fsencode(root / "cat") + b"/caf\xe9.png"
    Path(os.fsdecode(odd)).write_bytes((root / "cat/1.png").read_bytes())
    images = open_data(root).read("train", spec=SPEC)
    assert [os.fsencode(path) for path in images.paths if "caf" in path] == [odd]


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="names that are not UTF-8 exist on Linux only")
def test_a_class_name_that_is_not_utf_8_is_refused(make_folder: MakeFolder):
    root = make_folder(TWO)
    (root / "dog").rename(os.fsdecode(os.fsencode(root) + b"/d\xe9g"))
    with pytest.raises(DataError, match=r"is not UTF-8") as caught:
        open_data(root)
    assert "Rename the folder" in caught.value.remedy
    str(caught.value).encode()  # can be printed


def test_a_class_name_may_be_spelled_in_either_unicode_form(make_folder: MakeFolder):
    """é as one sign in the training split, as e and an accent in the other."""
    root = make_folder({"train/caf\u00e9/1.png": None, "train/tea/1.png": None, "val/cafe\u0301/1.png": None})
    source = open_data(root)
    assert source.class_counts("val") == {"caf\u00e9": 1, "tea": 0}


def test_two_spellings_of_one_class_are_refused(make_folder: MakeFolder):
    root = make_folder({"caf\u00e9/1.png": None, "tea/1.png": None})
    twin = root / "cafe\u0301"
    try:
        twin.mkdir()
    except FileExistsError:
        pytest.skip("this file system takes the two for one")
    with pytest.raises(DataError, match="two Unicode spellings"):
        open_data(root)


def test_many_classes_are_read_by_name(make_folder: MakeFolder, encode: Encode, picture: Pixels):
    small = encode(picture(2, 3))
    root = make_folder({f"{number}/1.png": small for number in range(300)})
    source = open_data(root)
    assert source.classes == tuple(sorted(map(str, range(300))))
    images = source.read("train", spec=SPEC)
    assert [source.classes[label] for label in images.labels] == [Path(path).parent.name for path in images.paths]


# ---- links and things that are no files


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_to_files_and_class_folders_are_followed_and_loops_end(make_folder: MakeFolder, tmp_path: Path):
    root = make_folder(TWO)
    elsewhere = make_folder({"1.png": None, "2.png": None}, root="elsewhere")
    (root / "cat/linked.png").symlink_to(elsewhere / "1.png")
    (root / "emu").symlink_to(elsewhere)
    (root / "cat/loop").symlink_to(root / "cat")
    (root / "dog/up").symlink_to(tmp_path)
    assert open_data(root).class_counts("train") == {"cat": 3, "dog": 1, "emu": 2}


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("kind", ["dangling", "loop", "folder", "fifo"])
def test_what_is_called_a_picture_and_is_none_is_named_and_does_not_block(kind: str, make_folder: MakeFolder):
    root = make_folder(TWO)
    path = root / "cat" / "x.jpg"
    if kind == "dangling":
        path.symlink_to(root / "nowhere.jpg")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()  # a folder in a class folder, whatever its name: its pictures belong to the class
        (path / "inside.png").write_bytes((root / "cat/1.png").read_bytes())
    else:
        os.mkfifo(path)
    outcome: list[Any] = []

    def attempt() -> None:
        try:
            outcome.append(open_data(root).class_counts("train"))
        except DataError as error:
            outcome.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    if kind == "folder":
        assert outcome == [{"cat": 3, "dog": 1}]
    else:
        assert isinstance(outcome[0], DataError) and str(path) in outcome[0].message
        assert open_data(root, skip_unreadable=True).class_counts("train") == {"cat": 2, "dog": 1}


def test_a_file_that_vanishes_after_opening_is_named(make_folder: MakeFolder):
    root = make_folder(TWO)
    source = open_data(root)
    (root / "cat/2.png").unlink()
    with pytest.raises(DataError, match="1 file cannot be read as pictures") as caught:
        source.read("train", spec=SPEC)
    assert str(root / "cat/2.png") in caught.value.message


# ---- damage


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_truncated_files_are_counted_named_and_can_be_left_out(kind: str, make_folder: MakeFolder, encode: Encode):
    """Cut at 20 places. What has a header passes when the folder is opened, and is found when it is read; nothing is written to."""
    data = encode(
        np.random.default_rng(1).integers(0, 256, (160, 240, 3)).astype(np.uint8), kind
    )  # so large that the header is little of it
    ending = {"JPEG": "jpg", "PNG": "png"}[kind]
    cut = {f"cat/cut{part:02}.{ending}": data[: len(data) * part // 20] for part in range(20)}
    root = make_folder({**TWO, **cut})
    before = fingerprints(root)

    with pytest.raises(DataError, match=r"^1 file cannot be read as pictures") as caught:
        open_data(root)
    assert str(root / f"cat/cut00.{ending}") in caught.value.message
    assert "Remove or repair" in caught.value.remedy and "`skip_unreadable=True`" in caught.value.remedy

    source = open_data(root, skip_unreadable=True)
    assert source.class_counts("train") == {"cat": 2, "dog": 1}
    assert len(source.read("train", spec=SPEC)) == 3
    (note,) = source.notes
    assert note.startswith("20 files unreadable and left out: ") and note.endswith(f"cut04.{ending} and 15 more")
    assert fingerprints(root) == before

    (root / f"cat/cut00.{ending}").unlink()
    source = open_data(root)
    with pytest.raises(DataError, match=r"^19 files cannot be read as pictures") as caught:
        source.read("train", spec=SPEC)
    assert f"cut05.{ending} and 14 more (" in caught.value.message
    assert caught.value.exit_code == 3


def test_a_class_that_loses_all_its_pictures_is_named(make_folder: MakeFolder):
    root = make_folder({**TWO, "emu/1.png": b"", "emu/2.png": b"gone"})
    with pytest.raises(DataError, match="no pictures are left of class 'emu'"):
        open_data(root, skip_unreadable=True)


def test_an_unreadable_file_in_another_split_is_named_too(make_folder: MakeFolder):
    root = make_folder({**{f"train/{name}": None for name in TWO}, "val/cat/bad.png": b"no"})
    with pytest.raises(DataError, match=r"val/cat/bad\.png"):
        open_data(root)


# ---- folders that cannot be used


def error_of(root: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        open_data(root)
    assert caught.value.exit_code == 3
    return caught.value


def test_a_folder_without_pictures_says_where_they_belong(make_folder: MakeFolder, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    error = error_of(tmp_path / "empty")
    assert error.message == f"{tmp_path / 'empty'}: no pictures"
    assert "CLASS/" in error.remedy and ".jpg" in error.remedy

    error = error_of(make_folder({"1.png": None, "2.png": None}))
    assert "no pictures in class folders; 2 are outside" in error.message


def test_one_class_is_refused(make_folder: MakeFolder):
    error = error_of(make_folder({"cat/1.png": None}))
    assert "at least two classes, got only 'cat'" in error.message
    assert "Add a folder" in error.remedy


def test_an_empty_class_is_named(make_folder: MakeFolder):
    root = make_folder(TWO)
    (root / "emu").mkdir()
    error = error_of(root)
    assert "no pictures of class 'emu'" in error.message and error.remedy == "Add pictures, or remove the folder."


def test_a_class_that_the_training_split_has_not_is_listed(make_folder: MakeFolder):
    root = make_folder(
        {"train/cat/1.png": None, "train/dog/1.png": None, "val/cat/1.png": None, "val/Dog/1.png": None, "val/emu/1.png": None}
    )
    error = error_of(root)
    assert error.message == f"{root / 'val'}: class 'Dog', 'emu' is not in the training split"
    assert "Known: cat, dog" in error.remedy


def test_two_folders_for_one_split_are_refused(make_folder: MakeFolder):
    root = make_folder({f"{split}/{name}/1.png": None for split in ("train", "val", "valid") for name in ("cat", "dog")})
    assert "both val/ and valid/ are a val split" in error_of(root).message


def test_splits_without_a_training_split_are_refused(make_folder: MakeFolder):
    root = make_folder({f"{split}/{name}/1.png": None for split in ("test", "val") for name in ("cat", "dog")})
    error = error_of(root)
    assert "test/, val/ but no train/" in error.message and "train" in error.remedy


def test_a_split_that_is_not_there_is_said(make_folder: MakeFolder):
    with pytest.raises(DataError, match="photos has no test split; it has train"):
        open_data(make_folder(TWO)).read("test")


# ---- the pictures of a folder, and real ones


def test_picture_files_are_in_the_order_of_their_names(make_folder: MakeFolder):
    root = make_folder({"b.png": None, "B.png": None, "a/z.jpg": None, "a.txt": b"", ".c.png": b""})
    assert [path.relative_to(root).as_posix() for path in picture_files(root)] == ["B.png", "a/z.jpg", "b.png"]


@pytest.mark.needs("flowers")
def test_real_photographs_are_read(data_dir: Path):
    """400 JPEGs of 5 classes, 80 each, of 171 sizes."""
    source = open_data(data_dir / "flowers")
    assert len(source.classes) == 5 and source.channels == 3 and source.image_size is None
    assert set(source.class_counts("train").values()) == {80}
    images = source.read("train", spec=ImageSpec(height=32, width=48, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3))
    assert images.images.shape == (400, 32, 48, 3)
    np.testing.assert_array_equal(
        images.images[123], decode_image(images.paths[123], ImageSpec(height=32, width=48, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3))
    )


def test_white_drawings_on_transparent_ground_are_put_on_black_and_it_is_said(tmp_path: Path):
    for name, colour in (("bar", 255), ("box", 0)):
        (tmp_path / name).mkdir()
        for index in range(3):
            pixels = np.zeros((6, 8, 4), np.uint8)
            pixels[1:5, 2 + index : 4 + index] = (colour, colour, colour, 255)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")

    source = open_data(tmp_path)

    words = "6 files with transparency: those drawn in white alone are placed on black, the others on white"
    assert source.notes == (words,)
    images = source.read("train").images
    assert images[0, 0, 0, 0] == 0 and images[0, 1, 2, 0] == 255  # a white bar on black
    assert images[3, 0, 0, 0] == 255 and images[3, 1, 2, 0] == 0  # a black one on white


@pytest.mark.parametrize("ending", ["gif", "tiff", "png", "webp"])
def test_pictures_with_several_frames_are_said(ending: str, tmp_path: Path):
    """Of an animation and of a scan of several pages the first is read; one frame is not spoken of."""
    frames = [Image.fromarray(np.full((8, 9, 3), 80 * k, np.uint8)) for k in range(3)]
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        frames[0].save(tmp_path / name / f"one.{ending}")
    frames[2].save(tmp_path / "cat" / f"many.{ending}", save_all=True, append_images=frames[:2])
    said: list[str] = []
    source = open_data(tmp_path, say=said.append)
    several = tmp_path / "cat" / f"many.{ending}"
    assert said == [f"1 file with several frames or pages, of which the first is read: {several}"]
    assert int(source.read("train").images[0].max()) == pytest.approx(160, abs=3)
