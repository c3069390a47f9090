"""The named data sets: what they are, the files they were published as, and where those lie."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from striate.core.errors import DataError, RefusedFileError, UnknownNameError
from striate.data.fitting import fit_images
from striate.data.packing import data_directory
from striate.data.pickled import MAX_BYTES, arrays_of_pickle
from striate.data.records import DataSource, Part
from striate.data.splits import held_out_places

DIGITS = tuple("0123456789")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


class PublishedFile(NamedTuple):
    """One file as its publisher offers it."""

    name: str
    md5: str


class NamedSet(NamedTuple):
    """A data set known by name."""

    about: str
    num_train: int
    num_test: int
    num_classes: int
    image_shape: tuple[int, int, int]  # (H, W, C)
    folders: tuple[str, ...]  # where its files may lie under the data directory
    url: str  # of the publisher's folder; empty where nothing is downloaded
    files: tuple[PublishedFile, ...]


def _idx_files(*md5s: str) -> tuple[PublishedFile, ...]:
    names = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
    return tuple(map(PublishedFile, names, md5s))


NAMED: dict[str, NamedSet] = {
    "digits": NamedSet("scanned digits, 8 x 8, of scikit-learn (embedded)", 1438, 359, 10, (8, 8, 1), (), "", ()),
    "mnist": NamedSet(
        "handwritten digits (LeCun, Cortes and Burges, 1998)",
        60_000,
        10_000,
        10,
        (28, 28, 1),
        ("MNIST/raw", "mnist", "MNIST"),
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        _idx_files(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
    "fashion_mnist": NamedSet(
        "articles of clothing (Xiao, Rasul and Vollgraf, 2017)",
        60_000,
        10_000,
        10,
        (28, 28, 1),
        ("FashionMNIST/raw", "fashion_mnist", "fashion-mnist", "FashionMNIST"),
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        _idx_files(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
    "kmnist": NamedSet(
        "cursive Japanese characters (Clanuwat et al., 2018)",
        60_000,
        10_000,
        10,
        (28, 28, 1),
        ("KMNIST/raw", "kmnist", "KMNIST"),
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        _idx_files(
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
    ),
    "cifar10": NamedSet(
        "small colour pictures (Krizhevsky, 2009)",
        50_000,
        10_000,
        10,
        (32, 32, 3),
        ("cifar-10-batches-py", "cifar10/cifar-10-batches-py", "cifar10", "."),
        "https://www.cs.toronto.edu/~kriz/",
        (PublishedFile("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),),
    ),
    "cifar100": NamedSet(
        "small colour pictures of 100 classes (Krizhevsky, 2009)",
        50_000,
        10_000,
        100,
        (32, 32, 3),
        ("cifar-100-python", "cifar100/cifar-100-python", "cifar100", "."),
        "https://www.cs.toronto.edu/~kriz/",
        (PublishedFile("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),),
    ),
    "svhn": NamedSet(
        "street view house numbers, cropped digits (Netzer et al., 2011)",
        73_257,
        26_032,
        10,
        (32, 32, 3),
        ("SVHN", "svhn", "."),
        "http://ufldl.stanford.edu/housenumbers/",
        (
            PublishedFile("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
            PublishedFile("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
        ),
    ),
}
CIFAR_BATCHES = {  # MD5 of each file inside the archives
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}


def is_present(name: str, data_dir: Path | None = None) -> bool:
    """Whether the files of a named set are on this machine."""
    try:
        open_named(name, data_dir)
    except DataError:
        return False
    return True


def open_named(name: str, data_dir: Path | None = None, *, download: bool = False, base_url: str | None = None) -> DataSource:
    """A named set, read from local files; fetched from its publisher first where `download` and it is missing.

    Raises:
        UnknownNameError: no such set.
        DataError: its files are not on this machine; says which were looked for and where.
    """
    if name not in NAMED:
        raise UnknownNameError("data set", name, NAMED, "`striate datasets` lists all; a folder is given by its path, such as ./photos.")
    if name == "digits":
        return _digits()
    directory = data_directory(data_dir)
    open_files: Callable[[str, Path], DataSource | None] = {"cifar10": _cifar, "cifar100": _cifar, "svhn": _svhn}.get(name, _idx)
    source = open_files(name, directory)
    if source is None and download:
        from striate.data.download import fetch

        folder = directory / NAMED[name].folders[0] if NAMED[name].folders[-1] != "." else directory
        for file in NAMED[name].files:
            fetch((base_url or NAMED[name].url) + file.name, folder / file.name, md5=file.md5)
        source = open_files(name, directory)
    if source is None:
        wanted = ", ".join(file.name for file in NAMED[name].files)
        places = ", ".join(str(directory / folder) for folder in NAMED[name].folders)
        raise DataError(
            f"{name} is not on this machine: looked for {wanted} in {places}",
            "Fetch it with --download, or name the folder that holds it with --data-dir or STRIATE_DATA.",
        )
    return source


def _source(name: str, classes: tuple[str, ...], load: Callable[[str], tuple[np.ndarray, np.ndarray]]) -> DataSource:
    """A source whose splits `load` reads: split -> (images (N, H, W, C) uint8, labels (N,))."""
    height, width, channels = NAMED[name].image_shape

    @cache
    def part(split: str) -> Part:
        images, labels = load(split)
        paths = tuple(f"{name}/{split}/{index:05d}" for index in range(len(labels)))
        return Part(labels.astype(np.int64), paths, partial(fit_images, images))

    return DataSource(name, classes, channels, (height, width), {split: partial(part, split) for split in ("train", "test")})


def _digits() -> DataSource:
    """scikit-learn's digits; the fifth of each class with the smallest hash is the test split."""

    @cache
    def everything() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]  # (1797, 8, 8, 1), from 0..16
        names = tuple(f"digits/{index:05d}" for index in range(len(images)))
        return images, bunch.target, held_out_places(bunch.target, names, DIGITS, fraction=0.2, seed=0)

    def load(split: str) -> tuple[np.ndarray, np.ndarray]:
        images, labels, is_test = everything()
        chosen = is_test if split == "test" else ~is_test
        return images[chosen], labels[chosen]

    return _source("digits", DIGITS, load)


