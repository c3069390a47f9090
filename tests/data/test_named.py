"""Named sets, read as they were published; damaged or foreign files are refused by name."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.core.errors import DataError, RefusedFileError, UnknownNameError
from striate.core.images import ImageSpec
from striate.data import published
from striate.data.named import CIFAR10, NAMED, is_present, open_named
from striate.data.published import read_idx
from striate.data.sources import open_data

IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
CIFAR_TRAIN = [f"data_batch_{number}" for number in range(1, 6)]


def idx(array: np.ndarray) -> bytes:
    """LeCun's format: two zeros, the type (8: bytes), the number of axes, each size in four bytes, the values."""
    return bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


def small_mnist() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, (12, 28, 28), dtype=np.uint8),
        np.arange(12, dtype=np.uint8) % 10,
        rng.integers(0, 256, (5, 28, 28), dtype=np.uint8),
        np.arange(5, dtype=np.uint8) * 2,
    ]


# ---- the published files


@pytest.mark.needs("MNIST/raw")
def test_mnist_has_its_published_counts(data_dir: Path):
    source = open_data("mnist", data_dir=data_dir)
    assert list(source.class_counts("train").values()) == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert list(source.class_counts("test").values()) == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert source.channels == 1 and source.image_size == (28, 28) and source.splits == ("train", "test")
    images = source.read("train")
    assert images.images.shape == (60_000, 28, 28, 1)
    assert images.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # the training set famously begins so
    assert images.paths[17] == "mnist/train/00017"
    assert round(images.images.mean() / 255, 4) == 0.1307 and round(images.images.std() / 255, 4) == 0.3081  # the figures everyone uses


@pytest.mark.needs("FashionMNIST/raw")
def test_fashion_mnist_has_its_published_counts(data_dir: Path):
    source = open_data("fashion_mnist", data_dir=data_dir)
    assert set(source.class_counts("train").values()) == {6000} and set(source.class_counts("test").values()) == {1000}
    images = source.read("test")
    assert [source.classes[label] for label in images.labels[:4]] == ["Ankle boot", "Pullover", "Trouser", "Trouser"]
    assert round(source.read("train").images.mean() / 255, 4) == 0.2860


@pytest.mark.needs("cifar-10-batches-py")
@pytest.mark.row("000-18")
def test_cifar10_gives_the_published_pixels_channel_by_channel(data_dir: Path):
    """Against the batch as pickle reads it: record 7, then 1,024 red, 1,024 green and 1,024 blue values, row by row."""
    source = open_data("cifar10", data_dir=data_dir)
    images = source.read("test")
    assert source.class_counts("test") == dict.fromkeys(CIFAR10, 1000)
    assert images.images.shape == (10_000, 32, 32, 3) and images.images.flags.c_contiguous

    batch = pickle.loads((data_dir / "cifar-10-batches-py/test_batch").read_bytes(), encoding="bytes")
    assert images.labels.tolist() == batch[b"labels"]
    record = batch[b"data"][7]
    for row, column, channel in ((0, 0, 0), (0, 31, 1), (31, 0, 2), (13, 5, 1)):
        assert images.images[7, row, column, channel] == record[1024 * channel + 32 * row + column]
    meta = pickle.loads((data_dir / "cifar-10-batches-py/batches.meta").read_bytes(), encoding="latin1")
    assert list(source.classes) == meta["label_names"]
    assert open_data("cifar10", data_dir=data_dir / "cifar-10-batches-py").num_images("test") == 10_000  # the folder itself


@pytest.mark.needs("cifar-10-batches-py")
@pytest.mark.row("000-18")
def test_cifar10_has_5000_training_pictures_of_each_class_in_the_order_of_its_batches(data_dir: Path):
    source = open_data("cifar10", data_dir=data_dir)
    images = source.read("train")
    assert source.class_counts("train") == dict.fromkeys(CIFAR10, 5000)
    for number in (1, 2, 5):
        counts = np.bincount(images.labels[10_000 * (number - 1) : 10_000 * number]).tolist()
        assert (
            counts
            == {
                1: [1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981],
                2: [984, 1007, 1010, 995, 1010, 988, 1008, 1026, 987, 985],
                5: [1014, 1014, 952, 1016, 997, 1025, 980, 977, 1003, 1022],
            }[number]
        )
    mean = images.images[::3].mean((0, 1, 2)) / 255
    assert np.abs(mean - (0.4914, 0.4822, 0.4465)).max() < 0.003  # the figures everyone uses


