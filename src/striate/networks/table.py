"""The layer table of a network, as text and as records."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from striate.core.text import Lines, in_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from striate.networks.layers.base import Row
    from striate.networks.network import Network


def layer_records(network: Network) -> list[dict[str, Any]]:
    """One record per layer: path, kind, layer, shapes, params, macs, flops, activations, receptive_field, stride, centre."""
    return [
        {
            "path": row.path,
            "kind": row.layer.kind,
            "layer": str(row.layer),
            "input_shape": list(row.input_shape),
            "output_shape": list(row.output_shape),
            "params": row.cost.params,
            "macs": row.cost.macs,
            "flops": 2 * row.cost.macs,
            "activations": row.cost.activations,
            "receptive_field": None if row.view.whole else list(map(_number, row.view.size)),
            "stride": list(map(_number, row.view.stride)),
            "centre": list(map(_number, row.view.centre)),
        }
        for row in network.rows
    ]


def _number(value: float) -> float:
    return int(value) if value == int(value) else value


def field_text(size: Sequence[float] | None) -> str:
    """A receptive field in a table: `5` where all axes agree, `9x7` (H x W) where they do not, `all` for the whole input."""
    if size is None:
        return "all"
    return "x".join(f"{extent:g}" for extent in (size[:1] if len(set(size)) == 1 else size))


def layer_table(network: Network) -> Lines:
    """The table that `print(network)` shows: part, layer, output, parameters, MACs, receptive field."""
    lines = [("part", "layer", "output", "params", "MACs", "field")]
    for row in network.rows:
        field = field_text(None if row.view.whole else row.view.size)
        output = "x".join(map(str, row.output_shape))
        lines.append((row.path, str(row.layer), output, _count(row.cost.params), _count(row.cost.macs), field))
    lines.append(("total", "", "x".join(map(str, network.output_shape)), _count(network.params), _count(network.macs), ""))
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    heading = f"{network.name}   input {'x'.join(map(str, network.input_shape))}"
    text = [heading]
    for line in lines:
        left = (line[i].ljust(widths[i]) for i in (0, 1, 2))
        right = (line[i].rjust(widths[i]) for i in (3, 4, 5))
        text.append("  ".join((*left, *right)).rstrip())
    return in_lines(text)


def table_diff(before: Network, after: Network) -> list[str]:
    """The lines in which two layer tables differ, `-` those of `before` and `+` those of `after`, and the change of the totals.

    A part that stays but has another layer, output or cost stands there twice.
    """
    old, new = ([_diff_line(row) for row in network.rows] for network in (before, after))
    found: list[str] = []
    for tag, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        found += [] if tag == "equal" else [*(f"- {line}" for line in old[i:j]), *(f"+ {line}" for line in new[k:m])]
    changes = (("parameters", before.params, after.params), ("MACs", before.macs, after.macs))
    return [*found, "  ".join(f"{what} {was:,} -> {now:,} ({now - was:+,})" for what, was, now in changes)]


def _diff_line(row: Row) -> str:
    output = "x".join(map(str, row.output_shape))
    return f"{row.path}  {row.layer}  {output}  {_count(row.cost.params)} parameters  {_count(row.cost.macs)} MACs"


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"
