"""The pictures below a folder: content decides, links are followed once, and what is left out is counted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from striate.core.errors import DataError
from striate.data import listing
from striate.data.folder import readable_pictures
from striate.data.kinds import HAS, format_of
from striate.data.listing import pictures_below
from striate.data.omissions import LOOP, NO_PICTURE, NOWHERE, OF_OURS, OF_SYSTEMS, TWICE, Ledger
from striate.data.records import DataSource
from striate.data.sources import open_data

MakeFolder = Callable[..., Path]
TWO = {"cat/1.png": None, "cat/2.png": None, "dog/1.png": None}
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
JP2 = b"\0\0\0\x0cjP  " + bytes(40)
WITHOUT_HEIC = pytest.mark.skipif("HEIC" in HAS, reason="pillow-heif is installed")


def left_out(source: DataSource) -> dict[str, int]:
    return {omission.why: omission.count for omission in source.left_out}


def names(folder: Path) -> tuple[list[str], dict[str, list[str]]]:
    """The pictures below a folder, and what is left out, by their names below it."""
    ledger = Ledger()
    found = [path.relative_to(folder).as_posix() for path in pictures_below(folder, ledger)]
    return found, {why: [path.relative_to(folder).as_posix() for path in paths] for why, paths in ledger.paths.items()}


# ---- content


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF"])
def test_a_picture_without_an_ending_is_a_picture(
    kind: str, make_folder: MakeFolder, encode: Callable[..., bytes], picture: Callable[..., object]
):
    pytest.importorskip("PIL._avif") if kind == "AVIF" else None
    data = encode(picture(12, 16), kind)
    root = make_folder({**TWO, "cat/noending": data, "cat/IMG_1.HEIC": data, "dog/notes.txt": data})
    source = open_data(root)
    assert format_of(data[:32]) == kind
    assert source.class_counts("train") == {"cat": 4, "dog": 2} and source.read("train").images.shape == (6, 12, 16, 3)


@pytest.mark.parametrize(
    "text", [b"", b"P", b"BMW,5 doors", b"P1,P2\n3,4", b"PNG", b"\0\0\0\x18ftypisom", b"II*", b"\xff\xd8", b"RIFF\0\0\0\0WAVE", b"GIF88a"]
)
def test_text_and_other_files_are_no_pictures(text: bytes):
    assert format_of(text) is None


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        pytest.param("a.HEIC", HEIC, "HEIC", marks=WITHOUT_HEIC),
        ("a", JP2, "JPEG 2000"),
        ("a.jpg", JP2, "JPEG 2000"),
        ("a.nef", b"II*\0" + bytes(40), "a camera's raw format"),
        ("a.jxl", b"\xff\x0a" + bytes(40), "JPEG XL"),
        ("a.jp2", b"", "JPEG 2000"),
        ("a.svg", b"<svg/>", "SVG"),
    ],
)
def test_pictures_that_are_not_decoded_stop_or_are_left_out(name: str, content: bytes, kind: str, make_folder: MakeFolder):
    root = make_folder({**TWO, f"cat/{name}": content})
    with pytest.raises(DataError) as caught:
        open_data(root)
    assert caught.value.message == f"1 file cannot be read as pictures: {root / 'cat' / name} ({kind} pictures are not supported)"
    assert "onvert them to JPEG or PNG" in caught.value.remedy
    assert ("striate[heic]" in caught.value.remedy) == (kind == "HEIC")
    source = open_data(root, skip_unreadable=True)
    assert source.class_counts("train") == {"cat": 2, "dog": 1}
    assert source.notes == (f"1 file unreadable and left out: {root / 'cat' / name}",)


def test_a_class_of_another_format_says_so(make_folder: MakeFolder):
    root = make_folder({"cat/1.png": None, "dog/1.jp2": JP2, "dog/2.jp2": JP2})
    for skip in (False, True):
        with pytest.raises(DataError, match="JPEG 2000 pictures are not supported") as caught:
            open_data(root, skip_unreadable=skip)
        assert "Convert" in caught.value.remedy and caught.value.message.startswith("2 files cannot be read")


def test_the_reasons_of_several_files_are_told(make_folder: MakeFolder):
    root = make_folder({**TWO, "cat/a.jp2": JP2, "cat/b.png": b""})
    with pytest.raises(DataError, match=r"\(a\.jp2: JPEG 2000 pictures are not supported; b\.png: the file is empty\)"):
        open_data(root)


# ---- what systems and Striate leave


@pytest.mark.parametrize(
    "folder",
    ["@eaDir", ".@__thumb", ".AppleDouble", "#recycle", "$RECYCLE.BIN", "lost+found", "__MACOSX", ".ipynb_checkpoints", ".git", "@Recycle"],
)
def test_what_systems_keep_is_left_out_at_any_depth_and_counted(folder: str, make_folder: MakeFolder):
    files = [f"{folder}/1.png/THUMB.jpg", f"cat/{folder}/1.png/THUMB.jpg", f"cat/deep/{folder}/x.jpg", "cat/._1.png", "cat/Thumbs.db"]
    root = make_folder({**TWO, **dict.fromkeys(files)})
    source = open_data(root)
    assert source.class_counts("train") == {"cat": 2, "dog": 1} and left_out(source) == {OF_SYSTEMS: 4}
    assert names(root)[0] == ["cat/1.png", "cat/2.png", "dog/1.png"]


@pytest.mark.parametrize("place", ["runs/train/photos-lenet5-001", "cat/run", "mine"])
def test_runs_inside_the_data_are_no_class_and_no_pictures(place: str, make_folder: MakeFolder):
    run = {f"{place}/{name}": b"{}" for name in ("config.yaml", "network.json")}
    root = make_folder({**TWO, **run, f"{place}/report/curves.png": None})
    source = open_data(root)
    assert source.class_counts("train") == {"cat": 2, "dog": 1} and left_out(source) == {OF_OURS: 1}
    assert names(root)[0] == ["cat/1.png", "cat/2.png", "dog/1.png"]


@pytest.mark.parametrize(
    "files", [("explain.json", "index.html"), ("attack.json", "index.html"), ("measures.json", "confusion.png"), ("masks.json",)]
)
def test_reports_inside_the_data_are_no_class(files: tuple[str, ...], make_folder: MakeFolder):
    root = make_folder({**TWO, "answers/heat-maps.png": None, **{f"answers/{name}": b"{}" for name in files}})
    assert open_data(root).classes == ("cat", "dog")


def test_numbered_folders_below_runs_are_of_ours_whatever_they_hold(make_folder: MakeFolder):
    root = make_folder({**TWO, "runs/demo/digits-001/answers.png": None, "runs/profile/x-012/roofline.png": None})
    assert open_data(root).classes == ("cat", "dog")
    assert open_data(make_folder({**TWO, "runs/1.png": None}, root="other")).classes == ("cat", "dog", "runs")


# ---- links


@pytest.fixture
def store(make_folder: MakeFolder) -> Path:
    return make_folder({f"{name}/{number}.png": None for name in ("cat", "dog") for number in range(3)}, root="store")


def test_links_below_a_class_are_followed_as_those_of_classes_are(make_folder: MakeFolder, store: Path):
    root = make_folder({"cat/1.png": None, "dog/1.png": None})
    (root / "cat/more").symlink_to(store / "cat")
    (root / "emu").symlink_to(store / "dog")
    source = open_data(root)
    assert source.class_counts("train") == {"cat": 4, "dog": 1, "emu": 3}
    trained = [str(Path(path)) for path in source.read("train").paths]
    assert sorted(trained) == sorted(str(path) for path in readable_pictures([root], say=print))


def test_links_to_what_holds_them_or_was_read_are_not_followed(make_folder: MakeFolder, store: Path):
    root = make_folder(TWO)
    (root / "cat/self").symlink_to(root / "cat")
    (root / "cat/up").symlink_to(root.parent)
    (root / "cat/c.png").symlink_to(store / "cat/0.png")
    (root / "dog/a").symlink_to(store / "dog")
    (root / "dog/b").symlink_to(store / "dog")
    (root / "dog/gone").symlink_to(root / "x")
    (root / "dog/2.png").symlink_to(root / "dog/1.png")
    (store / "dog/back").symlink_to(store)
    source = open_data(root)
    assert source.class_counts("train") == {"cat": 3, "dog": 4}
    assert left_out(source) == {LOOP: 3, TWICE: 2, NOWHERE: 1}


def test_links_through_each_other_end(make_folder: MakeFolder):
    root = make_folder({"a/1.png": None, "b/2.png": None})
    (root / "a/to_b").symlink_to(root / "b")
    (root / "b/to_a").symlink_to(root / "a")
    found, left = names(root)
    assert found == ["a/1.png", "b/2.png"] and left == {TWICE: ["a/to_b", "b/to_a"]}


def test_one_folder_of_two_classes_stops(make_folder: MakeFolder, store: Path):
    root = make_folder(TWO)
    (root / "cat/more").symlink_to(store)
    (root / "dog/more").symlink_to(store / "dog")
    with pytest.raises(DataError, match="are the same folder, so its pictures would belong to two classes: dog, cat"):
        open_data(root)


def test_a_class_that_is_a_link_to_nowhere_stops_or_is_left_out(make_folder: MakeFolder):
    root = make_folder(TWO)
    (root / "emu").symlink_to(root / "gone")
    with pytest.raises(DataError, match="emu: a broken link"):
        open_data(root)
    assert open_data(root, skip_unreadable=True).classes == ("cat", "dog")


# ---- closed folders


@pytest.fixture
def closed(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of which cat/shut may not be entered, also for who may enter everything."""
    root = make_folder({**TWO, "cat/shut/3.png": None})
    scandir = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(listing.os, "scandir", refusing)
    return root