@pytest.mark.needs("cifar-10-batches-py")
def test_cifar10_is_read_out_of_its_archive(data_dir: Path, tmp_path: Path):
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz", compresslevel=1) as tar:
        for name in (*CIFAR_TRAIN, "test_batch"):
            tar.add(
                data_dir / "cifar-10-batches-py" / ("test_batch" if name == "test_batch" else "batches.meta"), f"cifar-10-batches-py/{name}"
            )
    source = open_data("cifar10", data_dir=tmp_path)
    expected = open_data("cifar10", data_dir=data_dir).read("test")
    np.testing.assert_array_equal(source.read("test").images, expected.images)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-python.tar.gz"]  # nothing is unpacked
    with pytest.raises(RefusedFileError, match=r"data_batch_1: not the batch that was published"):
        source.read("train")


def test_digits_are_scikit_learns_with_a_fixed_test_split():
    from sklearn.datasets import load_digits

    theirs = load_digits()
    source = open_data("digits")
    train, test = source.read("train"), source.read("test")
    assert (len(train), len(test)) == (NAMED["digits"].num_train, NAMED["digits"].num_test)
    assert len(train) + len(test) == 1797
    counts = np.bincount(theirs.target)
    assert np.bincount(test.labels).tolist() == [round(count / 5) for count in counts]
    together = np.concatenate([train.images, test.images])[..., 0]
    expected = np.rint(theirs.images * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, together)) == sorted(map(bytes, expected))
    np.testing.assert_array_equal(open_data("digits").read("test").images, test.images)


# ---- idx


@pytest.mark.parametrize("folder", ["MNIST/raw", "mnist", "MNIST"])
@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_read_packed_or_not_in_any_usual_folder(folder: str, packed: bool, tmp_path: Path):
    (tmp_path / folder).mkdir(parents=True)
    for name, array in zip(IDX_NAMES, small_mnist(), strict=True):
        path = tmp_path / folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    source = open_named("mnist", tmp_path)
    train_images, train_labels, test_images, test_labels = small_mnist()
    np.testing.assert_array_equal(source.read("train").images[..., 0], train_images)
    np.testing.assert_array_equal(source.read("train").labels, train_labels)
    np.testing.assert_array_equal(source.read("test").images[..., 0], test_images)
    np.testing.assert_array_equal(source.read("test").labels, test_labels)
    assert is_present("mnist", tmp_path)


def test_kmnist_is_read_from_its_arrays_too(tmp_path: Path):
    (tmp_path / "kmnist").mkdir()
    names = ("kmnist-train-imgs.npz", "kmnist-train-labels.npz", "kmnist-test-imgs.npz", "kmnist-test-labels.npz")
    for name, array in zip(names, small_mnist(), strict=True):
        np.savez_compressed(tmp_path / "kmnist" / name, array)
    np.testing.assert_array_equal(open_named("kmnist", tmp_path).read("test").images[..., 0], small_mnist()[2])


def test_pictures_of_28_become_32_by_padding(tmp_path: Path):
    """LeNet-5's input: two black lines all round, the pixels unscaled."""
    (tmp_path / "mnist").mkdir()
    for name, array in zip(IDX_NAMES, small_mnist(), strict=True):
        (tmp_path / "mnist" / name).write_bytes(idx(array))
    spec = ImageSpec(height=32, width=32, channels=1, mean=(0.5,), std=(0.5,), fit="pad")
    images = open_named("mnist", tmp_path).read("train", spec=spec).images
    np.testing.assert_array_equal(images[..., 0], np.pad(small_mnist()[0], ((0, 0), (2, 2), (2, 2))))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1], r"does not fit its shape"),
        (lambda data: data + b"x", r"does not fit its shape"),
        (lambda data: data[:9], r"not an idx file of uint8 with 3 axes"),
        (lambda data: b"", r"not an idx file"),
        (lambda data: b"\0\0\x0d" + data[3:], r"not an idx file of uint8"),  # floats
        (lambda data: b"\0\0\x08\x01" + data[4:], r"not an idx file of uint8 with 3 axes"),
        (lambda data: data[:4] + b"\xff\xff\xff\xff" * 3 + data[16:], r"does not fit its shape"),
        (lambda data: gzip.compress(data)[:-20], r"cannot be read"),
        (lambda data: gzip.compress(data)[:40] + b"\xff" * 200, r"cannot be read"),
        (lambda data: b"<html>404</html>", r"not an idx file"),
    ],
)
def test_a_damaged_idx_file_is_named(change: Any, words: str, tmp_path: Path):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(change(idx(small_mnist()[0])))
    with pytest.raises(DataError, match=words) as caught:
        read_idx(path, rank=3, most=10**6)
    assert caught.value.exit_code == 3 and str(path) in caught.value.message and "`download=True`" in caught.value.remedy


