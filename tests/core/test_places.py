"""Places for output are looked at before the work."""

import os

import pytest

from striate.core.errors import EnvironmentFault, UsageError
from striate.core.places import check_file, check_folder, near


def test_a_file_that_can_be_written_is_taken(tmp_path):
    for name in ("a.png", "a.PNG", "a"):
        check_file(tmp_path / name, "plot", (".png",))
    check_file(tmp_path / "to" / "come" / "a.csv", "output", (".csv",), makes_folder=True)
    check_file(None, "plot", (".png",))
    check_folder(tmp_path / "to" / "come")
    check_folder(None)
    assert not list(tmp_path.iterdir())


def test_the_ending_says_the_format(tmp_path):
    with pytest.raises(UsageError) as error:
        check_file(tmp_path / "a.jpg", "plot", (".png",))
    assert error.value.message == f"`plot` {tmp_path}/a.jpg: must end in .png, got .jpg"
    assert error.value.remedy == f"Name it {tmp_path}/a.png; no other format is supported."
    with pytest.raises(UsageError, match=r"must end in .html or .htm, got .pdf"):
        check_file(tmp_path / "a.pdf", "output", (".html", ".htm"))


def test_a_missing_folder_is_told_by_its_flag(tmp_path):
    with pytest.raises(EnvironmentFault) as error:
        check_file(tmp_path / "gone" / "a.png", "plot", (".png",))
    assert error.value.message == f"`plot` {tmp_path}/gone/a.png: its folder does not exist"
    assert error.value.remedy == "Create it, or choose another `plot` file."


def test_a_folder_is_no_file_and_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentFault, match=r"`plot` .*: cannot write a file: this is a folder"):
        check_file(tmp_path, "plot", (".png",))
    for path in (tmp_path / "file", tmp_path / "file" / "in"):
        with pytest.raises(EnvironmentFault, match="file is not a folder\nChoose another `output`"):
            check_folder(path)
    with pytest.raises(EnvironmentFault, match="file is not a folder"):
        check_file(tmp_path / "file" / "a.csv", "output", (".csv",), makes_folder=True)


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(EnvironmentFault, match=r"`output` .*: cannot write: no permission in "):
        check_folder(tmp_path / "run")


def test_names_like_one_that_is_not_there_are_told_with_the_folder_that_is(tmp_path):
    for name in ("IMG_0001.jpg", "IMG_0002.jpg", "notes.txt"):
        (tmp_path / name).touch()
    assert near(tmp_path / "img_0001.jpeg", "Check.") == f"Did you mean {tmp_path / 'IMG_0001.jpg'} or {tmp_path / 'IMG_0002.jpg'}? Check."
    assert near(tmp_path / "quite another", "Check.") == "Check."
    assert near("\0", "Check.") == "Check."  # no name of a file
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    assert near(tmp_path / "fotos" / "cats") == f"Did you mean {tmp_path / 'photos' / 'cats'}?"
    assert near(tmp_path / "fotos" / "dogs") == f"Did you mean {tmp_path / 'photos'}?"  # the part of it that there is