def test_a_closed_folder_stops_or_is_left_out(closed: Path):
    with pytest.raises(DataError, match=r"shut: cannot be listed: Permission denied") as caught:
        open_data(closed)
    assert "`skip_unreadable=True`" in caught.value.remedy
    source = open_data(closed, skip_unreadable=True)
    assert source.class_counts("train") == {"cat": 2, "dog": 1}
    assert source.notes == (f"1 folder that cannot be opened, left out: {closed / 'cat/shut'}",)


# ---- what a person names


def test_a_name_that_is_not_there_stops_also_where_the_unreadable_is_left_out(make_folder: MakeFolder):
    root = make_folder(TWO)
    for skip in (False, True):
        with pytest.raises(DataError, match=r"typo\.png: no such file or folder") as caught:
            readable_pictures([root, root / "typo.png"], skip_unreadable=skip, say=print)
        assert caught.value.exit_code == 3
    with pytest.raises(DataError, match="File name too long"):
        readable_pictures([root / ("x" * 300)], say=print)


def test_a_named_folder_without_pictures_is_said(make_folder: MakeFolder):
    root, said = make_folder({**TWO, "empty/a.txt": b"x", "cat/b.csv": b"1"}), []
    files = readable_pictures([root / "empty", root / "cat"], say=said.append)
    assert [path.name for path in files] == ["1.png", "2.png"]
    assert said == [f"{root / 'empty'}: no pictures", f"2 files ignored, no pictures: {root / 'cat/b.csv'}, {root / 'empty/a.txt'}"]
    with pytest.raises(DataError, match=r"empty: no pictures; 1 file ignored, no pictures: .*a\.txt"):
        readable_pictures([root / "empty"], say=said.append)