@pytest.mark.parametrize(
    ("place", "array", "words"),
    [
        (0, np.zeros((11, 28, 28), np.uint8), r"11 pictures and 12 labels"),
        (0, np.zeros((12, 32, 32), np.uint8), r"uint8 \(n, 28, 28, 1\), got uint8 \(12, 32, 32, 1\)"),
        (1, np.full(12, 10, np.uint8), r"labels must be 0 to 9, got 10 to 10"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(place: int, array: np.ndarray, words: str, tmp_path: Path):
    (tmp_path / "mnist").mkdir()
    arrays = small_mnist()
    arrays[place] = array
    for name, content in zip(IDX_NAMES, arrays, strict=True):
        (tmp_path / "mnist" / name).write_bytes(idx(content))
    with pytest.raises(DataError, match=words):
        open_named("mnist", tmp_path).read("train")


# ---- CIFAR and SVHN from small files, their checksums replaced


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifars_batches_are_joined_in_order(
    name: str, archive: bool, pickle_of_python_2: Callable[[Any], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    key = "labels" if name == "cifar10" else "fine_labels"
    train = CIFAR_TRAIN if name == "cifar10" else ["train"]
    test = "test_batch" if name == "cifar10" else "test"
    folder = NAMED[name].folders[0]
    pixels = [(np.arange(3 * 3072) * 7 + number).astype(np.uint8).reshape(3, 3072) for number in range(6)]
    files = {
        batch: pickle_of_python_2({"batch_label": batch, key: [number, 1, 9], "data": pixels[number], "filenames": ["a.png"] * 3})
        for number, batch in enumerate([*train, test])
    }
    if name == "cifar100":
        files["meta"] = pickle_of_python_2({"fine_label_names": [f"fine{k}" for k in range(100)], "coarse_label_names": ["x"]})
    monkeypatch.setattr(published, "CIFAR_BATCHES", {batch: hashlib.md5(content).hexdigest() for batch, content in files.items()})
    if archive:
        with tarfile.open(tmp_path / NAMED[name].files[0].name, "w:gz") as tar:
            for batch, content in files.items():
                entry = tarfile.TarInfo(f"{folder}/{batch}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    else:
        (tmp_path / folder).mkdir()
        for batch, content in files.items():
            (tmp_path / folder / batch).write_bytes(content)

    source = open_named(name, tmp_path)

    images = source.read("train")
    flat = images.images.transpose(0, 3, 1, 2).reshape(len(images), 3072)  # back to channel by channel
    np.testing.assert_array_equal(flat, np.concatenate(pixels[: len(train)]))
    assert images.labels.tolist() == [label for number in range(len(train)) for label in (number, 1, 9)]
    assert len(source.classes) == (10 if name == "cifar10" else 100) and source.classes[3] == ("cat" if name == "cifar10" else "fine3")
    assert source.num_images("test") == 3


def test_a_batch_that_is_not_the_published_one_is_refused_unread(tmp_path: Path):
    """A canary where a batch should be: its checksum is wrong, so that nothing looks into it."""
    canary = tmp_path / "canary"
    (tmp_path / "cifar-10-batches-py").mkdir()
    for batch in (*CIFAR_TRAIN, "test_batch"):
        (tmp_path / "cifar-10-batches-py" / batch).write_bytes(pickle.dumps(_Deed(canary)))
    source = open_named("cifar10", tmp_path)
    with pytest.raises(RefusedFileError, match=r"data_batch_1: not the batch that was published \(its MD5 differs\)") as caught:
        source.read("train")
    assert caught.value.exit_code == 7 and caught.value.remedy
    assert not canary.exists()


class _Deed:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("content", [b"", b"text", gzip.compress(b"text", mtime=0)])
def test_a_damaged_archive_is_named(content: bytes, tmp_path: Path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: (cannot be read|holds no)") as caught:
        open_named("cifar10", tmp_path).read("test")
    assert caught.value.remedy
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(content)
    assert not is_present("cifar100", tmp_path)


def test_links_and_paths_in_an_archive_lead_nowhere(tmp_path: Path):
    """A member that is a link to a file outside, and one that climbs out: neither is followed, nothing is written."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "cifar-10-python.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("cifar-10-batches-py/test_batch")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(link)
        climber = tarfile.TarInfo("../../climbed")
        climber.size = 4
        tar.addfile(climber, io.BytesIO(b"evil"))
    with pytest.raises(DataError, match="holds no test_batch"):
        open_named("cifar10", tmp_path / "in").read("test")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["cifar-10-python.tar.gz", "in", "secret"]


def test_svhns_matlab_files_are_read_with_10_for_the_digit_0(tmp_path: Path):
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (32, 32, 3, 5), dtype=np.uint8)
    y = np.array([[10], [1], [9], [10], [4]], np.uint8)
    for split in ("train", "test"):
        savemat(tmp_path / f"{split}_32x32.mat", {"X": X, "y": y}, do_compression=True)
    source = open_named("svhn", tmp_path)
    images = source.read("train")
    assert images.labels.tolist() == [0, 1, 9, 0, 4]
    np.testing.assert_array_equal(images.images[3], X[..., 3])

    (tmp_path / "train_32x32.mat").write_bytes((tmp_path / "train_32x32.mat").read_bytes()[:900])
    savemat(tmp_path / "test_32x32.mat", {"X": X.astype(float), "y": y})
    for split, words in (
        ("train", r"train_32x32\.mat: cannot be read"),
        ("test", r"test_32x32\.mat: X must be uint8 \(32, 32, 3, 5\), got float64"),
    ):
        with pytest.raises(DataError, match=words):
            open_named("svhn", tmp_path).read(split)
    savemat(tmp_path / "test_32x32.mat", {"X": X})
    with pytest.raises(DataError, match=r"holds no 'y'"):
        open_named("svhn", tmp_path).read("test")


# ---- what is not there


@pytest.mark.parametrize("name", [name for name in NAMED if name != "digits"])
def test_a_set_that_is_not_on_this_machine_says_what_was_looked_for_and_where(name: str, tmp_path: Path):
    with pytest.raises(DataError, match=f"{name} is not on this machine") as caught:
        open_named(name, tmp_path)
    for file in NAMED[name].files:
        assert file.name in caught.value.message
    assert str(tmp_path) in caught.value.message
    assert "`download=True`" in caught.value.remedy and "`data_dir`" in caught.value.remedy and "STRIATE_DATA" in caught.value.remedy
    assert not is_present(name, tmp_path)


def test_the_environment_names_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    with pytest.raises(DataError) as caught:
        open_data("mnist")
    assert str(tmp_path / "MNIST") in caught.value.message


def test_an_unknown_set_gives_the_nearest_names():
    with pytest.raises(UnknownNameError, match="unknown data set 'mnits'") as caught:
        open_named("mnits")
    assert "mnist" in caught.value.nearest


def test_the_table_of_sets_is_whole():
    """Sizes as published, https, an MD5 for every file."""
    assert list(NAMED) == ["digits", "mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100", "svhn"]
    for name, entry in NAMED.items():
        assert entry.about and entry.licence and "\n" not in entry.about
        assert entry.num_classes == (100 if name == "cifar100" else 10)
        if name != "digits":
            assert entry.url.startswith("https://") and entry.url.endswith("/")
            assert all(len(bytes.fromhex(file.md5)) == 16 for file in entry.files)
            assert len(entry.files) == {"svhn": 2, "cifar10": 1, "cifar100": 1}.get(name, 4)
    assert (NAMED["svhn"].num_train, NAMED["svhn"].num_test) == (73_257, 26_032)
