"""One HTML page that summarizes a run: training, results, explanations, cost and diagnosis."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.bounded import read_text
from striate.core.devices import choose_device
from striate.core.errors import UsageError
from striate.core.places import check_file, near
from striate.core.reports import shown_short, write_files
from striate.core.text import Lines, in_lines
from striate.drawing.page import Section, document
from striate.workflows.info import info
from striate.workflows.reporting import sections as draw
from striate.workflows.reporting import tools
from striate.workflows.runs.folder import RunFolder
from striate.workflows.subjects.openings import openings_of
from striate.workflows.subjects.subject import LabelledRequest
from striate.workflows.training.continuing import config_and_network


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class ReportRequest(LabelledRequest):
    """The run to summarize, and the page's path."""

    run: Path
    split: Literal["train", "val", "test"] = "val"  # that it is measured on; each opening of test is counted
    num_explained: int = Field(default=8, ge=1, le=64)  # pictures
    measure: bool = True  # time the network on this machine too
    output: Path | None = None  # RUN/report/index.html by default


@shown_short
@dataclass(frozen=True, kw_only=True)
class RunReport:
    """The page, its sections, and those left out with the reason."""

    run: str
    output: str
    num_bytes: int
    sections: tuple[str, ...]
    left_out: dict[str, str]  # section -> reason


def report(request: ReportRequest, *, say: Callable[[str], None] = lambda _text: None) -> RunReport:
    """Measure, explain, profile and diagnose a run, and write it all as one page; of the run's folder, only the page is written.

    What does not apply to the run, or needs data that is gone, is left out, and the page says so.

    Raises:
        UsageError: there is no such run folder.
        DataError: its configuration cannot be read.
        RefusedFileError: its network or its model file is damaged.
        EnvironmentFault: no such device, or the page cannot be written.
    """
    run = request.run
    choose_device(request.device)  # before anything is made
    if not run.is_dir():
        raise UsageError(f"{run}: no such run folder", near(run, "Give the folder of a training run."))
    path = request.output or run / "report" / "index.html"
    check_file(path, "output", (".html", ".htm"), makes_folder=True)
    config, network = config_and_network(run)
    with tempfile.TemporaryDirectory() as place:
        bench = tools.Bench(request=request, config=config, network=network, place=Path(place), say=say)
        sections = list(_sections(bench))
    if bench.left_out:
        sections.append(Section("Left out", draw.left_out(bench.left_out)))
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    foot = f"Written {now} by Striate {info()['versions']['striate']}."
    content = document(f"{network.name} on {Path(config.data).name}", str(run), sections, foot=foot)
    write_files(path.parent, {path.name: content})
    names = tuple(section.heading for section in sections)
    return RunReport(run=str(run), output=str(path), num_bytes=len(content), sections=names, left_out=bench.left_out)


def _sections(bench: tools.Bench) -> Iterator[Section]:
    """The sections of the page; each tool runs when its section is due, but for the model's measures, of which the first one tells."""
    run, config, network, files = bench.request.run, bench.config, bench.network, RunFolder(bench.request.run)
    rows = files.read_metrics(bench.say)
    bench.subject = tools.opened(bench)
    answers = tools.answers_on_val(bench)
    measures = tools.measured(bench, answers)
    state = tools.state_of(bench, rows)
    yield Section("Summary", draw.summary(config, network, rows, next(iter(measures.values()), None), state))
    yield Section("Training", draw.training(config, rows))
    for split, found in measures.items():
        own = bench.place / f"evaluate-{split}"
        folder = own if own.is_dir() else run / "report" / own.name
        openings = openings_of(run, found["data"]) if split == "test" else None
        yield Section(f"Results on {split}", draw.results(found, folder, openings=openings))
    if answers is not None:
        shown = bench.ask("What it looks at", lambda: tools.explained(bench, answers), "explaining")
        if shown:
            picture = draw.kept_picture(bench.place / "explain" / "heat-maps.png")
            yield Section("What it looks at", draw.explanations(shown, picture))
        yield Section("Calibration", draw.calibration(*tools.calibrated(answers)))
    for name in ("attack", "lesion"):
        if pictures := tools.kept_pictures(run, name):
            yield Section(draw.KEPT[name], draw.pictures(pictures))
    yield Section("Network", draw.network(network))
    if cost := bench.ask("Cost", lambda: tools.profiled(bench), "profiling"):
        roofline = bench.place / "profile" / "roofline.png"
        yield Section("Cost", draw.cost(cost, draw.kept_picture(roofline) if roofline.is_file() else None))
    if wrong := bench.ask("Diagnosis", lambda: tools.diagnosed(bench, answers), "diagnosing"):
        yield Section("Diagnosis", draw.diagnosis(wrong, bench.place / "diagnose"))
    yield Section("Environment", draw.environment(files.read_env()))
    yield Section("Repeat it", draw.repeating(run, config, read_text(files.config), network))


def summary(found: RunReport) -> Lines:
    """The report as text."""
    lines = [f"{found.run}: {', '.join(found.sections)}"]
    lines += [f"left out: {section}: {reason}" for section, reason in found.left_out.items()]
    lines.append(f"page: {found.output} ({found.num_bytes / 2**20:.1f} MiB)")
    return in_lines([*lines, ""])
