"""Arrays: a pair (X, y), and `.npz` files with Keras' keys; nothing in them is ever run."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.core.errors import DataError, RefusedFileError, UnknownNameError, UsageError
from striate.core.images import ImageSpec
from striate.data.arrays import as_images, as_labels
from striate.data.decode import fit_image
from striate.data.sources import open_data


def pictures(count: int, height: int = 5, width: int = 7, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


# ---- a pair of arrays


def test_a_pair_of_arrays_is_a_training_split():
    X, y = pictures(6), np.array([3, 1, 1, 7, 3, 3])
    source = open_data((X, y))
    images = source.read("train")
    assert source.classes == ("1", "3", "7") and source.splits == ("train",)
    assert source.channels == 3 and source.image_size == (5, 7)
    np.testing.assert_array_equal(images.images, X)
    assert images.labels.tolist() == [1, 0, 0, 2, 1, 1] and images.labels.dtype == np.int64
    assert source.class_counts("train") == {"1": 2, "3": 3, "7": 1}
    assert len(set(images.paths)) == 6


def test_grey_pictures_may_lack_their_channel_axis():
    X = pictures(4, channels=1)
    np.testing.assert_array_equal(open_data((X[..., 0], [0, 1, 0, 1])).read("train").images, X)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_from_0_to_1_become_the_nearest_of_256_values(dtype: Any):
    """k / 255 comes back as k for every k."""
    values = np.arange(256)
    X = (values / 255).astype(dtype).reshape(8, 4, 8)
    np.testing.assert_array_equal(as_images(X, "X")[..., 0], values.reshape(8, 4, 8))
    assert as_images(np.array([[[0.5019, 0.5021]]]), "X").ravel().tolist() == [128, 128]  # 127.98 and 128.04


@pytest.mark.parametrize(
    "y", [["b", "a", "b", "c"], np.array(["b", "a", "b", "c"], object), np.array([[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
          np.array([[0.0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]), np.array([[5], [2], [5], [9]], np.int8),
          np.array([5, 2, 5, 9], np.uint16)]
)  # fmt: skip
def test_labels_are_numbers_text_or_one_hot_rows(y: Any):
    assert open_data((pictures(4), y)).read("train").labels.tolist() == [1, 0, 1, 2]


def test_numbers_are_ordered_as_numbers():
    assert open_data((pictures(4), [10, 9, 2, 100])).classes == ("2", "9", "10", "100")


def test_yes_and_no_are_two_classes():
    source = open_data((pictures(3), np.array([True, False, True])))
    assert source.classes == ("False", "True") and source.read("train").labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.zeros((4, 35), np.uint8), r"pictures \(n, h, w\) or \(n, h, w, c\), got shape \(4, 35\)"),
        (np.zeros((0, 5, 7), np.uint8), r"got shape \(0, 5, 7\)"),
        (np.zeros((4, 5, 0), np.uint8), r"got shape \(4, 5, 0\)"),
        (np.zeros((2, 2, 2, 5, 7, 3), np.uint8), r"got shape"),
        (np.full((4, 5, 7), 256, np.int64), r"uint8, or floats in \[0, 1\], got int64"),
        (np.full((4, 5, 7), 256, np.uint16), r"got uint16"),
        (np.zeros((4, 5, 7), complex), r"got complex128"),
        (np.full((4, 5, 7), 255.0), r"got floats from 255 to 255"),
        (np.full((4, 5, 7), -0.1), r"got floats from -0.1 to -0.1"),
        (np.where(np.arange(4)[:, None, None] % 3, np.full((4, 5, 7), 0.5), np.nan), r"X holds NaN or Inf in 2 of 4 pictures"),
        (np.array([[[None, 1]]] * 4, object), r"got object"),
        ([np.zeros((5, 7)), np.zeros((6, 7)), np.zeros((5, 7)), np.zeros((5, 7))], r"X is not one array: its items differ in shape"),
        ("four", r"got shape"),
    ],
)  # fmt: skip
def test_what_is_no_array_of_pictures_is_refused(X: Any, words: str):
    with pytest.raises(DataError, match=words) as caught:
        open_data((X, [0, 1, 0, 1]))
    assert caught.value.exit_code == 3
    assert "x_train" in caught.value.message or "X" in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([0, 1, 0], r"has 3 labels for 4 pictures"),
        ([0.5, 1.5, 0.5, 1.5], r"one whole number or one string per picture"),
        (np.zeros((4, 3)), r"one whole number or one string per picture"),
        (np.array([[1, 1], [0, 1], [1, 0], [1, 0]]), r"one whole number or one string per picture"),
        ([[0], [1, 2], [0], [1]], r"is not one array: its items differ in shape"),
        ([None, 1, 0, 1], r"no label \(None or NaN\) for 1 of 4 pictures"),
        (7, r"one whole number or one string per picture"),
    ],
)  # fmt: skip
def test_what_is_not_one_label_a_picture_is_refused(y: Any, words: str):
    with pytest.raises(DataError, match=words) as caught:
        as_labels(y, 4, "y")
    assert caught.value.message.startswith("y ") and caught.value.remedy


def test_one_class_is_refused():
    with pytest.raises(DataError, match="at least two classes, got only '3'"):
        open_data((pictures(4), [3, 3, 3, 3]))


def test_arrays_are_fitted_picture_by_picture_as_files_are():
    X = pictures(5)
    spec = ImageSpec(height=9, width=4, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3, fit="crop")
    images = open_data((X, [0, 1, 0, 1, 1])).read("train", spec=spec).images
    np.testing.assert_array_equal(images, np.stack([fit_image(x, spec) for x in X]))


def test_the_users_array_is_never_written_to():
    X = pictures(6)
    X.flags.writeable = False
    images = open_data((X, [0, 1] * 3)).read("train")
    np.testing.assert_array_equal(images.take([4, 2]).images, X[[4, 2]])


# ---- .npz


def test_an_npz_file_with_keras_keys_has_up_to_three_splits(tmp_path: Path):
    X = pictures(9)
    path = npz(
        tmp_path / "shapes.npz",
        x_train=X[:4],
        y_train=[0, 1, 2, 1],
        x_test=X[4:6],
        y_test=[2, 0],
        x_val=X[6:] / 255,
        y_val=[1, 1, 0],
        more=[1],
    )
    source = open_data(str(path))
    assert source.name == "shapes" and source.splits == ("train", "val", "test") and source.classes == ("0", "1", "2")
    np.testing.assert_array_equal(source.read("val").images, X[6:])
    np.testing.assert_array_equal(source.read("test").images, X[4:6])
    assert source.read("test").labels.tolist() == [2, 0]


def test_a_compressed_file_and_an_ending_in_capitals_are_read(tmp_path: Path):
    np.savez_compressed(tmp_path / "a.npz", x_train=pictures(2), y_train=["u", "v"])
    (tmp_path / "a.npz").rename(tmp_path / "A.NPZ")
    assert open_data(tmp_path / "A.NPZ").classes == ("u", "v")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x_train": pictures(2)}, r"has no y_train; it holds x_train"),
        ({"images": pictures(2), "labels": [0, 1]}, r"has no x_train and no y_train; it holds .*"),
        ({}, r"has no x_train and no y_train; it holds nothing"),
        ({"x_train": pictures(2), "y_train": [0, 1], "x_test": pictures(2)}, r"x_test and y_test must come together"),
        ({"x_train": pictures(2), "y_train": [0, 1], "y_val": [0]}, r"x_val and y_val must come together"),
        (
            {"x_train": pictures(2), "y_train": [0, 1], "x_val": pictures(1), "y_val": [2]},
            r"y_val has class '2', which the training labels do not have",
        ),
        (
            {"x_train": pictures(2), "y_train": [0, 1], "x_val": pictures(1), "y_val": ["a"]},
            r"y_val has class 'a', which the training labels do not have",
        ),
        ({"x_train": pictures(2), "y_train": [0, 1], "x_test": pictures(1, channels=1), "y_test": [0]}, r"number of channels"),
        ({"x_train": pictures(2), "y_train": [0]}, r"y_train has 1 labels? for 2 pictures"),
        ({"x_train": pictures(2).astype(int) + 256, "y_train": [0, 1]}, r"x_train must be uint8"),
    ],
)
def test_what_an_npz_file_lacks_is_said_by_its_key(arrays: dict[str, Any], words: str, tmp_path: Path):
    path = npz(tmp_path / "data.npz", **arrays)
    with pytest.raises(DataError, match=words) as caught:
        open_data(path)
    assert caught.value.exit_code == 3 and caught.value.message.startswith(f"{path}: ") and caught.value.remedy


def test_labels_of_another_split_are_matched_by_name(tmp_path: Path):
    """Numbers in one split, the same as text in another."""
    path = npz(tmp_path / "a.npz", x_train=pictures(3), y_train=[10, 9, 2], x_test=pictures(3), y_test=["2", "10", "9"])
    assert open_data(path).read("test").labels.tolist() == [0, 2, 1]


class Canary:
    """Touches a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def test_python_objects_are_refused_and_never_unpickled(tmp_path: Path):
    canary = tmp_path / "canary"
    objects = np.array([Canary(canary), Canary(canary)], dtype=object)
    path = npz(tmp_path / "a.npz", x_train=pictures(2), y_train=objects)
    with pytest.raises(RefusedFileError, match="holds Python objects") as caught:
        open_data(path)
    assert caught.value.exit_code == 7 and str(path) in caught.value.message and caught.value.remedy

    path.write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(DataError, match=r"a\.npz: cannot be read as \.npz"):
        open_data(path)
    assert not canary.exists()


