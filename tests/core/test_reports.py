"""A report at a prompt is a short table: figures and files are there, long lists are only counted."""

from dataclasses import dataclass

from striate.core.reports import shown_short


@dataclass(frozen=True)
class Score:
    accuracy: float | None
    loss: float
    matrix: tuple[tuple[int, ...], ...] = ((1, 2), (3, 4))


@shown_short
@dataclass(frozen=True, kw_only=True)
class RunReport:
    run: str = "runs/a\x1b[2J"
    params: int = 61_706
    val: Score = Score(None, 0.25)
    p_value: float = 0.000012
    interrupted: bool = False
    interval: tuple[float, float] = (0.5, 0.75)
    losses: tuple[float, ...] = (0.1,) * 7
    classes: dict[str, Score] | None = None
    latencies: dict[str, float] | None = None
    left_out: tuple[str, ...] = ()


def test_a_report_is_a_short_table_of_what_it_holds():
    report = RunReport(classes={"<cat>": Score(0.5, 1.0)}, latencies={"p50": 1.5})

    assert repr(report).splitlines() == [
        "RunReport",
        "run          runs/a\\x1b[2J",
        "params       61,706",
        "val          loss 0.2500",
        "p_value      1.2e-05",
        "interrupted  no",
        "interval     0.5000, 0.7500",
        "losses       7, in .losses",
        "classes      1, in .classes",
        "latencies    p50 1.5000",
    ]
    assert "<td>61,706</td>" in report._repr_html_() and "runs/a\\x1b[2J" in report._repr_html_()
