"""`learning_rate='find'`: the learning rate at which the loss falls fastest, and the picture that shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from striate.data.records import ImageSet
from striate.drawing.style import RIGHT, TRAIN, VAL, below, drawing, panels, plain, png_bytes, powers
from striate.engine.lr_range import EXPLODED, LearningRateRange, learning_rate_range
from striate.models.fitting import Fitting, class_counts, fit_images
from striate.workflows.training.continuing import Plan


def find_learning_rate(fitting: Fitting, train_set: ImageSet) -> LearningRateRange:
    """A range test with the fresh weights of the training that `fitting` describes, on its own batches.

    Raises:
        NumericError: the loss falls nowhere.
    """
    training = fit_images(fitting, train_set, None)
    return learning_rate_range(training.module, training.loop.train_batches, fitting.settings, class_counts=class_counts(train_set))


def with_found_rate(plan: Plan, say: Callable[[str], None]) -> tuple[Plan, bytes]:
    """The plan with the learning rate that a range test finds, and the test's picture: a PNG file.

    Raises:
        NumericError: the loss falls nowhere.
    """
    found = find_learning_rate(plan.fitting, plan.train_set)
    rate = float(f"{found.steepest:.3g}")
    say(f"lr find   {rate:g}: there the loss falls fastest; a tenth of where it is lowest is {found.tenth_of_lowest:.3g}")
    return plan.with_settings(dataclasses.replace(plan.fitting.settings, learning_rate=rate)), range_picture(found)


def range_picture(found: LearningRateRange) -> bytes:
    """The range test as a PNG file: losses over the rate on a logarithmic axis, with both rates marked."""
    with drawing():
        figure, ((axes,),) = panels(1, 1, size=(7.2, 4.0), title="Learning-rate range test")
        plain(axes, x="learning rate", y="loss of the batch (nats)")
        axes.semilogx(found.rates, found.losses, color="#bbbbbb", linewidth=0.8, label="each batch")
        axes.semilogx(found.rates, found.smoothed, color=TRAIN, linewidth=1.5, label="smoothed")
        axes.axvline(found.steepest, color=RIGHT, linewidth=1.2, label=f"falls fastest: {found.steepest:.3g}, chosen")
        axes.axvline(found.tenth_of_lowest, color=VAL, linewidth=1.2, linestyle="--", label=f"lowest / 10: {found.tenth_of_lowest:.3g}")
        powers(axes, "x")
        low, high = min(found.losses), max(found.smoothed[0], EXPLODED / 2 * min(found.smoothed))
        axes.set_ylim(low - 0.1 * (high - low), high + 0.2 * (high - low))
        below(figure, *axes.get_legend_handles_labels())
        return png_bytes(figure)
