"""The loop: how long it runs, what it tells, what it leaves as it was."""

from __future__ import annotations

import copy
import itertools
import math
import os
import signal

import pytest
import torch
from sklearn.metrics import f1_score, recall_score
from torch import nn
from torch.nn import functional as F

from striate.core.errors import DataError, NumericError
from striate.engine.epochs import score_of
from striate.engine.fit import fit
from striate.engine.rules import precision_of
from striate.engine.settings import TrainSettings
from striate.engine.validation import validate

PLAIN = {"precision": "float32", "learning_rate": 0.05, "warmup_epochs": 0.0, "device": "cpu"}


def settings(**changes: object) -> TrainSettings:
    return TrainSettings(**{**PLAIN, **changes})


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values()]


def same(ours: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, others, strict=True))


# ---- how long


@pytest.mark.parametrize(("steps", "epochs"), [(1, [1]), (4, [4]), (5, [4, 1]), (12, [4, 4, 4])])
def test_exactly_as_many_updates_as_asked(make_batches, make_model, steps, epochs):
    events = list(fit(make_model(), make_batches(4), settings(steps=steps, epochs=99)))

    updates = [event for event in events if event.row is None]
    rows = [event.row for event in events if event.row is not None]
    assert [event.step for event in updates] == list(range(1, steps + 1))
    assert [event.steps_in_epoch for event in events if event.row is not None] == epochs
    assert [row.step for row in rows] == list(itertools.accumulate(epochs))
    assert events[-1].row is not None


def test_epochs_run_over_all_batches_and_each_ends_with_a_row(make_batches, make_model):
    batches = make_batches(4)

    events = list(fit(make_model(), batches, settings(epochs=3)))

    assert batches.begun == 3
    assert [(event.epoch, event.step_in_epoch, event.row is not None) for event in events[:6]] == [
        (1, 1, False), (1, 2, False), (1, 3, False), (1, 4, False), (1, 4, True), (2, 1, False)
    ]  # fmt: skip
    assert [event.row.epoch for event in events if event.row] == [1, 2, 3]


def test_no_epochs_measure_and_keep_the_weights_that_it_begins_with(make_batches, make_model):
    model, val_batches = make_model(), make_batches(3, seed=1)
    before, val = weights(model), validate(model, val_batches)
    training = fit(model, make_batches(4), settings(epochs=0), val_batches=val_batches)

    (event,) = training

    assert same(weights(model), before)
    assert training.done
    assert event.is_best
    assert (event.row.epoch, event.row.step) == (0, 0)
    assert (event.row.val_loss, event.row.val_accuracy) == pytest.approx(val, rel=1e-5)
    assert math.isnan(event.row.train_loss)


def test_no_batches_are_an_error_in_words(make_batches, make_model):
    with pytest.raises(DataError, match="no training pictures"):
        next(iter(fit(make_model(), make_batches(0), settings())))


# ---- what it learns and tells


def test_it_learns_what_can_be_learned(make_batches, make_model):
    rows = [e.row for e in fit(make_model(), make_batches(6), settings(epochs=6), val_batches=make_batches(3, seed=1)) if e.row]

    assert rows[0].train_accuracy < 0.95
    assert rows[-1].val_accuracy > 0.95
    assert rows[-1].train_loss < rows[0].train_loss / 4
    assert rows[-1].val_loss < 0.2


def test_a_row_says_what_a_plain_loop_finds(make_batches, make_model):
    """The same training written out with torch's optimizer: mean loss, share of hits, last rate, and the weights."""
    ours, plain = make_model().double(), make_model().double()
    batches = make_batches(5)
    for index, batch in enumerate(batches.batches):
        batches.batches[index] = batch._replace(images=batch.images.double())
    chosen = settings(steps=5, schedule="cosine", weight_decay=0.0, learning_rate=0.1)

    row = list(fit(ours, batches, chosen))[-1].row

    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    losses, hits, count = [], 0, 0
    for step, batch in enumerate(batches.batches):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 + math.cos(math.pi * step / 5)) / 2
        logits = plain(batch.images)
        loss = F.cross_entropy(logits, batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        hits, count = hits + int((logits.argmax(1) == batch.labels).sum()), count + len(batch.labels)
    assert row.train_loss == pytest.approx(sum(losses) / 5, abs=1e-10)
    assert row.train_accuracy == pytest.approx(hits / count)
    assert row.learning_rate == pytest.approx(0.1 * (1 + math.cos(math.pi * 4 / 5)) / 2)
    assert row.images_per_second == pytest.approx(count / row.seconds, rel=0.05)
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-10)


