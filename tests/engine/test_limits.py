"""What a training of a given size makes of its settings."""

from __future__ import annotations

import pytest

from striate.engine.limits import cuts_in_words, idle_in_words, in_effect
from striate.engine.schedules import schedule_of
from striate.engine.settings import TrainSettings


def test_a_warm_up_longer_than_half_of_the_training_is_cut_to_that():
    asked = TrainSettings(epochs=4, warmup_epochs=100, batch_size=4)
    taken = in_effect(asked, 6, 2)

    assert taken.warmup_epochs == 2
    assert cuts_in_words(asked, taken) == {"warmup_epochs": "warm-up: 2 epochs instead of the requested 100, at most half of the training"}


@pytest.mark.parametrize("steps_per_epoch", [1, 3, 7, 49, 390])
@pytest.mark.parametrize("epochs", [1, 3, 30])
def test_rates_are_the_same_with_what_was_asked_for_and_with_what_took_effect(steps_per_epoch, epochs):
    asked = TrainSettings(epochs=epochs, warmup_epochs=50, batch_size=10)
    taken = in_effect(asked, 10 * steps_per_epoch, steps_per_epoch)
    one, other = (schedule_of(each, epochs * steps_per_epoch, steps_per_epoch) for each in (asked, taken))

    assert taken.warmup_epochs < asked.warmup_epochs
    assert [one(step) for step in range(epochs * steps_per_epoch)] == [other(step) for step in range(epochs * steps_per_epoch)]


def test_a_batch_holds_the_pictures_there_are_and_a_part_of_it_one_at_least():
    asked = TrainSettings(epochs=4, warmup_epochs=1, batch_size=128, accumulate=50)
    taken = in_effect(asked, 6, 1)

    assert (taken.batch_size, taken.accumulate) == (6, 6)
    assert list(cuts_in_words(asked, taken).values()) == [
        "batch: 6 pictures instead of the requested 128, all that the data has",
        "accumulate: 6 parts instead of the requested 50, of one picture each",
    ]


def test_settings_within_their_bounds_are_left_as_they_are():
    asked = TrainSettings(epochs=30, warmup_epochs=5, batch_size=10, accumulate=2, patience=5)

    assert in_effect(asked, 100, 10) == asked
    assert not list(idle_in_words(asked, 10))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"patience": 3}, "patience: 3 epochs without improvement cannot occur in a training of 4 epochs, so it never stops early"),
        ({"freeze": ("stem",), "unfreeze_every": 4}, "unfreeze_every: no part is unfrozen in a training of 4 epochs, only after 4"),
        ({"unfreeze_every": 1}, "unfreeze_every: no part is frozen (`freeze`)"),
        ({"lookahead": 41}, "lookahead: the slow weights move after 41 updates, but the training has 40"),
        ({"swa_start": 0.9}, "swa_start: in a training of 4 epochs, only the end of the last is included, so nothing is averaged"),
        ({"schedule": "step", "step_every": 4}, "sched step: step_every 4 epochs never pass in a training of 4 epochs"),
        ({"schedule": "multi_step", "step_at": (1.0,)}, "sched multi_step: step_at 1 is never reached in a training of 4 epochs"),
        (
            {"schedule": "plateau", "plateau_epochs": 3},
            "sched plateau: plateau_epochs 3 without improvement cannot occur in a training of 4 epochs",
        ),
    ],
)
def test_what_the_training_ends_before_is_told(settings, words):
    (line,) = idle_in_words(TrainSettings(epochs=4, **settings), 10)

    assert line.startswith(words)


@pytest.mark.parametrize(
    "settings",
    [
        {"patience": 2},
        {"freeze": ("stem",), "unfreeze_every": 3},
        {"lookahead": 40},
        {"swa_start": 0.75},
        {"schedule": "step", "step_every": 2},
        {"schedule": "multi_step"},
        {"schedule": "plateau", "plateau_epochs": 2},
    ],
)
def test_what_has_an_effect_is_not_told(settings):
    assert not list(idle_in_words(TrainSettings(epochs=4, **settings), 10))
