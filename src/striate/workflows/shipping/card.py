"""The card of an exported model: its task and data, how right it is, its limits, and how the file was compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from striate.core.bounded import read_json
from striate.core.refusals import checked_entry
from striate.core.text import printable
from striate.data.named import NAMED
from striate.data.records import ImageSet
from striate.drawing.attacks import Resistance
from striate.models.builtin import is_builtin
from striate.models.model import MODEL_NAME, Model
from striate.workflows.attack import AttackReport
from striate.workflows.info import info
from striate.workflows.runs.behind import config_behind
from striate.workflows.runs.folder import RunFolder
from striate.workflows.subjects.subject import Subject
from striate.workflows.tasks.classify import EvaluateReport
from striate.workflows.tasks.record import MEASURES, Measured
from striate.workflows.tasks.registry import SplitReport, task_of

CARD = "MODEL_CARD.md"  # in the folder of the exported file
FEW = 20  # pictures of a class: a share of fewer is rough
LICENCE = "Apache-2.0"  # of the weights that are installed with Striate
WORDS = {"classify": "one class a picture", "multilabel": "several labels a picture", "regression": "numbers of a picture"}  # of tasks
MEASURE_AGAIN = "Remove the file, and run the verb again if its figures should be on the card."


@dataclass(frozen=True, kw_only=True)
class Card:
    """The facts about an exported model that its users need; None: not recorded."""

    model: str
    network: str
    task: str
    params: int
    macs: int
    input_shape: tuple[int, ...]
    outputs: tuple[str, ...]
    data: str | None  # that it was trained on
    data_licence: str | None
    num_train: int | None
    pretrained: str | None  # the weights that it started from
    pretrained_licence: str | None
    val: SplitReport  # measured now
    test: EvaluateReport | None  # as `striate evaluate RUN --split test` found it, of a model of classes
    temperature: float | None  # of a calibrated model
    has_unknown: bool  # whether it answers `unknown` to pictures that fit no class
    robustness: tuple[Resistance, ...]  # as `striate attack RUN` found it
    limits: tuple[str, ...]
    weights_sha256: str | None  # of the model file
    versions: dict[str, str | None]


def card_of(subject: Subject, images: ImageSet) -> Card:
    """The card of a trained model.

    Args:
        subject: The model, with its run where it has one.
        images: The samples of the val split, with their labels.

    Raises:
        RefusedFileError: a report in the run folder is damaged.
    """
    model, run, task = subject.trained, subject.run, task_of(subject.trained)
    config = config_behind(subject.path, model) if run is not None else None
    data, pretrained = (config.data, config.pretrained) if config is not None else (None, None)
    val = task.evaluate(model, Measured(images=images, split="val", model=subject.name, data=str(data or "its data"), output=None))
    report = RunFolder(run).report if run is not None else None
    test = _kept(report / "evaluate-test" / MEASURES, EvaluateReport) if report is not None and task.single_class else None
    attacked = _kept(report / "attack" / "attack.json", AttackReport) if report is not None else None
    weights = run / MODEL_NAME if run is not None and subject.path == run else subject.path
    versions = info()["versions"]
    return Card(
        model=subject.name,
        network=model.network.name,
        task=task.name,
        params=model.network.params,
        macs=model.network.macs,
        input_shape=model.network.input_shape,
        outputs=tuple(model.classes),
        data=data,
        data_licence=NAMED[data].licence if data in NAMED else None,
        num_train=config.num_train if config is not None else None,
        pretrained=pretrained,
        pretrained_licence=LICENCE if is_builtin(pretrained) else None,
        val=val,
        test=test,
        temperature=model.calibration.temperature if "calibration" in model.info else None,
        has_unknown=model.calibration.threshold is not None,
        robustness=attacked.results if attacked is not None else (),
        limits=tuple(_limits(model, val, test, was_attacked=attacked is not None)),
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest() if weights is not None else None,
        versions={name: versions[name] for name in ("striate", "torch", "numpy", "pillow")},
    )


def _kept(path: Path, record: type[Any]) -> Any:
    """The report that a verb left in the run folder; None where it left none."""
    if not path.is_file():
        return None
    return checked_entry(TypeAdapter(record), read_json(path, remedy=MEASURE_AGAIN), str(path), MEASURE_AGAIN)


def _limits(model: Model, val: SplitReport, test: EvaluateReport | None, *, was_attacked: bool) -> Iterator[str]:
    """Sentences about what the model cannot do and what was not measured."""
    if isinstance(val, EvaluateReport):
        if model.calibration.threshold is None:
            yield f"It answers one of its {len(val.classes)} classes to every picture, also to a picture of something else."
        few = [name for name, one in (test or val).classes.items() if one.support < FEW]
        if few:
            yield f"There were fewer than {FEW} pictures to measure on of {_listed(few)}: the shares of these classes are rough."
        if "calibration" not in model.info:
            yield "Its probabilities were not calibrated: of answers given with 0.9, more or fewer than nine in ten may be right."
        if not was_attacked:
            yield "Its accuracy under noise, shifts, turns and attacks was not measured."
    if test is None:
        yield "It was measured on the pictures that chose the kept epoch; on new pictures it may do worse."


# ---- as text


def card_text(card: Card, file: str, facts: Mapping[str, str]) -> str:
    """The card as Markdown.

    Args:
        card: What is known of the model.
        file: The name of the exported file.
        facts: Of that file, by their names.
    """
    size = " x ".join(map(str, card.input_shape))
    parts = [
        f"# {_cell(Path(card.model).name)}: {card.network}, {WORDS.get(card.task, card.task)}",
        *_table(
            ("fact", ""),
            [
                ("network", f"{card.network}, {card.params:,} parameters, {card.macs:,} multiply-adds a picture"),
                ("input (C x H x W)", f"{size}; of the network"),
                (f"outputs ({len(card.outputs):,})", _listed(card.outputs, 40)),
                ("trained on", f"{_cell(card.data or 'not recorded')}, {_number(card.num_train)} pictures"),
                ("licence of the data", card.data_licence or "not recorded: ask whoever made the pictures"),
                (
                    "started from",
                    f"{_cell(card.pretrained)}, licence {card.pretrained_licence or 'not recorded'}"
                    if card.pretrained
                    else "fresh weights",
                ),
            ],
        ),
        "## How right it is",
        *_results(card),
        *(["## How much it withstands", *_withstood(card)] if card.robustness else []),
        "## Limits",
        "\n".join(f"- {each}" for each in card.limits) or "- None was found.",
        "## The file",
        *_table((_cell(file), ""), list(facts.items())),
        "## What it was made with",
        *_table(
            ("", ""),
            [
                ("SHA-256 of the model file", card.weights_sha256 or "of no file"),
                *((name, each or "not installed") for name, each in card.versions.items()),
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _results(card: Card) -> list[str]:
    """The measures on val, and on test where it was measured."""
    if not isinstance(card.val, EvaluateReport):
        numbers = [(each.name.replace("_", " "), getattr(card.val, each.name)) for each in fields(card.val)]
        return _table(("measure on val", ""), [(name, f"{value:,.4g}") for name, value in numbers if type(value) in (int, float)])
    found = [("held out from training (val)", card.val)] + ([("test", card.test)] if card.test is not None else [])
    rows = [
        (
            name,
            f"{one.num_images:,}",
            _share(one.accuracy, one.accuracy_interval),
            f"{one.ece:.3f}" if one.model == card.model else "of another calibration",
        )
        for name, one in found
    ]
    shown = card.test or card.val
    classes = [
        (_cell(name), f"{one.support:,}", _share(one.recall, one.recall_interval), _share(one.precision, one.precision_interval))
        for name, one in shown.classes.items()
    ]
    calibrated = "not calibrated" if card.temperature is None else f"calibrated, temperature {card.temperature:.3g}"
    unknown = "; pictures that fit no class are answered `unknown`" if card.has_unknown else ""
    return [
        *_table(("pictures", "number", "accuracy (95 % interval)", "calibration error"), rows),
        f"Probabilities: {calibrated}{unknown}.",
        *_table((f"class, {shown.split}", "pictures", "of these found", "of its answers right"), classes),
    ]


def _withstood(card: Card) -> list[str]:
    rows = [
        (
            one.attack.replace("_", " "),
            one.unit,
            ", ".join(f"{size:.2g}: {share:.3f}" for size, share in zip(one.sizes, one.accuracies, strict=True)),
        )
        for one in card.robustness
    ]
    return _table(("change", "unit", "accuracy by its size"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["\n".join("| " + " | ".join(row) + " |" for row in lines)]


def _share(value: float | None, interval: tuple[float, float] | None) -> str:
    return "none to count" if value is None or interval is None else f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _number(count: int | None) -> str:
    return "an unknown number of" if count is None else f"{count:,}"


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(map(_cell, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return printable(text).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