def _idx(name: str, directory: Path) -> DataSource | None:
    """MNIST and its kin: four idx files, gzipped or not."""
    classes = {"mnist": DIGITS, "fashion_mnist": FASHION, "kmnist": KUZUSHIJI}[name]
    found: dict[str, Path] = {}
    for folder in NAMED[name].folders:
        for file in NAMED[name].files:
            plain = file.name.removesuffix(".gz")
            for path in (directory / folder / file.name, directory / folder / plain):
                if file.name not in found and path.is_file():
                    found[file.name] = path
    if len(found) < len(NAMED[name].files):
        return None
    train_images, train_labels, test_images, test_labels = (found[file.name] for file in NAMED[name].files)

    def load(split: str) -> tuple[np.ndarray, np.ndarray]:
        images, labels = (train_images, train_labels) if split == "train" else (test_images, test_labels)
        return read_idx(images, rank=3)[..., None], read_idx(labels, rank=1)

    return _source(name, classes, load)


def read_idx(path: Path, *, rank: int) -> np.ndarray:
    """The uint8 array of an idx file (LeCun's format), gzipped or not.

    Raises:
        DataError: cut short, not idx, or of another rank; names the file.
    """
    remedy = "Fetch the file again."
    try:
        data = path.read_bytes()
        if path.suffix == ".gz" or data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}", remedy) from None
    if len(data) < 4 + 4 * rank or data[:4] != bytes((0, 0, 8, rank)):
        raise DataError(f"{path}: not an idx file of uint8 with {rank} axes", remedy)
    shape = tuple(int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(rank))
    if len(data) != 4 + 4 * rank + int(np.prod(shape, dtype=np.int64)):
        raise DataError(f"{path}: has {len(data):,} bytes, which does not fit its shape {shape}", remedy)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def _cifar(name: str, directory: Path) -> DataSource | None:
    """CIFAR's python batches: a folder of them, or their tar.gz."""
    batches = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
    if name == "cifar100":
        batches = {"train": ["train"], "test": ["test"]}
    wanted = [batch for group in batches.values() for batch in group] + (["meta"] if name == "cifar100" else [])
    archive = NAMED[name].files[0].name
    for folder in (directory / folder for folder in NAMED[name].folders):
        read: Callable[[str], bytes] | None = None
        if all((folder / batch).is_file() for batch in wanted):
            read = partial(_bytes_in, folder)
        elif (folder / archive).is_file():
            read = partial(_member, folder / archive, tuple(wanted))
        if read is not None:
            return _cifar_source(name, read, batches, folder)
    return None


