"""The models of a server: their names, their files, and copies of these that nobody writes to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from striate.core.errors import EnvironmentFault, RefusedFileError, UsageError
from striate.core.places import near
from striate.core.text import counted
from striate.models.model import MODEL_NAME
from striate.models.openvino_file import WEIGHTS
from striate.models.runtimes import ONNX, OPENVINO

EXPORTED = Path("export") / f"model{ONNX}"  # of a run folder
FINISH = "Give the folder of a finished training run."
SPACE = "Free some space, or set TMPDIR to a folder on another disk."
LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model to serve."""

    name: str  # in addresses
    file: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, and the one with its weights where they lie beside it."""
        return (self.file, self.file.with_suffix(WEIGHTS)) if self.file.suffix.lower() == OPENVINO else (self.file,)

    @property
    def state(self) -> tuple[tuple[int, int, int], ...] | None:
        """Facts that change as its files do; None where one is missing."""
        try:
            return tuple((found.st_mtime_ns, found.st_size, found.st_ino) for found in (file.stat() for file in self.files))
        except OSError:
            return None

    def copy(self, folder: Path) -> Path:
        """The copy of the file in `folder`, with that of its weights beside it.

        Raises:
            RefusedFileError: one cannot be read.
            EnvironmentFault: there is no space for it.
        """
        for file in self.files:
            try:
                with file.open("rb") as read:
                    size = os.fstat(read.fileno()).st_size
                    with (folder / f"{self.name}{file.suffix}").open("wb") as written:
                        shutil.copyfileobj(read, written)
            except OSError as error:
                if error.filename == str(file):
                    raise RefusedFileError(f"{file}: cannot be read: {error.strerror}", "Give a model file.") from None
                raise EnvironmentFault(f"{folder}: no copy of {file}, {size:,} bytes: {error.strerror}", SPACE) from None
        return folder / f"{self.name}{self.file.suffix}"


def sources_of(models: Iterable[str], say: Callable[[str], None]) -> list[Source]:
    """The models that a request names: exported files where there are some, else the runs' own.

    Raises:
        UsageError: there is no such file or folder, a name that no address can hold, or two models of one name.
        RefusedFileError: the run is not done.
    """
    found: list[Source] = []
    for text in models:
        name, path = _named(text)
        source = Source(name=name, file=_file_of(path, say))
        if not name or len(name) > LONGEST_NAME or "/" in name or not name.isprintable() or name in (".", ".."):
            raise UsageError(f"{text}: {name!r} cannot stand in an address", f"Name it: NAME={path}.")
        twin = next((other for other in found if other.name == name), None)
        if twin is not None:
            raise UsageError(f"two models are named {name}: {twin.file} and {source.file}", f"Name one: NAME={path}.")
        found.append(source)
    return found


def _named(text: str) -> tuple[str, Path]:
    """The name and the path in NAME=PATH; in a path alone the name of the run, or of the file without its ending."""
    name, sign, rest = text.partition("=")
    if sign and name and not Path(text).exists() and os.sep not in name:
        return name, Path(rest)
    path = Path(text)
    place = path.resolve()
    if path.name == EXPORTED.name and place.parent.name == EXPORTED.parent.name and (place.parents[1] / MODEL_NAME).exists():
        return place.parents[1].name, path
    if path.name == MODEL_NAME:
        return place.parent.name, path
    return (place.name if path.is_dir() else place.stem), path


def _file_of(path: Path, say: Callable[[str], None]) -> Path:
    """The file to serve."""
    if not path.exists():
        raise UsageError(
            f"{path}: no such run folder or model file", near(path, "Give a run folder, an .onnx, .pt2, .xml or .safetensors file.")
        )
    if not path.is_dir():
        return path
    exported, own = path / EXPORTED, path / MODEL_NAME
    if exported.is_file():
        if own.is_file() and own.stat().st_mtime > exported.stat().st_mtime:
            say(f"{exported}: was exported before the run's last weights were kept; export it again to serve those")
        return exported
    if not own.is_file():
        trials = [child for child in path.iterdir() if (child / MODEL_NAME).is_file()][:1000]
        inside = f" It holds {counted(len(trials), 'run')}, such as {trials[0]}." if trials else ""
        raise RefusedFileError(f"{path}: the folder holds no {MODEL_NAME}", FINISH + inside)
    return own