def test_without_a_validation_set_the_row_says_nan_and_each_epoch_is_the_best(make_batches, make_model):
    ends = [event for event in fit(make_model(), make_batches(2), settings(epochs=2)) if event.row]

    assert all(math.isnan(event.row.val_loss) and math.isnan(event.row.val_accuracy) for event in ends)
    assert [event.is_best for event in ends] == [True, True]


@pytest.mark.row("000-20", "001-19")
def test_validation_equals_counting_by_hand_without_dropout_and_gives_the_mode_back(make_batches, make_model):
    model, batches = make_model(dropout=0.6), make_batches(3, 5, seed=2)
    batches.batches[-1] = type(batches.batches[-1])(*(tensor[:2] for tensor in batches.batches[-1]))  # a smaller last batch counts less
    losses, hits = [], 0
    model.eval()
    for batch in batches.batches:
        for image, label in zip(batch.images, batch.labels.tolist(), strict=True):
            logits = model(image[None])[0].tolist()
            losses.append(math.log(sum(map(math.exp, logits))) - logits[label])
            hits += max(range(3), key=logits.__getitem__) == label
    model.train()
    model[1].eval()

    loss, accuracy = validate(model, batches)

    assert loss == pytest.approx(sum(losses) / 12, abs=1e-5)
    assert accuracy == hits / 12
    assert validate(model, batches) == (loss, accuracy)
    assert [part.training for part in model] == [True, False, True, True, True, True, True]


# ---- the best, and stopping early


@pytest.fixture
def scores(monkeypatch):
    """Let validation give these (loss, accuracy) in turn."""

    def give(*values: tuple[float, float]) -> None:
        answers = iter(values)
        monkeypatch.setattr("striate.engine.validation.validate", lambda model, batches, **functions: next(answers))

    return give


def test_the_best_epoch_has_the_highest_accuracy_and_among_equals_the_lowest_loss(make_batches, make_model, scores):
    scores((0.9, 0.5), (0.8, 0.5), (0.8, 0.5), (0.1, 0.4), (0.7, 0.6), (0.9, 0.6))

    ends = [e for e in fit(make_model(), make_batches(1), settings(epochs=6), val_batches=make_batches(1)) if e.row]

    assert [event.is_best for event in ends] == [True, True, False, False, True, False]


@pytest.mark.row("001-8")
def test_stopping_early_waits_for_patience_epochs_and_the_best_weights_are_those_of_the_best_event(make_batches, make_model, scores):
    """Who consumes the events keeps the weights at each better one; they are the model's of that epoch, not of the last."""
    scores((0.9, 0.5), (0.8, 0.7), (0.8, 0.6), (0.8, 0.65), (0.8, 0.9))
    model, seen, kept = make_model(), {}, []

    for event in fit(model, make_batches(2), settings(epochs=9, patience=2), val_batches=make_batches(1)):
        if event.row:
            seen[event.epoch] = weights(model)
        if event.is_best:
            kept = weights(model)

    assert list(seen) == [1, 2, 3, 4]
    assert same(kept, seen[2])
    assert not same(kept, seen[4])
    assert not event.interrupted


def trained_epochs(events):
    return [event.epoch for event in events if event.row]