def test_damaged_files_are_named(tmp_path: Path):
    whole = npz(tmp_path / "whole.npz", x_train=pictures(20), y_train=[0, 1] * 10).read_bytes()
    path = tmp_path / "cut.npz"
    for part in range(20):
        path.write_bytes(whole[: len(whole) * part // 20])
        with pytest.raises(DataError, match=r"cut\.npz: cannot be read") as caught:
            open_data(path)
        assert caught.value.remedy
    changed = bytearray(whole)
    changed[400] ^= 1  # inside the pixels: the archive's checksum tells
    path.write_bytes(changed)
    with pytest.raises(DataError, match=r"cut\.npz: cannot be read"):
        open_data(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>404</html>"])
def test_what_is_no_npz_file_is_named(content: bytes, tmp_path: Path):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz: cannot be read as \.npz"):
        open_data(path)


def test_a_single_array_and_a_zip_of_text_are_named(tmp_path: Path):
    path = tmp_path / "a.npz"
    with path.open("wb") as file:
        np.save(file, pictures(2))
    with pytest.raises(DataError, match=r"a\.npz: cannot be read as \.npz: not a complete archive"):
        open_data(path)

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", b"text")
        archive.writestr("y_train.npy", b"text")
    with pytest.raises(DataError, match=r"a\.npz: cannot be read as \.npz: x_train, y_train is not an array"):
        open_data(path)


def test_a_header_that_claims_more_than_there_is_is_refused(tmp_path: Path):
    """300 TB in 200 bytes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (10**11, 32, 32, 3)})
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", file.getvalue() + b"\0" * 50)
        archive.writestr("y_train.npy", b"")
    with pytest.raises(DataError, match=r"a\.npz: cannot be read"):
        open_data(path)


# ---- what opens


def test_a_name_that_is_nothing_gives_the_nearest_names():
    with pytest.raises(UnknownNameError, match="unknown data set 'cifra10'") as caught:
        open_data("cifra10")
    assert caught.value.exit_code == 2
    assert "Did you mean cifar10" in caught.value.remedy and "./photos" in caught.value.remedy


@pytest.mark.parametrize("path", ["./photos", "no/such/folder", "missing.npz", "x\0y/z"])
def test_a_path_that_is_nothing_is_named(path: str):
    with pytest.raises(DataError, match="no such folder or file") as caught:
        open_data(path)
    assert caught.value.exit_code == 3 and caught.value.remedy


def test_a_pipe_in_place_of_data_is_not_said_to_be_missing(tmp_path: Path):
    os.mkfifo(tmp_path / "digits.npz")
    with pytest.raises(DataError, match=r"digits\.npz: neither a folder nor a plain file"):
        open_data(tmp_path / "digits.npz")


def test_a_path_that_is_too_long_is_named():
    with pytest.raises(DataError, match="a/b: cannot be opened: File name too long"):
        open_data("a" * 5000 + "/b")


def test_a_file_that_is_no_data_set_is_named(tmp_path: Path):
    path = tmp_path / "labels.json"
    path.write_text("{}")
    with pytest.raises(DataError, match=r"labels\.json: a data file must be one of \.csv .* \.npz, got \.json") as caught:
        open_data(path)
    assert "named set" in caught.value.remedy


@pytest.mark.parametrize("data", [7, None, [1, 2], (1, 2, 3), {"x": 1}])
def test_other_things_are_no_data(data: Any):
    with pytest.raises(UsageError, match=r"a name, a path, or a pair of arrays \(X, y\), got"):
        open_data(data)


def test_too_little_memory_for_whole_arrays_is_not_laid_to_the_file(tmp_path, monkeypatch):
    np.savez(tmp_path / "data.npz", x_train=np.zeros((9, 5, 7), np.uint8), y_train=np.arange(9) % 2)

    def fail(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 315 bytes")

    monkeypatch.setattr(np, "load", fail)

    with pytest.raises(MemoryError):
        open_data(tmp_path / "data.npz")


# ---- what each refusal advises gives the right pictures


def followed(X: np.ndarray, remedy: str) -> np.ndarray:
    """X after the line of Python that the remedy ends in."""
    return np.asarray(eval(remedy.partition("X = ")[2], {"X": X}))


RAMP = np.arange(256).reshape(4, 8, 8)  # each of 256 grey values once


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (RAMP.astype(np.uint16) * 257, RAMP),  # 16 bits
        (RAMP.astype(np.int32) * 257, RAMP),
        (np.rint(RAMP * 4095 / 255).astype(np.uint16), RAMP),  # 12 bits
        (RAMP / 127.5 - 1, RAMP),
        ((RAMP / 127.5 - 1).astype(np.float32), RAMP),
        ((RAMP - 128).astype(np.int8), RAMP),
        (RAMP.astype(np.float64), RAMP),
        (RAMP.astype(np.float32) * 257, RAMP),
        (np.minimum(RAMP, 16).astype(float), np.rint(np.minimum(RAMP, 16) * 255 / 16)),  # scikit-learn's digits
        ((RAMP * 10 - 1000).astype(np.int16), RAMP),  # Hounsfield units
        (RAMP / 255 * 1.02 - 0.01, np.rint((RAMP * 1.02 - 2.55).clip(0, 255))),  # sharpened
        ((RAMP + 1000).astype(np.uint16), RAMP),  # a narrow band of 16 bits
        ((RAMP - RAMP.mean()) / RAMP.std(), RAMP),  # standardized
    ],
)
def test_following_the_remedy_for_a_range_gives_the_right_pictures(X: np.ndarray, expected: np.ndarray):
    with pytest.raises(DataError, match=r"X must be uint8, or floats in \[0, 1\], got ") as caught:
        as_images(X, "X")
    found = as_images(followed(X, caught.value.remedy), "X")[..., 0].astype(int)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint16, np.uint32])
def test_whole_numbers_that_fit_into_8_bits_are_taken_as_they_are(dtype: Any):
    np.testing.assert_array_equal(as_images(RAMP.astype(dtype), "X")[..., 0], RAMP)


def test_yes_and_no_become_white_and_black():
    assert as_images(np.array([[[True, False]]]), "X").ravel().tolist() == [255, 0]


def test_floats_that_leave_the_range_by_rounding_are_taken():
    assert as_images(np.array([[[-1e-7, 1 + 1e-7, 0.5019]]]), "X").ravel().tolist() == [0, 255, 128]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels_that_come_first_are_refused_and_the_remedy_moves_them(channels: int):
    X = np.random.default_rng(0).integers(0, 256, (5, channels, 9, 8), dtype=np.uint8)
    with pytest.raises(DataError, match=r"looks like \(n, c, h, w\)") as caught:
        as_images(X, "X")
    moved = eval(caught.value.remedy.removeprefix("Move the channels last: ").rstrip("."), {"X": X})
    np.testing.assert_array_equal(as_images(moved, "X")[:, 2, 3], X[:, :, 2, 3])


def test_more_channels_than_pictures_have_are_said():
    X = np.random.default_rng(0).integers(0, 256, (6, 16, 8, 8), dtype=np.uint8)
    (note,) = open_data((X, [0, 1] * 3)).notes
    assert note.startswith("arrays: X: read as pictures of 16 x 8 with 8 channels; if it is (n, c, h, w)")


@pytest.mark.parametrize(("values", "shape"), [(64, (8, 8, 1)), (3072, (32, 32, 3))])
def test_flat_rows_are_told_how_to_become_pictures(values: int, shape: tuple[int, ...]):
    X = np.random.default_rng(0).integers(0, 256, (5, values), dtype=np.uint8)
    with pytest.raises(DataError, match=r"got shape \(5, ") as caught:
        as_images(X, "X")
    line = caught.value.remedy.partition(": ")[2].partition(", or ")[0].rstrip(".")
    assert as_images(eval(line, {"X": X}), "X").shape == (5, *shape)


def test_pictures_and_labels_in_the_wrong_order_are_recognised():
    with pytest.raises(DataError) as caught:
        open_data(([0, 1, 0, 1], pictures(4)))
    assert caught.value.remedy == "Give the pictures first and the labels second: (X, y)."


def test_a_split_without_pictures_is_left_out_and_said(tmp_path: Path):
    X, y = pictures(4), np.array([0, 1, 0, 1])
    source = open_data(npz(tmp_path / "a.npz", x_train=X, y_train=y, x_test=X[:0], y_test=y[:0]))
    assert source.splits == ("train",) and source.notes == ("a: x_test holds no pictures: the data has no test split",)
    with pytest.raises(DataError, match=r"x_train must be pictures .* got shape \(0, 5, 7, 3\)"):
        open_data(npz(tmp_path / "b.npz", x_train=X[:0], y_train=y[:0]))


# ---- labels that have been somewhere else before


@pytest.mark.parametrize(
    "y", [np.array([b"cat", b"cow", b"cat", b"dog"]), np.array([b"cat", b"cow", b"cat", b"dog"], object),
          np.array([0.0, 1.0, 0.0, 2.0]), np.array([1, 2, 1, 3], object), np.array([1.0, 2.0, 1.0, 3.0], object)]
)  # fmt: skip
def test_labels_lose_their_wrapping(y: Any):
    labels = as_labels(y, 4, "y")
    assert labels.dtype.kind in "iU" and np.unique(labels, return_inverse=True)[1].tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("y", [np.array([0.0, 1, 2] * 5), np.array([[3.0], [7], [9]] * 5), np.array([-1.0, 1.0, 1.0] * 5)])
def test_whole_floats_with_few_values_are_classes_and_it_is_said(y: np.ndarray):
    source = open_data((pictures(15), y))
    assert source.task == "classify" and source.classes == tuple(str(int(value)) for value in np.unique(y))
    (note,) = source.notes
    assert "are read as classes; to estimate them, `task='regression'`" in note
    asked = open_data((pictures(15), y), task="regression")
    assert asked.task == "regression" and asked.notes == ()


@pytest.mark.parametrize("y", [np.arange(15) / 7, np.arange(15.0), np.tile([0.5, 1.0, 2.0], 5)])
def test_other_floats_are_numbers_and_it_is_said(y: np.ndarray):
    source = open_data((pictures(15), y))
    assert source.task == "regression" and "read as numbers to estimate (regression)" in source.notes[0]


def test_a_missing_label_is_counted():
    y = np.array([0.0, 1, np.nan] + [0, 1, 1] * 4)
    with pytest.raises(DataError, match=r"arrays: y has no label \(NaN\) for 1 of 15 pictures"):
        open_data((pictures(15), y))


def test_one_hot_rows_without_a_class_are_refused_and_each_remedy_works():
    y = np.eye(3, dtype=int)[np.arange(12) % 3]
    y[[2, 7]] = 0
    with pytest.raises(DataError, match=r"one-hot rows of 3 classes, but 2 of its 12 rows are all 0: no class") as caught:
        open_data((pictures(12), y))
    assert "`task='multilabel'`" in caught.value.remedy
    assert open_data((pictures(12), y), task="multilabel").task == "multilabel"
    assert open_data((pictures(12), np.column_stack([y, y.sum(1) == 0]))).classes == ("0", "1", "2", "3")


def test_minus_one_is_said_to_be_a_class_where_others_start_at_zero():
    assert "-1 is read as a separate class" in open_data((pictures(6), [-1, 0, 1] * 2)).notes[0]
    assert open_data((pictures(6), [-1, 1] * 3)).notes == ()
    assert open_data((pictures(6), [1, 2, 3] * 2)).notes == ()


def test_numbers_are_not_cut_to_be_classes():
    with pytest.raises(DataError) as caught:
        as_labels([0.5, 1.5, 0.5, 1.5], 4, "y")
    assert "`task='regression'`" in caught.value.remedy and "astype" not in caught.value.remedy


# ---- what would be lost or mistaken without a word


@pytest.mark.parametrize("field", ["X", "y"])
def test_masked_values_are_refused(field: str):
    """NumPy drops a mask without a word: masked labels and pixels would count as if they were there."""
    given: dict[str, Any] = {"X": pictures(6), "y": np.arange(6) % 2}
    given[field] = np.ma.masked_array(given[field], given[field] == 1)
    with pytest.raises(DataError, match=rf"{field} is a masked array, and .* values are masked"):
        open_data((given["X"], given["y"]))
    with pytest.raises(DataError, match=r"y is a masked array"):
        open_data((pictures(6), np.ma.masked_array(np.linspace(0, 1, 6), [1, 0, 0, 0, 0, 0])), task="regression")
    assert open_data((pictures(6), np.ma.masked_array(np.arange(6) % 2))).classes == ("0", "1")  # nothing is masked


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (["cat", "", "dog", " \t"], r"y has no label \(an empty string\) for 2 of 4 pictures"),
        (["cat", None, "dog", "dog"], r"y has no label \(None or NaN\) for 1 of 4 pictures"),
        (["cat", float("nan"), "dog", "dog"], r"y has no label \(None or NaN\) for 1 of 4 pictures"),  # NumPy makes a text of it
        ([1, "cat", 2, "dog"], "y must be one whole number or one string per picture"),
    ],
)
def test_a_label_that_is_not_there_is_no_class(y: Any, words: str):
    with pytest.raises(DataError, match=words):
        as_labels(y, 4, "y")


def test_classes_that_are_hardly_meant_are_said():
    said: list[str] = []
    open_data((pictures(6), np.array(["cat", np.nan, "Cat", "dog", "ca t", "dog"])), say=said.append)
    assert said == [
        "arrays: y: 'nan' is read as a separate class; leave those pictures out if they have no label",
        "arrays: y: class names that are nearly the same, each read as a separate class: 'Cat' and 'ca t' and 'cat'",
    ]


@pytest.mark.parametrize("shape", [(12, 1, 3, 3), (12, 3, 4, 4), (12, 4, 3, 3)])
def test_small_squares_whose_channels_come_first_are_refused(shape: tuple[int, ...]):
    X = np.zeros(shape, np.uint8)
    with pytest.raises(DataError, match=r"looks like \(n, c, h, w\)") as caught:
        as_images(X, "X")
    assert "X.transpose(0, 2, 3, 1)" in caught.value.remedy
    assert as_images(X.transpose(0, 2, 3, 1), "X").shape == (12, shape[2], shape[3], shape[1])


def test_a_last_axis_that_looks_like_channels_is_no_width():
    """Flattened colours (n, h w, 3), and one picture (h, w, 3), are not grey pictures 3 pixels wide; each remedy works."""
    flat = np.zeros((12, 64, 3), np.uint8)
    with pytest.raises(DataError, match="whose last axis looks like channels") as caught:
        as_images(flat, "X")
    remedy = "For flattened pictures, X.reshape(-1, 8, 8, 3); for a single one, X[None]; for grey ones of 64 x 3, X[..., None]"
    assert caught.value.remedy == f"{remedy}; for signals, train with `network='signal_cnn'`."
    shapes = [as_images(X, "X").shape for X in (flat.reshape(-1, 8, 8, 3), flat[None], flat[..., None])]
    assert shapes == [(12, 8, 8, 3), (1, 12, 64, 3), (12, 64, 3, 1)]
    with pytest.raises(DataError) as caught:
        as_images(np.zeros((12, 60, 3), np.uint8), "X")
    assert caught.value.remedy.startswith("For a single picture, X[None]; for grey ones of 60 x 3, X[..., None]; ")
