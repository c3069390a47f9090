"""The rows of an ablation's table: each variant's trials together, and against those of the baseline from the same seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.intervals import Interval, Paired, holm, paired_difference, paired_share_difference, share_interval, t_interval
from striate.networks.network import Network
from striate.workflows.ablation.record import Result
from striate.workflows.ablation.variants import BASELINE


@dataclass(frozen=True, kw_only=True)
class VariantRow:
    """The result of a variant: means over the seeds whose trials finished."""

    name: str
    edits: tuple[str, ...]
    params: int
    macs: int
    steps: int
    done: int  # trials
    accuracy: float | None  # on the validation split, of the last epoch
    accuracy_interval: tuple[float, float] | None  # 95 %, over other seeds and other pictures
    difference: float | None  # to the baseline, over the seeds that both have
    difference_interval: tuple[float, float] | None
    p_value: float | None  # of the paired t-test over the seeds
    p_corrected: float | None  # the same, corrected for the number of variants (Holm)
    train_loss: float | None
    seconds: float | None  # of training, one trial
    gradients_before: dict[str, float]  # norm by weight, before the first update; mean over the seeds
    gradients_after: dict[str, float]
    curve: tuple[tuple[float, ...], ...]  # epoch, training loss, validation loss and accuracy; means over the seeds
    curve_deviation: tuple[tuple[float, ...], ...]  # of the same between the seeds; empty with one
    test_accuracy: float | None = None  # of the epoch that is the best on the validation split; where it was asked for
    test_accuracy_interval: tuple[float, float] | None = None
    problems: tuple[str, ...]  # of trials that were not done
    diff: tuple[str, ...]


def rows_of(held: Mapping[str, Any], results: Mapping[str, Result]) -> list[VariantRow]:
    """The rows of the variants of the plan `held`, by the results of its trials; their p-values are corrected together."""
    seeds = range(held["first_seed"], held["first_seed"] + held["seeds"])
    by_variant = {one["name"]: {seed: results[f"{one['name']} seed {seed}"] for seed in seeds} for one in held["variants"]}
    rows = [_row(one, by_variant[one["name"]], by_variant[BASELINE]) for one in held["variants"]]
    corrected = holm([row.p_value for row in rows])
    return [dataclasses.replace(row, p_corrected=p) for row, p in zip(rows, corrected, strict=True)]


def _row(one: Mapping[str, Any], results: Mapping[int, Result], base: Mapping[int, Result]) -> VariantRow:
    done = {seed: result for seed, result in results.items() if result["status"] == "done"}
    network = Network.from_data(one["network"])
    accuracy = _accuracy(list(done.values()), "accuracy", "num_val")
    test = _accuracy([result for result in done.values() if "test_accuracy" in result], "test_accuracy", "num_test")
    pairs = [(result, base[seed]) for seed, result in done.items() if base[seed]["status"] == "done"]
    paired = _paired(pairs) if one["name"] != BASELINE else None
    curves = np.array(list(zip(*(result["curve"] for result in done.values()), strict=False)))  # (epochs, seeds, 4)
    return VariantRow(
        name=one["name"],
        edits=tuple(one["edits"]),
        params=network.params,
        macs=network.macs,
        steps=one["steps"],
        done=len(done),
        accuracy=accuracy.mean if accuracy else None,
        accuracy_interval=_bounds(accuracy),
        difference=paired.difference if paired else None,
        difference_interval=_bounds(paired),
        p_value=paired.p_value if paired else None,
        p_corrected=None,
        train_loss=_mean([result["train_loss"] for result in done.values()]),
        seconds=_mean([result["training_seconds"] for result in done.values()]),
        gradients_before=_means([result["gradients_before"] for result in done.values()]),
        gradients_after=_means([result["gradients_after"] for result in done.values()]),
        curve=tuple(map(tuple, curves.mean(1).tolist())) if len(curves) else (),
        curve_deviation=tuple(map(tuple, curves.std(1, ddof=1).tolist())) if len(curves) and len(done) > 1 else (),
        test_accuracy=test.mean if test else None,
        test_accuracy_interval=_bounds(test),
        problems=tuple(f"seed {seed}: {result['status']}: {result['message']}" for seed, result in results.items() if seed not in done),
        diff=tuple(one["diff"]),
    )


def _accuracy(done: Sequence[Result], name: str, number: str) -> Interval | None:
    """The mean accuracy and its interval; over the seeds alone where older trials do not say of how many pictures."""
    shares = [result[name] for result in done]
    if all(number in result for result in done):
        return share_interval(shares, done[0][number]) if done else None
    return t_interval(shares)


def _paired(pairs: Sequence[tuple[Result, Result]]) -> Paired | None:
    """The difference to the baseline, seed by seed and picture by picture; seed by seed alone where older trials kept no pictures."""
    if all("hits" in result for pair in pairs for result in pair) and pairs:
        ours, theirs = (np.stack([_hits(pair[side]) for pair in pairs]) for side in (0, 1))
        return paired_share_difference(ours, theirs)
    return paired_difference([ours["accuracy"] for ours, _ in pairs], [theirs["accuracy"] for _, theirs in pairs])


def _hits(result: Result) -> np.ndarray:
    """(n,) bool: the pictures of the validation split that were classified correctly."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(result["hits"]), np.uint8), count=result["num_val"]).astype(bool)


def _bounds(interval: Interval | Paired | None) -> tuple[float, float] | None:
    """The bounds of an interval that has some, inside what a share or a difference of shares can be."""
    if interval is None or interval.low is None or interval.high is None:
        return None
    return max(-1.0 if isinstance(interval, Paired) else 0.0, interval.low), min(1.0, interval.high)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _means(records: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: math.fsum(record[name] for record in records) / len(records) for name in records[0]} if records else {}
