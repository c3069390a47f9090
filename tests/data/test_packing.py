"""Decoded pictures that would take too much memory lie in a file, from reading to batches, and leave nothing behind."""

from __future__ import annotations

import errno
import mmap
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.core.errors import DataError, EnvironmentFault
from striate.core.images import ImageSpec
from striate.data import packing
from striate.data.batches import Augmentation, Batches
from striate.data.packing import data_directory, room_for, take_rows
from striate.data.ranges import as_bytes
from striate.data.sources import open_data
from striate.data.splits import split_train_val

SPEC = ImageSpec(height=6, width=10, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3, fit="pad")


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine on which 400 bytes are more than a quarter of the memory; its data directory."""
    monkeypatch.setattr(packing, "memory_bytes", lambda: 1600)
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_a_quarter_of_the_memory_is_the_limit(little_memory: Path):
    assert not isinstance(room_for((20, 20)), np.memmap)
    assert isinstance(room_for((401,)), np.memmap)


def test_the_file_has_no_name_and_its_space_is_set_aside(little_memory: Path):
    packed = room_for((1 << 20,))
    packed[:] = 7
    assert list((little_memory / "packed").iterdir()) == []  # nothing to clean up, also after a crash
    assert packed[-1] == 7


def test_a_full_disk_is_said_before_anything_is_decoded(little_memory: Path, monkeypatch: pytest.MonkeyPatch):
    def full(descriptor: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(EnvironmentFault, match=r"packed.*no space left on the device.* and 9,000 bytes are needed") as caught:
        room_for((30, 300))
    assert "STRIATE_DATA" in caught.value.remedy


def test_a_folder_for_packed_pictures_that_cannot_be_made_is_named(little_memory: Path):
    little_memory.write_bytes(b"a file in the way")
    with pytest.raises(EnvironmentFault, match="packed/pictures: cannot write"):
        room_for((30, 300))


def test_rows_of_a_file_go_to_a_file(little_memory: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing, "ROWS_AT_A_TIME", 4)
    images = room_for((30, 3, 5, 2))
    images[:] = np.arange(30, dtype=np.uint8)[:, None, None, None]
    order = np.array([29, 3, 3, 17, 0, 8, 5, 11, 12, 13, 14, 15, 20, 21, 22])

    taken = take_rows(images, order)

    assert isinstance(taken.base, mmap.mmap)  # and not a copy in memory, which would call itself a memmap too
    assert np.array_equal(taken[:, 2, 4, 1], order)


def test_a_folder_read_into_a_file_gives_the_batches_that_memory_gives(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    folder = make_folder({f"{name}/{index}.png": None for name in ("cat", "dog") for index in range(9)})
    images = open_data(folder).read("train", spec=SPEC)
    monkeypatch.setattr(packing, "memory_bytes", lambda: 1600)
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "data"))
    packed = open_data(folder).read("train", spec=SPEC)

    assert isinstance(packed.images, np.memmap) and not isinstance(images.images, np.memmap)
    for one, other in zip(split_train_val(images, fraction=0.3), split_train_val(packed, fraction=0.3), strict=True):
        assert one.paths == other.paths
        augmentation = Augmentation(crop_padding=2, flip=True)
        batches, maps = (Batches(part, 4, seed=5, shuffle=True, augmentation=augmentation) for part in (one, other))
        for batch, expected in zip(maps.epoch(2), batches.epoch(2), strict=True):
            assert torch.equal(batch.images, expected.images) and torch.equal(batch.labels, expected.labels)


@pytest.mark.parametrize("shape", [(12, 17), (1, 1)])
def test_a_picture_that_changes_after_its_header_was_read_is_named(
    shape: tuple[int, int], make_folder: Callable[..., Path], encode: Callable[..., bytes]
):
    """Also one of a single pixel, which NumPy would spread over the whole row."""
    folder = make_folder({f"{name}/{index}.png": None for name in ("cat", "dog") for index in range(3)})
    source = open_data(folder)
    read = source.parts["train"]().images
    images, real = folder / "dog/1.png", packing.room_for

    def room_and_change(wanted: tuple[int, ...]) -> np.ndarray:
        images.write_bytes(encode(np.zeros((*shape, 3), np.uint8)))
        return real(wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("striate.data.folder.room_for", room_and_change)
        with pytest.raises(DataError, match=r"1\.png.*has changed since its header was read"):
            read(None)


def test_little_free_memory_is_the_limit_where_it_is_less_than_half_of_a_quarter(little_memory: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing, "free_memory_bytes", lambda: 200)
    assert not isinstance(room_for((100,)), np.memmap)
    assert isinstance(room_for((101,)), np.memmap)


def test_the_data_directory_is_the_argument_then_the_variable_then_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "here"))
    assert data_directory(tmp_path / "there") == tmp_path / "there"
    assert data_directory() == tmp_path / "here"
    monkeypatch.delenv("STRIATE_DATA")
    assert data_directory() == Path.home() / ".cache/striate/data"


def test_floats_become_bytes_without_a_second_array_of_floats():
    """By hand: 0, 0.5 and 1 of 255 are 0, 128 (127.5, to the even one) and 255. Above the bytes themselves, a part of them is held."""
    values = np.zeros((9000, 10, 10, 1))
    values[4000:], values[8000:] = 0.5, 1
    tracemalloc.start()
    whole = as_bytes(values, "X")
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert whole.dtype == np.uint8 and [int(whole[k].mean()) for k in (0, 3999, 4000, 7999, 8000, 8999)] == [0, 0, 128, 128, 255, 255]
    assert taken < values.nbytes * 0.6
