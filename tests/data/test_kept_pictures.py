"""Decoded pictures that are kept for the next time."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.errors import UsageError
from striate.core.images import ImageSpec
from striate.data import identities, kept
from striate.data.folder import decode_all
from striate.data.pieces import PictureFile

SPEC = ImageSpec(height=16, width=16, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Six files of noise; whatever is read is kept below `cache`, four pictures to a file."""
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "WORTH_KEEPING", 0)
    monkeypatch.setattr(kept, "PART", 4 * 16 * 16 * 3)
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        draw_noise(path, number)
    return paths


def draw_noise(path: Path, seed: int) -> None:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)


def read(paths: list[Path]) -> np.ndarray:
    return decode_all(paths, 3, SPEC)


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "pictures").glob("*/*.rows"))


def refuse_to_decode(*_: object, **__: object) -> None:
    raise AssertionError("a kept picture was decoded again")


def test_pictures_are_decoded_once(photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STRIATE_CACHE_SIZE", "0")
    expected = read(photos)
    assert not files(tmp_path)
    monkeypatch.delenv("STRIATE_CACHE_SIZE")

    first = read(photos)
    monkeypatch.setattr(kept, "decode_image", refuse_to_decode)
    photos[2].rename(photos[2].with_name("renamed.png"))
    photos[2] = photos[2].with_name("renamed.png")
    again = read([*reversed(photos), photos[3]])

    assert len(files(tmp_path)) == 2
    assert (first == expected).all() and (again == np.concatenate([expected[::-1], expected[3:4]])).all()


def test_a_file_that_was_decoded_is_not_hashed_again_for_its_identity(photos: list[Path], monkeypatch: pytest.MonkeyPatch):
    expected = identities.file_digests(photos)
    hashes: dict[PictureFile, bytes] = {}
    decode_all(photos, 3, SPEC, hashes=hashes)
    monkeypatch.setattr(identities, "_sha256", refuse_to_decode)

    assert identities.file_digests(photos, hashes) == expected


def test_a_changed_file_is_decoded_again(photos: list[Path]):
    before = read(photos)
    draw_noise(photos[1], 99)

    after = read(photos)

    assert (after[1] != before[1]).any() and (after[[0, 2, 3, 4, 5]] == before[[0, 2, 3, 4, 5]]).all()


def test_each_input_has_its_own(photos: list[Path], tmp_path: Path):
    read(photos)
    stretched = ImageSpec(height=16, width=16, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3, fit="stretch")

    assert (decode_all(photos, 3, stretched) != read(photos)).any()
    assert len({file.parent for file in files(tmp_path)}) == 2


@pytest.mark.parametrize("lost", [1, 32 + 16 * 16 * 3, 2 * (32 + 16 * 16 * 3)])
def test_a_file_cut_short_is_not_read(photos: list[Path], tmp_path: Path, lost: int):
    expected = read(photos)
    for file in files(tmp_path):
        os.truncate(file, file.stat().st_size - lost)

    assert (read(photos) == expected).all()


def test_the_files_used_longest_ago_make_room(photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    size = 4 * (16 * 16 * 3 + 32)
    monkeypatch.setenv("STRIATE_CACHE_SIZE", str(size / 2**30))
    read(photos[:4])
    (old,) = files(tmp_path)
    os.utime(old, (0, 0))

    read(photos[4:])

    assert not old.exists() and len(files(tmp_path)) == 1
    monkeypatch.setenv("STRIATE_CACHE_SIZE", str(100 / 2**30))
    expected = read(photos)
    assert not files(tmp_path)  # what is kept was more than the new limit, and a file of four is too
    assert (read(photos) == expected).all()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_changes_nothing(photos: list[Path], tmp_path: Path):
    (tmp_path / "cache").mkdir(mode=0o500)

    assert (read(photos) == read(photos)).all()


def test_a_cache_whose_place_is_a_file_changes_nothing(photos: list[Path], tmp_path: Path):
    (tmp_path / "cache").write_text("not a folder")

    assert (read(photos) == read(photos)).all()


@pytest.mark.parametrize("text", ["ten", "-1", "nan", "inf"])
def test_a_size_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STRIATE_CACHE_SIZE", text)
    with pytest.raises(UsageError, match=f"STRIATE_CACHE_SIZE must be a number of GiB, got '{text}'"):
        kept.cache_size()
