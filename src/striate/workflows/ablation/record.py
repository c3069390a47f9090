"""The files from which an ablation is resumed: its plan, its journal, and the result of each trial. They may have been edited."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from striate.core.bounded import read_json, read_json_lines
from striate.core.errors import RefusedFileError, StriateError
from striate.core.refusals import checked_entry
from striate.networks.network import Network
from striate.workflows.ablation.variants import BASELINE

PLAN, JOURNAL, RESULT = "ablation.json", "trials.jsonl", "result.json"
START_AGAIN = "Start the ablation again in a new folder."
TRAIN_AGAIN = "Remove the file, and the trials that it records are trained again."

Positive = Annotated[int, Field(ge=1, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
Result = dict[str, Any]


class _Strict(TypedDict):
    """Plain data is taken as it stands: no text for a number."""

    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]  # so documented by pydantic


class _Variant(_Strict):
    """A variant of the plan."""

    name: str
    edits: list[str]
    steps: Positive
    augmented: bool
    network: dict[str, Any]
    diff: list[str]


class _Config(_Strict):
    """The part of its trials' configuration that the ablation itself needs; the rest is checked when a trial reads it."""

    data: str
    settings: dict[str, Any]


class _Plan(_Strict):
    """Everything that decides an ablation."""

    network: str
    data_name: str
    budget: str
    seeds: Annotated[int, Field(ge=1, le=100_000)]
    first_seed: Annotated[int, Field(ge=0, lt=2**62)]
    hang_after: Annotated[float, Field(gt=0)]
    test: NotRequired[bool]
    config: _Config
    variants: Annotated[list[_Variant], Field(min_length=1)]


class _Done(_Strict):
    """The result of a finished trial; older ones lack some fields."""

    status: Literal["done"]
    accuracy: Share
    num_val: NotRequired[Positive]
    hits: NotRequired[Annotated[str, Field(pattern="^([0-9a-f]{2})*$")]]
    test_accuracy: NotRequired[Share]
    num_test: NotRequired[Positive]
    val_loss: NotRequired[float]
    train_loss: float
    seconds: float
    training_seconds: float
    steps: NotRequired[int]
    curve: list[Annotated[list[float], Field(min_length=4, max_length=4)]]
    gradients_before: dict[str, float]
    gradients_after: dict[str, float]


class _NotDone(_Strict):
    """The result of an unfinished trial."""

    status: Literal["failed", "hung", "diverged"]
    message: str


_AnyResult = Annotated[_Done | _NotDone, Field(discriminator="status")]


class _Line(_Strict):
    """A line of the journal."""

    trial: str
    result: _AnyResult


def read_plan(folder: Path) -> dict[str, Any]:
    """The plan of the ablation in `folder`.

    Raises:
        RefusedFileError: it is damaged; names the field.
    """
    path = folder / PLAN
    plan = _checked(TypeAdapter(_Plan), read_json(path, remedy=START_AGAIN), str(path), START_AGAIN)
    names = [one["name"] for one in plan["variants"]]
    if BASELINE not in names or len(set(names)) != len(names):
        raise RefusedFileError(f"{path}: variants: must have different names, {BASELINE} among them, got {', '.join(names)}", START_AGAIN)
    for one in plan["variants"]:
        try:
            Network.from_data(one["network"])
        except StriateError as error:
            raise RefusedFileError(f"{path}: variant {one['name']}: {error.message}", START_AGAIN) from None
    return plan


def read_results(path: Path) -> dict[str, Result]:
    """The result of each trial in the journal, by its key; of one that was trained again, the last.

    Raises:
        RefusedFileError: a line is damaged; names the line and the field.
    """
    lines = TypeAdapter(_Line)
    records = read_json_lines(path, remedy=TRAIN_AGAIN) if path.exists() or path.is_symlink() else []
    checked = [_checked(lines, record, f"{path}, line {number}", TRAIN_AGAIN) for number, record in enumerate(records, start=1)]
    return {record["trial"]: record["result"] for record in checked}


def read_result(folder: Path) -> Result | None:
    """The result in the folder of a trial; None if there is none yet.

    Raises:
        RefusedFileError: it is damaged; names the field.
    """
    path = folder / RESULT
    if not path.exists() and not path.is_symlink():
        return None
    return _checked(TypeAdapter(_AnyResult), read_json(path, remedy=TRAIN_AGAIN), str(path), TRAIN_AGAIN)


def in_words(result: Result) -> str:
    """The result of a trial on one line."""
    if result["status"] == "done":
        return f"val accuracy {result['accuracy']:.4f}, train loss {result['train_loss']:.4f}, {result['seconds']:.1f} s"
    return f"{result['status']}: {result['message']}"


def _checked(adapter: TypeAdapter[Any], data: Any, where: str, remedy: str) -> dict[str, Any]:
    checked_entry(adapter, data, where, remedy)
    held: dict[str, Any] = data
    return held
