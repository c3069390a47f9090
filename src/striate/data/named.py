"""The named data sets: what they are, the files they were published as, and where those lie."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from striate.core.errors import DataError, RefusedFileError, UnknownNameError
from striate.data.fitting import fit_images
from striate.data.identities import picture_digests
from striate.data.packing import data_directory
from striate.data.published import REMEDY, read_cifar, read_cifar_classes, read_idx, read_npz, read_svhn
from striate.data.records import DataSource, Part
from striate.data.splits import held_out_places

DIGITS = tuple("0123456789")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
KMNIST_ARRAYS = ("kmnist-train-imgs.npz", "kmnist-train-labels.npz", "kmnist-test-imgs.npz", "kmnist-test-labels.npz")
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
    url: str  # of the publisher's folder; empty if nothing is downloaded
    files: tuple[PublishedFile, ...]
    licence: str  # as its publisher states it


def _idx_set(about: str, folders: tuple[str, ...], url: str, licence: str, *md5s: str) -> NamedSet:
    """MNIST, or a set of its size in its four files."""
    names = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
    return NamedSet(about, 60_000, 10_000, 10, (28, 28, 1), folders, url, tuple(map(PublishedFile, names, md5s)), licence)


NAMED: dict[str, NamedSet] = {
    "digits": NamedSet("scanned digits, 8 x 8, of scikit-learn (embedded)", 1438, 359, 10, (8, 8, 1), (), "", (), "CC BY 4.0"),
    "mnist": _idx_set(
        "handwritten digits (LeCun, Cortes and Burges, 1998)",
        ("MNIST/raw", "mnist", "MNIST"),
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "none stated",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "fashion_mnist": _idx_set(
        "articles of clothing (Xiao, Rasul and Vollgraf, 2017)",
        ("FashionMNIST/raw", "fashion_mnist", "fashion-mnist", "FashionMNIST"),
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "MIT",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "kmnist": _idx_set(
        "cursive Japanese characters (Clanuwat et al., 2018)",
        ("KMNIST/raw", "kmnist", "KMNIST"),
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "CC BY-SA 4.0",
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
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
        "none stated; asks for citation",
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
        "none stated; asks for citation",
    ),
    "svhn": NamedSet(
        "street view house numbers, cropped digits (Netzer et al., 2011)",
        73_257,
        26_032,
        10,
        (32, 32, 3),
        ("SVHN", "svhn", "."),
        "https://ufldl.stanford.edu/housenumbers/",
        (
            PublishedFile("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
            PublishedFile("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
        ),
        "non-commercial use only",
    ),
}


def is_present(name: str, data_dir: Path | None = None) -> bool:
    """Return whether the files of a named set are on this machine."""
    try:
        open_named(name, data_dir)
    except (DataError, RefusedFileError):
        return False
    return True


def open_named(name: str, data_dir: Path | None = None, *, download: bool = False, base_url: str | None = None) -> DataSource:
    """A named set, read from local files; downloaded from its publisher first if it is missing and `download` is set.

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
            "Fetch it with `download=True`, or name the folder that holds it with `data_dir` or STRIATE_DATA.",
        )
    return source


def _source(name: str, classes: tuple[str, ...], load: Callable[[str], tuple[np.ndarray, np.ndarray]]) -> DataSource:
    """A source whose splits `load` reads: split -> (images (N, H, W, C) uint8, labels (N,))."""
    height, width, channels = NAMED[name].image_shape

    @cache
    def part(split: str) -> Part:
        images, labels = load(split)
        _check(name, split, images, labels, len(classes))
        paths = tuple(f"{name}/{split}/{index:05d}" for index in range(len(labels)))
        return Part(labels.astype(np.int64), paths, partial(fit_images, images), digests=partial(picture_digests, images))

    return DataSource(name, classes, channels, (height, width), {split: partial(part, split) for split in ("train", "test")})