@pytest.mark.parametrize(
    ("monitor", "epochs", "best"),
    [
        pytest.param("accuracy", 3, 3, id="a lower loss of the same accuracy is kept and does not count as better"),
        pytest.param("loss", 5, 3, id="of the loss, higher accuracies do not count"),
    ],
)
def test_patience_waits_for_the_monitored_measure(make_batches, make_model, scores, monitor, epochs, best):
    scores((0.5, 0.8), (0.4, 0.8), (0.3, 0.8), (0.6, 0.9), (0.6, 0.95), (0.2, 0.99))

    training = fit(make_model(), make_batches(1), settings(epochs=6, patience=2, monitor=monitor), val_batches=make_batches(1))

    assert trained_epochs(training)[-1] == epochs
    assert training.best_epoch == best
    assert training.stopped_early


def test_a_training_that_reaches_its_end_has_not_stopped_early(make_batches, make_model, scores):
    scores((0.5, 0.8), (0.5, 0.8), (0.5, 0.8))

    training = fit(make_model(), make_batches(1), settings(epochs=3, patience=2), val_batches=make_batches(1))

    assert trained_epochs(training) == [1, 2, 3]
    assert not training.stopped_early


def test_patience_begins_anew_where_a_training_that_stopped_early_goes_on(make_batches, make_model, scores):
    scores(*[(0.5, 0.8)] * 9)
    first = fit(make_model(), make_batches(1), settings(epochs=9, patience=2), val_batches=make_batches(1))
    assert trained_epochs(first) == [1, 2, 3]

    second = fit(make_model(), make_batches(1), settings(epochs=9, patience=2), val_batches=make_batches(1))
    second.load_state(first.state(), first.tensors())

    assert trained_epochs(second) == [4, 5]
    assert second.stopped_early


@pytest.mark.parametrize("monitor", ["macro_f1", "balanced_accuracy"])
def test_measures_over_classes_are_those_of_scikit_learn(make_batches, make_model, monitor):
    """The second batch holds pictures of two of the three classes only."""
    batches = make_batches(2)
    batches.batches[1] = batches.batches[1]._replace(labels=batches.batches[1].labels.clamp(max=1))
    model = make_model()

    row = next(event.row for event in fit(model, batches, settings(epochs=1, monitor=monitor), val_batches=batches) if event.row)

    with torch.inference_mode():
        given = torch.cat([model.eval()(batch.images).argmax(1) for batch in batches.batches])
    labels = torch.cat([batch.labels for batch in batches.batches])
    expected = {"macro_f1": f1_score(labels, given, average="macro"), "balanced_accuracy": recall_score(labels, given, average="macro")}
    assert getattr(row, f"val_{monitor}") == pytest.approx(expected[monitor])
    assert score_of(row, monitor)[0] == getattr(row, f"val_{monitor}")


# ---- what is not finite


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_training_stops_at_the_first_loss_that_is_not_finite_and_names_the_step(make_batches, make_model, value):
    batches = make_batches(4)
    batches.batches[2].images[1, 0, 0, 0] = value
    seen = []

    with pytest.raises(NumericError) as error:
        seen.extend(fit(make_model(), batches, settings(epochs=2, schedule="constant")))

    assert str(error.value) == (
        "the loss is not finite at step 3 (learning rate 0.05): the pictures hold NaN or Inf\n"
        "Train with a smaller `learning_rate`, with `max_grad_norm=1`, or with `precision='float32'`."
    )
    assert not seen or seen[-1].step == 2


def test_weights_that_validate_to_nan_are_never_the_best(make_batches, make_model, scores):
    scores((math.nan, 0.9))

    with pytest.raises(NumericError, match="not finite at step 2"):
        list(fit(make_model(), make_batches(2), settings(epochs=1), val_batches=make_batches(1)))


# ---- a wish to stop


