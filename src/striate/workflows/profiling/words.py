"""The cost of a network, as a table and as lines of text."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from striate.core.text import Lines, in_lines, printable
from striate.networks.table import field_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from striate.insight.profile.measured import Measured
    from striate.insight.profile.published import PaperNumbers
    from striate.workflows.profiling.profile import ProfileReport
    from striate.workflows.profiling.totals import Totals

SAVING = "computed with fewer multiplications than are counted (Winograd's method for convolutions of stride 1)"
COLUMNS = "field: receptive field in pixels; FLOPs/B: FLOPs for each byte that must move at least"
MEASURED_COLUMNS = f"{COLUMNS}; fwd, bwd: forward and backward; of peak: of the machine's fastest multiply-adds"


def table(report: ProfileReport) -> tuple[list[str], list[list[str]], set[int]]:
    """The layers as a table: heading, rows, and the right-aligned columns."""
    heading = ["part", "output", "params", "MACs", "field", "FLOPs/B"]
    if report.measured:
        heading += ["fwd ms", "bwd ms", "of peak"]
    rows = []
    for layer in report.layers:
        sees = field_text(layer["receptive_field"])
        row = [layer["path"], "x".join(map(str, layer["output_shape"])), f"{layer['params']:,}", f"{layer['macs']:,}", sees]
        row.append(f"{layer['intensity']:.1f}" if layer["flops"] else "-")
        if report.measured:
            row += [_cell(layer["forward_ms"], ".3f"), _cell(layer["backward_ms"], ".3f"), _cell(layer["share_of_peak"], ".1%")]
        rows.append(row)
    return heading, rows, set(range(2, len(heading)))


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def facts(report: ProfileReport) -> list[tuple[str, str]]:
    """Names and values below the table."""
    whole = report.totals
    kept, alive = memory_text(whole.training_memory_bytes), memory_text(whole.inference_memory_bytes)
    found = [
        ("rule", report.rule),
        ("cost", f"{whole.params:,} parameters, {whole.macs:,} MACs = {whole.flops:,} FLOPs a picture"),
        ("receptive field", sees(whole, described=is_described(report.layers))),
        ("activations", f"{kept} training, {alive} inference a picture"),
    ]
    if report.paper:
        found.append(("paper", _paper_words(report.paper)))
    if above := [layer["path"] for layer in report.layers if (layer.get("share_of_peak") or 0) > 1]:
        names = f"{', '.join(above[:5])}{f' and {len(above) - 5} more' if len(above) > 5 else ''}"
        found.append(("above 100 %", f"{names}: {SAVING}"))
    return found + (_measured_facts(report.measured) if report.measured else [])


def summary(report: ProfileReport) -> Lines:
    """The lines below the table."""
    found = [*facts(report), ("columns", MEASURED_COLUMNS if report.measured else COLUMNS)]
    if report.output:
        found.append(("table, roofline" if report.measured else "table", report.output))
    indent = " " * 18
    wrap = textwrap.TextWrapper(100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    lines: list[str] = []
    for name, value in found:
        wrap.initial_indent = name.ljust(18)
        lines += wrap.wrap(printable(value))
    return in_lines([*lines, ""])


def _paper_words(paper: PaperNumbers) -> str:
    words = []
    if paper.params is not None:
        words.append(f"{paper.params:,.0f} parameters (ours {paper.params_difference:+.1%})")
    if paper.macs is not None:
        words.append(f"{paper.macs:,.0f} multiply-adds (ours {paper.macs_difference:+.1%})")
    return f"{', '.join(words)}: {paper.place}"


def _measured_facts(measured: Measured) -> list[tuple[str, str]]:
    peak = f"{measured.peak_flops_per_second / 1e9:,.0f} GFLOP/s, {measured.peak_bytes_per_second / 1e9:,.1f} GB/s"
    memory = f"{memory_text(measured.training_peak_bytes)} training, {memory_text(measured.inference_peak_bytes)} inference"
    threads = f"{measured.threads} thread{'' if measured.threads == 1 else 's'}"
    pictures = f"{measured.batch_size} picture{'' if measured.batch_size == 1 else 's'}"
    found = [
        ("machine", f"{measured.device}, {threads}: at most {peak}; {measured.share_of_peak:.0%} of it reached"),
        ("peak memory", f"{memory}, measured, {pictures}"),
        ("training step", f"{measured.forward_ms:.2f} ms forward, {measured.backward_ms:.2f} ms backward, {pictures}"),
    ]
    for one in measured.latencies:
        rate = f"{one.images_per_second:,.0f} images/s"
        p50, p99 = f"{one.latency_ms_p50:.2f}", f"{one.latency_ms_p99:.2f}"
        found.append((f"batch of {one.batch_size}", f"{p50} ms p50, {p99} ms p99, {rate} ({one.num_runs} runs)"))
    return found


def is_described(layers: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the receptive fields of the layers are known; those of a module without a description are not."""
    return any(layer["receptive_field"] is not None for layer in layers)


def sees(whole: Totals, *, described: bool) -> str:
    """The receptive field of a network as text."""
    field = whole.receptive_field
    if not described:
        return "not known for modules without a description"
    return str(field) if isinstance(field, int) else "x".join(map(str, field))


def memory_text(count: int | None) -> str:
    """Bytes as text."""
    if count is None:
        return "not known"
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count / 2**10:,.1f} KiB"
