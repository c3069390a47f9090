"""The request and the report of a check."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.images import Fit
from striate.core.reports import shown_short
from striate.core.targets import Task
from striate.data.findings import DataFinding
from striate.data.layout import Layout
from striate.data.omissions import Omission
from striate.data.reading import Role


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class CheckRequest:
    """The data to check, and how closely."""

    data: Any  # a named set, a path, arrays (X, y), or an opened source
    deep: bool = False  # also compare and judge by a network where there are many pictures
    preview: bool = False  # also show what a network sees of pictures of each class
    image_size: int | None = Field(default=None, ge=8)  # pixels of the input of `preview` and the losses of fits; None: as training chooses
    fit: Fit = "crop"  # how pictures are fitted to the network that judges labels
    fix_list: Path | None = None  # CSV of what to drop
    output: Path | None = None  # page; runs/check/NAME-NNN/index.html by default
    task: Task | None = None  # None: told by the data
    layout: Layout = "auto"
    class_from: str | None = None
    columns: dict[Role, str] = Field(default_factory=dict)
    group: str | None = None
    separator: str | None = None
    root: Path | None = None
    seed: int = 0  # of the folds
    data_dir: Path | None = None
    download: bool = False


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A file that cannot be read as a picture."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Copies:
    """Pictures that are the same, or nearly."""

    paths: tuple[str, ...]
    splits: tuple[str, ...]  # of each
    labels: tuple[str, ...]  # of each, in words: a class, several, numbers, or which mask; none of what may differ in nearly the same
    likeness: float  # 1: the same pixels; else the least of the pairs: a correlation, or a cosine
    by: Literal["pixels", "hash", "network"]

    @property
    def is_leak(self) -> bool:
        """True if they are in several splits."""
        return len(set(self.splits)) > 1

    @property
    def is_two_labels(self) -> bool:
        """True if they have several labels."""
        return len(set(self.labels)) > 1


@dataclass(frozen=True, kw_only=True)
class LabelError:
    """A picture whose label is probably wrong."""

    path: str
    label: str
    suggested: str
    score: float  # the probability of the suggested class minus that of the label, by a classifier fitted without the picture


@dataclass(frozen=True, kw_only=True)
class ShortcutFound:
    """A property of files that predicts the class by itself."""

    property: str
    accuracy: float  # balanced over classes, by cross-validation
    chance: float
    classes: tuple[str, ...]  # those that it tells from all others


@dataclass(frozen=True, kw_only=True)
class FitLoss:
    """The loss of the pictures to a fit, on average and of the worst."""

    fit: Fit
    cut: float  # share of a picture's area that the network does not see
    padding: float  # share of the input that is border
    stretch: float  # longer scale by the shorter
    worst: float  # the largest of what this fit takes: cut, padding or stretch


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The cross-validated accuracy of a linear classifier on features of the installed network."""

    accuracy: float
    accuracy_interval: tuple[float, float]
    num_images: int


@shown_short
@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """The findings in a data set, and its counts."""

    data: str
    trainable: bool
    num_images: int
    splits: dict[str, int]
    task: Task
    classes: dict[str, int]  # pictures; of masks, pixels
    class_counts: dict[str, dict[str, int]]  # of each split
    numbers: dict[str, str]  # least, median and most of what is to be estimated
    sizes: dict[str, str]  # smallest, median and largest, as height x width
    formats: dict[str, int]
    modes: dict[str, int]
    unreadable: tuple[Unreadable, ...]
    duplicates: tuple[tuple[str, ...], ...]
    near_duplicates: tuple[Copies, ...]
    leaks: tuple[Copies, ...]
    two_labels: tuple[Copies, ...]
    flaws: dict[str, tuple[str, ...]]  # the pictures that are dark, light, blurred, ...
    shortcuts: tuple[ShortcutFound, ...]
    label_errors: tuple[LabelError, ...]
    judged: Judged | None  # None: labels were not judged
    fits: tuple[FitLoss, ...]
    fit_size: tuple[int, int]  # (H, W) in pixels of the input that they are of
    left_out: tuple[Omission, ...]
    findings: tuple[DataFinding, ...]
    num_dropped: int  # rows of the fix list that say yes
    fix_list: str | None
    page: str | None
    seconds: float

    @property
    def exit_code(self) -> int:
        """0: nothing found, 1: findings, 3: data that cannot be trained on."""
        return 3 if not self.trainable else int(any(finding.severity != "note" for finding in self.findings))