def interrupted_run(make_batches, make_model, number: signal.Signals, at: tuple[int, bool], **changes: object):
    """The events of a training that gets a signal when its event (step, is a row) is consumed."""
    events = []
    for event in fit(make_model(), make_batches(4), settings(**{"epochs": 3, **changes}), val_batches=make_batches(1)):
        events.append(event)
        if (event.step, event.row is not None) == at and not event.interrupted:
            os.kill(os.getpid(), number)
    return events


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_training_at_the_boundary_of_a_step(make_batches, make_model, number):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    events = interrupted_run(make_batches, make_model, number, (6, False))

    assert [event.step for event in events[:-1] if event.row is None] == [1, 2, 3, 4, 5, 6]
    assert (events[-1].epoch, events[-1].step, events[-1].step_in_epoch, events[-1].interrupted) == (2, 6, 2, True)
    assert [event.row.epoch for event in events if event.row] == [1]  # half an epoch has no row: it will be continued
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_before_the_end_of_the_first_epoch_still_gives_a_validated_model(make_batches, make_model):
    events = interrupted_run(make_batches, make_model, signal.SIGTERM, (2, False))

    assert events[-1].interrupted and events[-1].is_best
    assert (events[-1].row.step, events[-1].step_in_epoch, events[-1].steps_in_epoch) == (2, 2, 4)
    assert math.isfinite(events[-1].row.val_loss)


def test_a_signal_while_an_epoch_is_being_saved_is_not_lost(make_batches, make_model):
    events = interrupted_run(make_batches, make_model, signal.SIGTERM, (4, True))

    assert events[-1].interrupted
    assert events[-1].step == 5


@pytest.mark.parametrize("at", [(12, False), (12, True)])
def test_a_training_that_is_done_anyway_is_not_interrupted(make_batches, make_model, at):
    events = interrupted_run(make_batches, make_model, signal.SIGTERM, at)

    assert events[-1].row.step == 12
    assert not any(event.interrupted for event in events)


def test_a_second_interrupt_ends_at_once(make_batches, make_model):
    run = fit(make_model(), make_batches(4), settings())
    next(iter(run))
    os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    run.close()


# ---- what is left as it was


def test_modes_come_back_and_a_frozen_norm_stays_frozen(make_batches, make_model):
    model = make_model()
    model[1].eval()
    mean = model[1].running_mean.clone()

    for _ in fit(model, make_batches(3), settings(epochs=1), val_batches=make_batches(1)):
        assert [part.training for part in model] == [True, False, True, True, True, True, True]

    assert torch.equal(model[1].running_mean, mean)
    assert [part.training for part in model] == [True, False, True, True, True, True, True]


def test_a_model_in_evaluation_mode_trains_its_norms_and_is_given_back_in_evaluation_mode(make_batches, make_model):
    """The running statistics move in training only: once by 0.1 towards the mean and the unbiased variance of the batch."""
    model, batches = make_model().eval(), make_batches(1)
    with torch.no_grad():
        maps = model[0](batches.batches[0].images).transpose(0, 1).flatten(1)  # (C, N H W)

    for _ in fit(model, batches, settings(steps=1), val_batches=make_batches(2, seed=1)):
        pass

    torch.testing.assert_close(model[1].running_mean, 0.1 * maps.mean(1))
    torch.testing.assert_close(model[1].running_var, 0.9 + 0.1 * maps.var(1, correction=1))
    assert not any(part.training for part in model.modules())


def test_a_run_that_is_given_up_leaves_modes_signals_and_parts_as_they_were(make_batches, make_model):
    model, handler = make_model().eval(), signal.getsignal(signal.SIGINT)
    parts = [id(part) for part in model]

    run = fit(model, make_batches(3), settings())
    next(iter(run))
    assert model.training
    assert signal.getsignal(signal.SIGINT) is not handler
    run.close()

    assert not any(part.training for part in model.modules())
    assert signal.getsignal(signal.SIGINT) is handler
    assert [id(part) for part in model] == parts


def test_torchs_own_random_numbers_are_the_callers_between_steps_and_after(make_batches, make_model):
    torch.manual_seed(5)
    expected = torch.rand(9)
    torch.manual_seed(5)

    drawn = [torch.rand(1) for event in fit(make_model(dropout=0.5), make_batches(4), settings(epochs=2)) if event.row is None]

    assert torch.equal(torch.cat([*drawn, torch.rand(1)]), expected)


