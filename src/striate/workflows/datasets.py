"""List the named data sets."""

from __future__ import annotations

from pathlib import Path

from pydantic.dataclasses import dataclass

from striate.data.named import NAMED, is_present


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """One named data set."""

    name: str
    about: str
    num_train: int
    num_test: int
    num_classes: int
    image: str  # height x width x channels
    present: bool  # on this machine
    url: str


def datasets(data_dir: Path | None = None) -> list[DatasetEntry]:
    """The named data sets, and whether each lies on this machine."""
    return [
        DatasetEntry(
            name=name,
            about=entry.about,
            num_train=entry.num_train,
            num_test=entry.num_test,
            num_classes=entry.num_classes,
            image="x".join(map(str, entry.image_shape)),
            present=is_present(name, data_dir),
            url=entry.url,
        )
        for name, entry in NAMED.items()
    ]