def test_a_named_picture_of_another_format_says_what_it_is(make_folder: MakeFolder):
    root, said = make_folder({**TWO, "x.jp2": JP2}), []
    with pytest.raises(DataError, match="JPEG 2000 pictures are not supported"):
        readable_pictures([root / "x.jp2"], say=said.append)
    files = readable_pictures([root / "x.jp2", root / "cat/1.png"], skip_unreadable=True, say=said.append)
    assert files == [root / "cat/1.png"] and said == [f"1 file unreadable and left out: {root / 'x.jp2'}"]


def test_all_that_is_no_picture_is_counted(make_folder: MakeFolder):
    root = make_folder({"a.png": None, "b.txt": b"x", "c/d.xml": b"<a/>", "c/e": b"", ".DS_Store": b"x"})
    assert names(root) == (["a.png"], {NO_PICTURE: ["b.txt", "c/d.xml", "c/e"]})
    shutil.rmtree(root / "c")
    assert names(root) == (["a.png"], {NO_PICTURE: ["b.txt"]})


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_another_user_may_leave_closed_folders_out(mode: int, make_folder: MakeFolder):
    """Asked in a child process of a user who has no rights: a folder that may not be entered, not be listed, or neither."""
    root = make_folder({**TWO, "cat/shut/3.png": None})
    (root / "cat/shut").chmod(mode)
    for path in root.parents:
        if path.owner() == "root" and path.name.startswith(("pytest-", "popen-", "test_")):
            path.chmod(0o755)
    child = os.fork()
    if not child:
        try:
            os.setuid(65534)
            stopped = False
            try:
                open_data(root)
            except DataError:
                stopped = True
            left = open_data(root, skip_unreadable=True)
            os._exit(0 if stopped and left.class_counts("train") == {"cat": 2, "dog": 1} and left.left_out else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