def _check(name: str, split: str, images: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
    """Check that the files hold what the set is known for; a part of it is accepted."""
    shape = NAMED[name].image_shape
    if images.dtype != np.uint8 or images.shape[1:] != shape or labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{name}: pictures must be uint8 (n, {', '.join(map(str, shape))}), got {images.dtype} {images.shape}", REMEDY)
    if len(images) != len(labels) or not len(labels):
        raise DataError(f"{name}: the {split} files hold {len(images):,} pictures and {len(labels):,} labels", REMEDY)
    if labels.min() < 0 or labels.max() >= num_classes:
        raise DataError(f"{name}: the {split} labels must be 0 to {num_classes - 1}, got {labels.min()} to {labels.max()}", REMEDY)


def _digits_file() -> Path:
    """The file that `sklearn.datasets.load_digits` reads; importing that, with SciPy and pandas, takes as long as importing torch."""
    (package,) = find_spec("sklearn").submodule_search_locations  # type: ignore[union-attr, misc]  # striate depends on it
    return Path(package) / "datasets" / "data" / "digits.csv.gz"


def _digits() -> DataSource:
    """scikit-learn's digits; the fifth of each class with the smallest hash is the test split."""

    @cache
    def everything() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        table = np.loadtxt(_digits_file(), delimiter=",")  # (1797, 65): 8 x 8 pixels from 0 to 16, and the label
        images = np.rint(table[:, :64].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
        labels = table[:, 64].astype(np.int64)
        names = tuple(f"digits/{index:05d}" for index in range(len(images)))
        return images, labels, held_out_places(labels, names, DIGITS, fraction=0.2, seed=0)

    def load(split: str) -> tuple[np.ndarray, np.ndarray]:
        images, labels, is_test = everything()
        chosen = is_test if split == "test" else ~is_test
        return images[chosen], labels[chosen]

    return _source("digits", DIGITS, load)


def _idx(name: str, directory: Path) -> DataSource | None:
    """MNIST and its kin: four idx files, gzipped or not; KMNIST also as four `.npz` files."""
    classes = {"mnist": DIGITS, "fashion_mnist": FASHION, "kmnist": KUZUSHIJI}[name]
    found: dict[str, Path] = {}
    for folder in (directory / folder for folder in NAMED[name].folders):
        for file, arrays in zip(NAMED[name].files, KMNIST_ARRAYS, strict=True):
            kinds = (file.name, file.name.removesuffix(".gz"), arrays if name == "kmnist" else file.name)
            path = next((folder / kind for kind in kinds if (folder / kind).is_file()), None)
            if path is not None:
                found.setdefault(file.name, path)
    if len(found) < len(NAMED[name].files):
        return None
    train_images, train_labels, test_images, test_labels = (found[file.name] for file in NAMED[name].files)

    def read(path: Path, rank: int) -> np.ndarray:
        most = max(NAMED[name].num_train, NAMED[name].num_test) * (math.prod(NAMED[name].image_shape) if rank == 3 else 1)
        return read_npz(path) if path.suffix == ".npz" else read_idx(path, rank=rank, most=most)

    def load(split: str) -> tuple[np.ndarray, np.ndarray]:
        images, labels = (train_images, train_labels) if split == "train" else (test_images, test_labels)
        return read(images, 3)[..., None], read(labels, 1)

    return _source(name, classes, load)


def _cifar(name: str, directory: Path) -> DataSource | None:
    """CIFAR's python batches: a folder of them, or their tar.gz."""
    batches = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
    if name == "cifar100":
        batches = {"train": ["train"], "test": ["test"]}
    wanted = [*batches["train"], *batches["test"], *(["meta"] if name == "cifar100" else [])]
    folders = [directory / folder for folder in NAMED[name].folders]
    place = next((folder for folder in folders if all((folder / batch).is_file() for batch in wanted)), None)
    archives = (folder / NAMED[name].files[0].name for folder in folders)
    place = place or next((archive for archive in archives if archive.is_file()), None)
    if place is None:
        return None
    labels_key = "labels" if name == "cifar10" else "fine_labels"
    classes = CIFAR10 if name == "cifar10" else read_cifar_classes(place)
    return _source(name, classes, lambda split: read_cifar(place, batches[split], labels_key))


def _svhn(name: str, directory: Path) -> DataSource | None:
    """SVHN's cropped digits: two MATLAB files."""
    for folder in (directory / folder for folder in NAMED[name].folders):
        if all((folder / file.name).is_file() for file in NAMED[name].files):
            return _source(name, DIGITS, partial(_read_svhn, folder))
    return None


def _read_svhn(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    return read_svhn(folder / f"{split}_32x32.mat", most=NAMED["svhn"].num_train)