def _bytes_in(folder: Path, batch: str) -> bytes:
    return (folder / batch).read_bytes()


def _member(archive: Path, wanted: tuple[str, ...], batch: str) -> bytes:
    """One batch out of the archive, read without unpacking anything to disk."""
    batches = _members(archive, wanted)
    if batch not in batches:
        raise DataError(f"{archive}: holds no {batch}", "Fetch the archive again.")
    return batches[batch]


@cache
def _members(archive: Path, wanted: tuple[str, ...]) -> dict[str, bytes]:
    batches = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.rsplit("/", 1)[-1]
                file = tar.extractfile(member) if member.isfile() and name in wanted and member.size <= MAX_BYTES else None
                if file is not None:
                    batches[name] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{archive}: cannot be read: {error}", "Fetch the archive again.") from None
    return batches


def _cifar_source(name: str, read: Callable[[str], bytes], batches: dict[str, list[str]], folder: Path) -> DataSource:
    labels_key = b"labels" if name == "cifar10" else b"fine_labels"

    def content(batch: str) -> dict[str, object]:
        data = read(batch)
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != CIFAR_BATCHES[batch]:
            raise RefusedFileError(f"{folder / batch}: not the batch that was published (its MD5 differs)", "Fetch the data set again.")
        return arrays_of_pickle(data)

    def load(split: str) -> tuple[np.ndarray, np.ndarray]:
        parts = [content(batch) for batch in batches[split]]
        pixels = np.concatenate([np.asarray(part["data"]) for part in parts])  # (N, 3072), channel by channel
        labels = np.concatenate([np.asarray(part[labels_key.decode()]) for part in parts])
        return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels

    classes: tuple[str, ...] = CIFAR10
    if name == "cifar100":
        names = content("meta")["fine_label_names"]
        classes = tuple(text.decode() if isinstance(text, bytes) else str(text) for text in _items(names))
    return _source(name, classes, load)


def _items(value: object) -> Iterable[object]:
    if not isinstance(value, list | tuple):
        raise RefusedFileError("the class names of the batch are not a list")
    return value


def _svhn(name: str, directory: Path) -> DataSource | None:
    """SVHN's cropped digits: MATLAB files with X (32, 32, 3, N) and y (N, 1), in which 10 stands for the digit 0."""
    for folder in (directory / folder for folder in NAMED[name].folders):
        if all((folder / file.name).is_file() for file in NAMED[name].files):
            break
    else:
        return None

    def load(split: str) -> tuple[np.ndarray, np.ndarray]:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError

        path = folder / f"{split}_32x32.mat"
        try:
            content = loadmat(io.BytesIO(path.read_bytes()), variable_names=["X", "y"])
            images, labels = content["X"], content["y"].reshape(-1)
        except (OSError, ValueError, KeyError, TypeError, MatReadError) as error:
            raise DataError(f"{path}: cannot be read: {error}", "Fetch the file again.") from None
        if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)):
            raise DataError(
                f"{path}: X must be uint8 (32, 32, 3, {len(labels)}), got {images.dtype} {images.shape}", "Fetch the file again."
            )
        return np.ascontiguousarray(images.transpose(3, 0, 1, 2)), labels.astype(np.int64) % 10

    return _source(name, DIGITS, load)
