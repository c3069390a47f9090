"""What the answers of a kept model tell, on answers made by hand: said where it is so, and not said of what only looks like it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp

from striate.data.augmentation.record import Augmentation
from striate.engine.settings import TrainSettings
from striate.insight.diagnose.exam import Answers, Exam, Shift, answers_of, shared_pictures, shift_between
from striate.insight.diagnose.records import LayerSample, Sample
from striate.insight.diagnose.rules import Record, judge, withdrawn
from striate.insight.diagnose.setup import NetworkFacts, Setup, facts_of
from striate.networks.catalog import network

FACTS = NetworkFacts("cnn", 100_000, depth=5, norms=0, shortcuts=0, norm_momentum=None, dropout=0.0)


def answered(accuracy: float, *, sure: float, count: int = 500, num_classes: int = 5) -> Answers:
    """Answers of which the surest three tenths are right with share `sure`, and all with `accuracy`; the classes are equally frequent."""
    rest = (accuracy - 0.3 * sure) / 0.7
    each = count // num_classes
    return Answers(
        num_images=count,
        accuracy=accuracy,
        errors=(1 - sure,) * 3 + (1 - rest,) * 7,
        counts=(each,) * num_classes,
        hits=(round(each * accuracy),) * num_classes,
    )


def exam(train: Answers, val: Answers, **changes: Any) -> Exam:
    known = {"shared": 0, "shift": Shift(0.05, 1.0), "input_mean": 0.0, "input_std": 1.0}
    return Exam(train=train, val=val, train_counts=(200,) * len(train.counts), val_counts=val.counts, **{**known, **changes})


def setup(facts: NetworkFacts = FACTS, augmentation: Augmentation | None = None, *, is_fresh: bool = True, **settings: Any) -> Setup:
    return Setup(TrainSettings(**settings), augmentation or Augmentation(), facts, is_fresh, 1000, 500)


def epochs(count: int = 10, *, each: int = 40, train_loss: float = 0.5, val_loss: float = 0.5) -> list[dict[str, float]]:
    """Rows of a training whose loss hardly falls any more."""
    return [
        {"step": each * (place + 1), "train_loss": train_loss, "val_loss": val_loss, "train_accuracy": 0.5, "val_accuracy": 0.5}
        for place in range(count)
    ]


def kinds(record: Record) -> list[str]:
    return [finding.kind for finding in judge(record)]


# ---- wrong labels


def test_sure_answers_that_contradict_the_labels_are_wrong_labels():
    """30 % wrong ones: the surest third is contradicted as often as the others."""
    found = judge(Record((), epochs(), 5, setup(), exam(answered(0.7, sure=0.72), answered(0.68, sure=0.7))))

    assert [finding.kind for finding in found] == ["label_noise"]
    assert "28 % contradict the label in training and 30 % in validation" in found[0].message


@pytest.mark.parametrize(
    ("train", "val"),
    [
        (answered(0.7, sure=0.99), answered(0.68, sure=0.97)),  # hard pictures: what is sure is right
        (answered(1.0, sure=1.0), answered(0.55, sure=0.8)),  # learned by heart: no label of the training pictures is contradicted
        (answered(0.25, sure=0.3), answered(0.25, sure=0.3)),  # it has learned next to nothing
    ],
)
def test_errors_of_other_kinds_are_not_taken_for_wrong_labels(train, val):
    assert "label_noise" not in kinds(Record((), epochs(), 5, setup(), exam(train, val)))


def test_eight_validation_pictures_are_too_few_for_a_word_about_labels():
    """80 photos, a tenth of them held out."""
    assert kinds(Record((), epochs(), 5, setup(), exam(answered(0.7, sure=0.72, count=70), answered(0.5, sure=0.5, count=8)))) == []


def test_wrong_labels_are_found_where_the_validation_has_right_ones():
    found = kinds(Record((), epochs(), 5, setup(), exam(answered(0.7, sure=0.7), answered(0.95, sure=1.0))))

    assert found == ["label_noise"]


def test_a_rate_that_is_too_low_is_advised_to_grow_to_usual_updates():
    """A change of 2e-6 of the weights wants 500 times the rate for the usual 1e-3."""
    samples = [Sample(step=step, learning_rate=1e-6, layers=(LayerSample(path="a", update_ratio=2e-6),)) for step in (20, 50, 100)]

    assert [(finding.kind, finding.remedy) for finding in judge(Record(samples))] == [("learning_rate_too_low", "`learning_rate=0.0005`")]


# ---- too little learned


@pytest.mark.parametrize("accuracy", [0.96, 0.9, 0.74])
def test_a_low_accuracy_with_augmentation_is_no_underfitting(accuracy):
    """The training loss counts pictures that were changed; without changes they are answered."""
    rows = [{**row, "train_loss": 1.9, "val_loss": 1.3} for row in epochs()]
    policy = setup(augmentation=Augmentation(policy="trivial"))

    assert kinds(Record((), rows, 10, policy, exam(answered(accuracy + 0.02, sure=1.0), answered(accuracy, sure=1.0)))) == []


def test_without_an_exam_nothing_is_said_of_what_was_learned():
    assert kinds(Record((), epochs(train_loss=2.0, val_loss=2.1), 10, setup())) == []


def test_a_short_training_is_told_to_last_longer_than_it_did():
    rows = [{**row, "train_loss": 2.0 - 0.15 * place, "val_loss": 2.0} for place, row in enumerate(epochs(6, each=4))]

    found = judge(Record((), rows, 10, setup(epochs=6), exam(answered(0.4, sure=0.9), answered(0.4, sure=0.9))))

    assert [(finding.kind, finding.remedy) for finding in found] == [("underfitting", "`epochs=54`")]
    assert found[0].cause.startswith("The training was too short: 24 updates")


def test_a_training_that_patience_ended_is_told_to_be_more_patient():
    rows = [{**row, "train_loss": 2.0 - 0.15 * place, "val_loss": 2.0} for place, row in enumerate(epochs(6, each=4))]

    found = judge(Record((), rows, 10, setup(epochs=30, patience=2), exam(answered(0.4, sure=0.9), answered(0.4, sure=0.9))))

    assert [(finding.kind, finding.remedy) for finding in found] == [("underfitting", "`patience=10`")]
    assert found[0].cause == "Patience ended the training after 24 updates."


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"l2": 0.3}, "`set={'settings.l2': 0}`"),
        ({"weight_decay": 0.5}, "`weight_decay=0.0005`"),
        ({"optimizer": "adamw", "weight_decay": 5.0}, "`weight_decay=0.01`"),
    ],
)
def test_a_regularisation_that_holds_a_network_down_is_named(settings, remedy):
    found = judge(Record((), epochs(), 10, setup(**settings), exam(answered(0.4, sure=0.9), answered(0.4, sure=0.9))))

    assert [(finding.kind, finding.remedy) for finding in found] == [("regularisation_too_strong", remedy)]


def test_what_a_strong_regularisation_explains_is_not_said_on_its_own():
    """Gradients vanish, because the weights do: another initialisation would not help."""
    layers = [LayerSample(path=f"hidden{place}", signal=1e-9 if place < 3 else 1.0, update_ratio=1e-3) for place in range(1, 6)]
    samples = [Sample(step=step, layers=tuple(layers)) for step in (20, 50, 100)]
    low = exam(answered(0.2, sure=0.2), answered(0.2, sure=0.2))

    found = judge(Record(samples, epochs(), 5, setup(l2=0.3), low))

    assert [finding.kind for finding in found] == ["regularisation_too_strong"]
    assert found[0].consequences == ("vanishing_gradient", "underfitting")
    assert judge(Record(samples, epochs(), 5, setup(l2=0.3), is_finished=False)) == []
    assert kinds(Record(samples, epochs(), 5, setup(), is_finished=False)) == ["vanishing_gradient"]


@pytest.mark.row("003-13")
def test_a_network_that_no_longer_learns_is_advised_to_another_topology_or_another_start():
    """The topology first where the network is small, the start first where it is not."""
    low = exam(answered(0.4, sure=0.9), answered(0.4, sure=0.9))

    def told(facts: NetworkFacts, loss: float = 0.5) -> list[str]:
        rows = [{**row, "train_loss": 0.5 + (loss - 0.5) * place / 9} for place, row in enumerate(epochs())]
        return [finding.remedy for finding in judge(Record((), rows, 10, setup(facts), low))]

    assert told(FACTS._replace(params=300)) == ["`network='compact_cnn'`; or other first weights, with `seed=1`"]
    assert told(FACTS._replace(params=300, kind="rows")) == ["`network='table_mlp'`; or other first weights, with `seed=1`"]
    assert told(FACTS) == ["other first weights, with `seed=1`; or `network='compact_cnn'`"]
    assert told(FACTS._replace(name="compact_cnn")) == ["other first weights, with `seed=1`; or another network"]
    assert told(FACTS, loss=0.45) == []  # it still learns


def test_findings_on_signals_and_rows_call_them_so():
    low = exam(answered(0.4, sure=0.9), answered(0.4, sure=0.9))

    found = judge(Record((), epochs(), 10, setup(FACTS._replace(params=300, kind="signals")), low))[0]

    assert (found.unit, found.message) == (
        "accuracy on training signals without augmentation",
        "only 40 % of its training signals are classified correctly, without augmentation",
    )


# ---- what the pictures and settings tell


def test_a_gap_that_eight_pictures_show_by_chance_is_no_overfitting():
    train = answered(1.0, sure=1.0, count=70)

    assert kinds(Record((), epochs(), 5, setup(), exam(train, answered(0.75, sure=1.0, count=8)))) == []
    assert kinds(Record((), epochs(), 5, setup(), exam(train, answered(0.75, sure=1.0, count=200)))) == ["overfitting"]


def test_advice_is_never_what_the_training_does_already():
    by_heart = exam(answered(1.0, sure=1.0), answered(0.7, sure=1.0))

    def remedy(augmentation: Augmentation) -> str:
        return judge(Record((), epochs(), 5, setup(augmentation=augmentation), by_heart))[0].remedy

    assert remedy(Augmentation()) == "`policy='trivial'`"
    assert remedy(Augmentation(policy="trivial")) == "`mixup=0.4`"
    assert remedy(Augmentation(policy="trivial", mixup=0.2)).startswith("more pictures")


def test_validation_pictures_that_are_training_pictures_are_a_leak():
    perfect = answered(1.0, sure=1.0)

    assert kinds(Record((), epochs(), 5, setup(), exam(perfect, perfect, shared=500))) == ["leak"]
    assert kinds(Record((), epochs(), 5, setup(), exam(perfect, perfect, shared=3))) == []


def test_validation_pictures_of_another_kind_are_named_before_overfitting():
    answers = answered(1.0, sure=1.0), answered(0.5, sure=0.6)

    found = judge(Record((), epochs(), 5, setup(), exam(*answers, shift=Shift(0.8, 1e-30))))

    assert [(finding.kind, finding.consequences) for finding in found] == [("val_differs", ("overfitting",))]
    assert kinds(Record((), epochs(), 5, setup(), exam(answers[0], answered(0.97, sure=1.0), shift=Shift(0.8, 1e-30)))) == []


def test_rare_classes_that_are_never_answered_are_named():
    train = answered(0.9, sure=1.0)
    val = replace(answered(0.76, sure=1.0), counts=(100,) * 5, hits=(95, 95, 95, 95, 0))
    uneven = replace(exam(train, val), train_counts=(240, 240, 240, 240, 6))

    found = judge(Record((), epochs(), 5, setup(), uneven))

    assert [(finding.kind, finding.remedy) for finding in found] == [("rare_classes", "`set={'settings.class_weights': 'balanced'}`")]
    assert "of class 5 with 6 training pictures, 0 of 100 validation pictures are right" in found[0].message
    even = replace(uneven, train_counts=(200,) * 5)
    assert "rare_classes" not in kinds(Record((), epochs(), 5, setup(), even))


def test_frozen_layers_are_named_where_they_are_random_and_the_network_suffers():
    low, high = answered(0.5, sure=0.9), answered(0.97, sure=1.0)

    assert kinds(Record((), epochs(), 5, setup(freeze=("stage1",)), exam(low, low))) == ["frozen_at_random"]
    assert kinds(Record((), epochs(), 5, setup(freeze=("stage1",)), exam(high, high))) == []
    assert kinds(Record((), epochs(), 5, setup(freeze=("stage1",), is_fresh=False), exam(low, low))) == []


def test_an_input_of_another_scale_is_named_and_explains_what_comes_of_it():
    low = answered(0.5, sure=0.9)

    found = judge(Record((), epochs(), 5, setup(), exam(low, low, input_mean=90.0, input_std=70.0)))

    assert [(finding.kind, finding.remedy) for finding in found] == [("input_scale", "`normalization='dataset'`")]
    assert "the mean 90 and the standard deviation 70" in found[0].message


# ---- batch norm


def test_statistics_of_three_updates_an_epoch_explain_a_loss_of_712():
    rows = [{**row, "val_loss": loss} for row, loss in zip(epochs(4, each=3), (712.0, 40.0, 3.0, 0.9), strict=True)]
    norms = setup(FACTS._replace(norms=4, norm_momentum=0.1), batch_size=64)

    found = judge(Record((), rows, 5, norms))

    assert [(finding.kind, finding.severity) for finding in found] == [("batch_norm_unsettled", "note")]
    assert found[0].message == "in the first 2 epochs the validation loss is up to 712, where guessing gives 1.61"
    assert "With a momentum of 0.1 it takes about 29 updates" in found[0].cause and "epoch 2 ends with update 6" in found[0].cause


def test_a_training_that_ends_before_its_statistics_arrive_is_told_of_smaller_batches():
    rows = [{**row, "val_loss": 30.0} for row in epochs(4, each=3)]

    found = judge(Record((), rows, 5, setup(FACTS._replace(norms=4, norm_momentum=0.1), batch_size=64)))

    assert [(finding.kind, finding.severity, finding.remedy) for finding in found] == [
        ("batch_norm_unsettled", "warning", "`batch_size=13`")
    ]


# ---- depth


def test_a_plain_network_of_56_layers_is_told_its_depth():
    """Dead units are what one sees of it; that nothing keeps the signals in size is why."""
    plain = network("resnet56_cifar").without("shortcut").without("norm")
    samples = [Sample(step=step, layers=(LayerSample(path="stage3.act", dead=1.0),)) for step in (20, 50, 100)]

    found = judge(Record(samples, setup=setup(facts_of(plain))))

    assert [finding.kind for finding in found] == ["dead_relu"]
    assert "layers with weights follow one another without norms or shortcuts" in found[0].cause
    assert "`network='resnet20_cifar'`" in found[0].remedy


def test_the_facts_of_a_network_are_read_from_its_description():
    facts = facts_of(network("resnet20_cifar"))

    assert (facts.norms > 0, facts.shortcuts, facts.norm_momentum, facts.is_plain) == (True, 9, 0.1, False)
    assert facts.depth is not None and facts.depth >= 20  # 19 convolutions and the head; projections where a shortcut has one
    assert facts_of(network("resnet20_cifar").without("shortcut").without("norm")).is_plain


# ---- what was said before


def test_what_was_said_while_training_is_confirmed_or_withdrawn_with_a_reason():
    found = judge(Record((), epochs(), 5, setup(), exam(answered(1.0, sure=1.0), answered(0.5, sure=0.6), shift=Shift(0.8, 1e-30))))

    gone = withdrawn(["overfitting", "val_differs", "dead_relu", "learning_rate_too_low", "dead_relu"], found)

    assert [one.kind for one in gone] == ["dead_relu", "learning_rate_too_low"]  # overfitting is explained by val_differs
    assert gone[1].reason == "the loss fell all the same"


# ---- the numbers


def test_answers_are_counted_by_confidence_and_by_class():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.45, 0.55]])

    found = answers_of(probabilities, np.array([0, 0, 0, 1]))

    assert found.accuracy == 0.75
    assert found.errors[:4] == (0.0, 1.0, 0.0, 0.0)  # by confidence: 0.9 right, 0.8 wrong, 0.6 right, 0.55 right
    assert (found.counts, found.hits) == ((3, 1), (2, 1))


def test_shared_pictures_and_shifts_are_measured_on_the_pixels():
    rng = np.random.default_rng(0)
    train = rng.integers(0, 200, (300, 5, 6, 1), dtype=np.uint8)
    val = rng.integers(0, 200, (90, 5, 6, 1), dtype=np.uint8)
    val[:7] = train[20:27]

    same, other = shift_between(train, val), shift_between(train, val + 50)

    assert shared_pictures(train, val) == 7
    by_scipy = [ks_2samp(train.mean((1, 2, 3)), val.mean((1, 2, 3))), ks_2samp(train.std((1, 2, 3)), val.std((1, 2, 3)))]
    assert same == (pytest.approx(max(test.statistic for test in by_scipy)), None)
    assert other.distance > 0.9
    assert 0 < other.p_value < 1e-20
