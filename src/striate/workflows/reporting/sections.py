"""The sections of the page that summarizes a run: each function gives the HTML of one, from the tools' results."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.core.errors import RefusedFileError
from striate.core.files import read_plain
from striate.core.text import command, counted
from striate.drawing.curves import curves_picture
from striate.drawing.page import code, facts, figure, folded, pairs, paragraph, table
from striate.insight.calibrate.temperature import HIGHEST, LOWEST
from striate.networks.catalog import CATALOG
from striate.networks.drawing import draw_svg
from striate.networks.foreign import is_own, is_published_name
from striate.networks.table import layer_records
from striate.workflows.evaluation.reliability import Reliability, reliability_picture
from striate.workflows.profiling.words import COLUMNS, MEASURED_COLUMNS, memory_text
from striate.workflows.profiling.words import facts as profile_facts
from striate.workflows.profiling.words import table as profile_table
from striate.workflows.runs.config import RunConfig, flat

if TYPE_CHECKING:
    from striate.insight.calibrate.abstain import CoveragePoint
    from striate.networks.network import Network
    from striate.workflows.diagnosis.diagnose import DiagnoseReport
    from striate.workflows.explanation.explain import ExplainReport
    from striate.workflows.profiling.profile import ProfileReport

KEPT = {"attack": "What it withstands", "lesion": "What damage costs"}  # what other verbs left in the run folder
PNG = b"\x89PNG"
MOST_BYTES = 2**26  # of a picture
MAX_ROWS = 40  # of a table that is not folded
LEAST_PX = 520  # to which a picture with small writing is made smaller
PARTS = {"classes": "class", "outputs": "number", "labels": "label"}  # of measures
RESULTS = {
    "confusion.png": "Confusion matrix",
    "mistakes.png": "The most confident mistakes",
    "scatter.png": "Estimates against the truth",
    "worst.png": "The worst pictures",
}
MEASURES = {  # whose field's name says too little
    "num_images": "pictures",
    "top5_accuracy": "top-5 accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss (nats)",
    "ece": "expected calibration error",
    "psnr": "PSNR (dB)",
    "psnr_before": "PSNR before (dB)",
    "ssim": "SSIM",
    "ssim_before": "SSIM before",
    "mae_before": "mae before",
}
UNUSED: tuple[Any, ...] = (None, "", False, [], {}, 0)


def summary(config: RunConfig, network: Network, rows: Sequence[Mapping[str, str]], measures: Mapping[str, Any] | None, state: str) -> str:
    """The subject of the training, its end, and the key figures."""
    shown = [] if measures is None else _headline(measures)
    shown += [("parameters", f"{network.params:,}"), ("MACs a picture", f"{network.macs:,}")]
    shown.append(("input (C x H x W)", _size(network.input_shape)))
    shown.append(("outputs", f"{config.num_classes:,}"))
    if rows:
        shown.append(("training time", _duration(sum(float(row.get("seconds") or 0) for row in rows))))
    settings = config.settings
    how = (
        f"{network.name} on {config.data}: {settings.optimizer} on the {settings.loss.replace('_', ' ')} loss, "
        f"batches of {settings.batch_size}, learning rate {settings.learning_rate:g} ({settings.schedule.replace('_', ' ')}), "
        f"weight decay {settings.weight_decay:g}, seed {settings.seed}."
    )
    return facts(shown) + paragraph(how) + paragraph(state)


def _headline(measures: Mapping[str, Any]) -> list[tuple[str, str]]:
    split = measures["split"]
    if measures.get("accuracy") is not None:
        low, high = measures["accuracy_interval"]
        return [(f"{split} accuracy, 95 %: {100 * low:.1f} to {100 * high:.1f}", f"{100 * measures['accuracy']:.2f} %")]
    names = ("mean_iu", "r2", "mean_average_precision", "rmse", "subset_accuracy", "pixel_accuracy", "psnr", "psnr_before", "ssim")
    return [(f"{split} {MEASURES.get(name, _words(name))}", _number(measures[name])) for name in names if measures.get(name) is not None]


def training(config: RunConfig, rows: Sequence[Mapping[str, str]]) -> str:
    """The curves, the epochs, and every setting in use."""
    parts = []
    if rows:
        parts.append(figure(curves_picture(rows, title="Training"), "Loss, accuracy and learning rate by epoch"))
        head = [name for name in rows[0] if any(row.get(name) for row in rows)]
        body = [[_short(row.get(name) or "") for name in head] for row in rows]
        parts.append(_long_table([_words(name) for name in head], body, "epochs", numbers_from=0))
    else:
        parts.append(paragraph("No epoch was finished."))
    every = flat(config.plain())
    used = [(name, _listed(value)) for name, value in every.items() if value not in UNUSED]
    rest = paragraph(f"{len(every) - len(used)} further settings are off, empty or 0.", faint=True)
    return "".join(parts) + folded(f"{len(used)} settings in use", pairs(used) + rest)


def results(measures: Mapping[str, Any], folder: Path, *, openings: int | None) -> str:
    """The results of the model on a split: the measures, the classes, and the pictures in `folder`."""
    names = [name for name, value in measures.items() if isinstance(value, int | float) and not isinstance(value, bool)]
    numbers = [(MEASURES.get(name, _words(name)), _with_interval(measures, name)) for name in names if name != "test_openings"]
    parts = [paragraph(f"{measures['data']}, {measures['split']} split.")]
    if (among := measures.get("trained_among")) and among["count"]:
        about = "" if among["is_exact"] else "about "
        were = "picture was" if among["count"] == 1 else "pictures were"
        parts.append(paragraph(f"Warning: {about}{among['count']:,} of these {were} trained on, so the measures are too good."))
    if openings is not None:
        parts.append(paragraph(f"The test split was opened {counted(openings, 'time')} for this run."))
    parts.append(pairs(numbers))
    for name, noun in PARTS.items():
        if isinstance(found := measures.get(name), dict) and found:
            columns = [key for key, value in next(iter(found.values())).items() if not key.endswith("_interval")]
            body = [[part, *(_number(values[column]) for column in columns)] for part, values in found.items()]
            parts += [f"<h3>By {noun}</h3>", _long_table([noun, *map(_words, columns)], body, name)]
    parts += [
        figure(kept_picture(folder / name), words, least_px=LEAST_PX) for name, words in RESULTS.items() if os.path.lexists(folder / name)
    ]
    return "".join(parts)


def explanations(found: ExplainReport, picture: bytes) -> str:
    """Heat maps of some pictures, and measures of their faithfulness."""
    from striate.workflows.explanation.words import trust_in_words

    wrong = all(item.label is not None and item.label != item.answer for item in found.pictures)
    which = "that the model misclassifies, the most confident first" if wrong else "of the val split"
    how = f"Grad-CAM at {found.layer}" if found.layer else ", ".join(found.methods)
    lines = [f"{counted(len(found.pictures), found.kind[:-1])} {which}, each with the places that support the prediction ({how})."]
    if found.randomisation:
        lines += trust_in_words(found.randomisation, found.kind)
    return "".join(map(paragraph, lines)) + figure(picture, "Heat maps", least_px=LEAST_PX)


def calibration(before: Reliability, after: Reliability, curve: Sequence[CoveragePoint]) -> str:
    """The calibration on val."""
    words = (
        f"On val, confidence and accuracy differ by {100 * before.ece:.2f} percentage points on average (expected calibration error). "
        f"Divided by a temperature of {after.temperature:.3g}, the logits give {100 * after.ece:.2f}, and a log loss of "
        f"{after.log_loss:.4f} in place of {before.log_loss:.4f}. `striate calibrate RUN` writes a model with that temperature."
    )
    limit = (
        " That temperature is at the end of the search range: nearly all predictions are correct, or they are hardly better than chance."
    )
    words += limit if after.temperature in (LOWEST, HIGHEST) else ""
    return paragraph(words) + figure(reliability_picture(before, after, curve), "Reliability diagram", least_px=LEAST_PX)


def network(net: Network) -> str:
    """The drawing, and the table of its layers."""
    head = ["part", "layer", "output", "parameters", "MACs"]
    body = [[row["path"], row["layer"], _size(row["output_shape"]), f"{row['params']:,}", f"{row['macs']:,}"] for row in layer_records(net)]
    edits = paragraph(f"Edited: {'; '.join(net.provenance)}.") if net.provenance else ""
    source = paragraph(net.source, faint=True) if net.source else ""
    drawing = figure(draw_svg(net).encode(), f"Drawing of {net.name}", kind="svg+xml", least_px=LEAST_PX)
    return edits + source + drawing + _long_table(head, body, "layers", numbers_from=3)


def cost(found: ProfileReport, roofline: bytes | None) -> str:
    """The cost of the network, counted and measured on this machine."""
    head, body, _ = profile_table(found)
    columns = MEASURED_COLUMNS if found.measured else COLUMNS
    picture = figure(roofline, "Roofline", caption="Each layer's speed against the limits of the machine (roofline)") if roofline else ""
    return (
        pairs(profile_facts(found))
        + folded(counted(len(body), "layer"), paragraph(columns, faint=True) + table(head, body, "layers", numbers_from=2))
        + picture
    )


def diagnosis(found: DiagnoseReport, folder: Path) -> str:
    """The diagnosis of the training."""
    looked = (
        f"{counted(found.epochs, 'epoch')}, {counted(found.looks, 'update')} sampled during training, "
        f"{counted(found.batches, 'batch', 'batches')} run again."
    )
    parts = [paragraph(looked, faint=True)]
    for item in found.findings:
        place = f" at {item.where}" if item.where else ""
        parts.append(facts([(item.severity, f"{_words(item.kind)}{place}")]))
        parts.append(pairs([("seen", item.message), ("cause", item.cause), ("try", item.remedy)]))
    for data in found.data:
        parts.append(facts([(data.severity, _words(data.kind))]))
        parts.append(pairs([("seen", data.message), ("try", data.remedy)]))
    if not found.data_is_recorded:
        parts.append(paragraph("The check of the pictures before the training is not recorded.", faint=True))
    parts += [pairs([("withdrawn", f"{_words(one.kind)}, reported during training: {one.reason}")]) for one in found.withdrawn]
    drawn = sorted({item.picture for item in found.findings if item.picture})
    parts += [figure(kept_picture(folder / name), name, least_px=LEAST_PX) for name in drawn]
    return "".join(parts if found.findings or found.data else [paragraph("Nothing found."), *parts])


def environment(env: Mapping[str, Any] | None) -> str:
    """The environment of the training."""
    if env is None:
        return paragraph("The run holds no env.json.")
    known = flat(env)
    if isinstance(size := known.pop("memory_bytes", None), int):
        known["memory"] = memory_text(size)
    return pairs([(name.removeprefix("versions."), _listed(value)) for name, value in known.items() if value is not None])


def repeating(run: Path, config: RunConfig, text: str, network: Network) -> str:
    """The commands that train it again, and the configuration that they need."""
    if config.on_arrays:
        words = "It was trained on arrays, which the run does not store; with them, striate.workflows.training.repro.repro trains it again."
        return paragraph(words) + folded("config.yaml", code(text))
    if is_own(network):
        words = f"It trained {network.name}, the user's own module, which the run does not store. With it, in Python:"
        call = f"striate.train({config.data!r}, network={network.name}(), recipe={f'{run}/config.yaml'!r})"
        return paragraph(words) + code(call) + folded("config.yaml", code(text))
    lines = ["# train it again and compare, bit for bit", command("striate", "repro", run)]
    named = config.network in CATALOG or is_published_name(config.network)
    if config.extends is not None:
        again = command("striate", "train", Path(config.data), "--extend", Path(config.extends.run), "--recipe", run / "config.yaml")
        lines += ["# extend the same run again with these settings", again]
    elif named and not network.provenance:
        task = ("--task", config.task) if config.task else ()
        train = command("striate", "train", Path(config.data), *task, "--model", config.network, "--recipe", run / "config.yaml")
        lines += ["# a new run with these settings", train]
    return code("\n".join(lines)) + folded("config.yaml", code(text))


def pictures(paths: Sequence[Path]) -> str:
    """Pictures that another verb wrote."""
    return "".join(figure(kept_picture(path), path.stem, caption=_words(path.stem), least_px=LEAST_PX) for path in paths)


def kept_picture(path: Path) -> bytes:
    """A PNG file that a verb has written.

    Raises:
        RefusedFileError: it is none, or larger than any that is drawn here.
    """
    remedy = "Remove the file to continue without it."
    picture = read_plain(path, limit=MOST_BYTES, remedy=remedy)
    if not picture.startswith(PNG):
        raise RefusedFileError(f"{path}: is not a PNG file", remedy)
    return picture


def left_out(reasons: Mapping[str, str]) -> str:
    """The sections that the page leaves out, with reasons."""
    return pairs(list(reasons.items()))


def _long_table(head: Sequence[str], body: Sequence[Sequence[str]], what: str, *, numbers_from: int = 1) -> str:
    whole = table(head, body, what, numbers_from=numbers_from)
    return whole if len(body) <= MAX_ROWS else folded(f"{len(body):,} {what}", whole)


def _with_interval(measures: Mapping[str, Any], name: str) -> str:
    value, bounds = _number(measures[name]), measures.get(f"{name}_interval")
    return f"{value} (95 %: {bounds[0]:.4f} to {bounds[1]:.4f})" if bounds else value


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _short(cell: str) -> str:
    """A cell of the metrics with at most five digits."""
    return f"{float(cell):.5g}" if cell and not cell.isdigit() else cell


def _listed(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 300 else f"{text[:300]} ..."


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.1f} s" if seconds < 60 else f"{minutes:.1f} min" if minutes < 60 else f"{hours:.1f} h"


def _words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")