# ---- randomness


def trained(make_batches, make_model, *, disturb: bool = False, **changes: object) -> list[torch.Tensor]:
    model = make_model(dropout=0.5)
    for _ in fit(model, make_batches(3), settings(**{"epochs": 2, **changes})):
        if disturb:
            torch.manual_seed(len(changes))
            torch.rand(7)
    return weights(model)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_weights_bit_for_bit(make_batches, make_model, precision):
    first = trained(make_batches, make_model, seed=3, precision=precision)

    assert same(first, trained(make_batches, make_model, seed=3, precision=precision, disturb=True))
    assert not same(first, trained(make_batches, make_model, seed=4, precision=precision))


def test_dropout_depends_on_the_seed_and_the_step_alone(make_batches):
    """The masks of step 3 are the same when steps 1 and 2 drew from a net with another dropout before it."""

    def masks(*before: nn.Module) -> list[torch.Tensor]:
        probe, seen = nn.Dropout(0.5), []
        probe.register_forward_hook(lambda part, inputs, output: seen.append(output == 0))
        model = nn.Sequential(nn.Flatten(), nn.Linear(96, 8), nn.Sigmoid(), probe, nn.Linear(8, 3), *before)
        list(fit(model, make_batches(3), settings(steps=3, seed=9)))
        return seen

    plain, busier = masks(), masks(nn.Dropout(0.1))

    assert all(torch.equal(ours, other) for ours, other in zip(plain, busier, strict=True))
    assert not torch.equal(plain[0], plain[1])


# ---- precision, sizes of batches


@pytest.mark.parametrize(
    ("precision", "fast", "expected"),
    [("auto", True, torch.bfloat16), ("auto", False, None), ("float32", True, None), ("bfloat16", False, torch.bfloat16)],
)
def test_bfloat16_is_used_where_it_is_fast_or_asked_for(monkeypatch, precision, fast, expected):
    monkeypatch.setattr("striate.engine.rules.is_bfloat16_fast", lambda device: fast)

    assert precision_of(TrainSettings(precision=precision), torch.device("cpu")) == expected


def descended(start: nn.Module, images, labels, *, epochs: int, rate: float) -> nn.Module:
    """A copy of a model after plain descent by the mean gradient of each batch in turn."""
    model = copy.deepcopy(start)
    for part, classes in list(zip(images, labels, strict=True)) * epochs:
        gradients = torch.autograd.grad(F.cross_entropy(model(part), classes), list(model.parameters()))
        with torch.no_grad():
            for weight, gradient in zip(model.parameters(), gradients, strict=True):
                weight.sub_(rate * gradient)
    return model


@pytest.mark.row("000-3")
def test_one_sample_a_mini_batch_and_the_full_batch_all_learn(make_batches):
    """96 pictures: 96 updates of 1, 8 of 12, or 1 of 96 an epoch; the full batch takes the step of the mean of all gradients."""
    pictures = make_batches(8)
    images = torch.cat([batch.images for batch in pictures.batches])
    labels = torch.cat([batch.labels for batch in pictures.batches])
    kind = type(pictures.batches[0])
    updates, moved = {}, {}
    for size in (1, 12, 96):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(96, 3))
        start = copy.deepcopy(model)
        batches = type(pictures)([kind(*pair) for pair in zip(images.split(size), labels.split(size), strict=True)])
        chosen = settings(epochs=5, learning_rate=0.01, momentum=0.0, weight_decay=0.0, schedule="constant")
        events = list(fit(model, batches, chosen))
        updates[size] = events[-1].step
        by_hand = descended(start, images.split(size), labels.split(size), epochs=5, rate=0.01)
        for ours, expected in zip(model.parameters(), by_hand.parameters(), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
        moved[size] = F.cross_entropy(start(images), labels).item() - F.cross_entropy(model(images), labels).item()

    assert updates == {1: 480, 12: 40, 96: 5}
    assert moved[1] > moved[12] > moved[96] > 0.01
