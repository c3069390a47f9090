"""Ensembles: several trained models as one, whose probabilities are the mean of theirs."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import striate
from striate.apps.cli import main
from striate.core.errors import UsageError
from striate.core.images import ImageSpec
from striate.data.records import ImageSet
from striate.models.model import Model
from striate.networks.layers import Chain, Conv, Flatten, GlobalPool, Linear, Parallel
from striate.networks.model_file import ModelFile
from striate.networks.network import Network
from striate.workflows.training.ensemble import ensemble_of, majority_of


def model(seed=0, *, classes=("a", "b", "c"), mean=0.5, channels=4, info=None) -> Model:
    torch.manual_seed(seed)
    network = Network("tiny", (1, 9, 7), Chain(conv=Conv(channels, 3), pool=GlobalPool(), linear=Linear(len(classes))))
    module = network.build()
    with torch.no_grad():
        module.get_submodule("linear").weight.mul_(40)  # so that the models are sure, and disagree
    images = ImageSpec(height=9, width=7, channels=1, mean=(mean,), std=(0.3,))
    return Model(ModelFile(network, module.eval(), classes, images, info or {}))


def pictures(count=20):
    return np.random.default_rng(0).integers(0, 256, (count, 9, 7, 1), np.uint8)


def test_an_ensemble_gives_the_mean_of_probabilities_and_keeps_it_in_its_file(tmp_path):
    models = [model(seed, channels=4 + seed) for seed in range(3)]

    together = Model.ensemble(models)
    together.save(tmp_path / "three.safetensors")

    expected = np.mean([one.probabilities(pictures()) for one in models], axis=0)
    np.testing.assert_allclose(together.probabilities(pictures()), expected, atol=1e-6)
    np.testing.assert_allclose(striate.load(tmp_path / "three.safetensors").probabilities(pictures()), expected, atol=1e-6)
    assert together.network.params == sum(one.network.params for one in models)


def test_a_mixture_of_certain_branches_is_finite():
    """A class that every branch finds less probable than the smallest float32 still has a logit."""
    layer = Parallel(a=Flatten(), b=Flatten(), merge="mixture").build((3,))

    logits = layer(torch.tensor([[0.0, 1000.0, -1000.0]]))

    torch.testing.assert_close(logits, torch.tensor([[-1000.0, 0.0, -2000.0]]))


def test_the_majority_decides_and_the_mean_between_equals():
    sure, unsure = [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]
    probabilities = np.array([[sure, sure], [unsure, unsure], [unsure, [0.1, 0.8, 0.1]]])  # (models, pictures, classes)

    assert probabilities.mean(0).argmax(1).tolist() == [0, 0]
    assert majority_of(probabilities).tolist() == [2, 0]


def test_the_accuracies_of_each_of_the_mean_and_of_the_vote_are_counted_picture_by_picture(tmp_path, monkeypatch):
    """Five models that disagree; the vote of each picture is counted one by one."""
    models, images, labels = [model(seed) for seed in range(5)], pictures(200), np.random.default_rng(1).integers(0, 3, 200)
    for seed, one in enumerate(models):
        one.save(tmp_path / f"{seed}.safetensors")
    held_out = ImageSet("drawn", "val", images, labels, ("a", "b", "c"), tuple(map(str, range(200))))
    opened = SimpleNamespace(read=lambda *_: held_out)
    monkeypatch.setattr("striate.workflows.training.ensemble.open_labelled", lambda *_, **__: opened)
    training = SimpleNamespace(data="pictures", data_dir=None, skip_unreadable=False)
    runs = [str(tmp_path / f"{seed}.safetensors") for seed in range(5)]
    (found,) = ensemble_of(runs, tmp_path, SimpleNamespace(test=False, training=training)).measured

    probabilities = np.array([one.probabilities(images) for one in models])
    mean, votes = probabilities.mean(0), []
    for place, answers in enumerate(probabilities.argmax(2).T):
        count = Counter(answers.tolist())
        votes.append(max(count, key=lambda answer: (count[answer], mean[place, answer])))
    assert found.accuracies == [(answers == labels).mean() for answers in probabilities.argmax(2)]
    assert (found.accuracy, found.majority_accuracy) == ((mean.argmax(1) == labels).mean(), (np.array(votes) == labels).mean())
    assert len({found.accuracy, found.majority_accuracy, *found.accuracies}) > 4  # none can stand in for another


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: model(1, classes=("a", "b", "d")), r"member 2 \(tiny\): has other classes than member 1: 'c', 'd'"),
        (lambda: model(1, classes=("a", "c", "b")), "has other classes than member 1: the same in another order"),
        (lambda: model(1, mean=0.1), "member 2 .*: takes other pictures than member 1: .*mean=.0.1.*not .*mean=.0.5"),
        (lambda: model(1, info={"loss": "hinge"}), "was trained with a hinge loss and gives scores"),
        (lambda: Model.of(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(3)), input_size=8), "a torch module of its own"),
    ],
)
def test_models_that_do_not_fit_together_are_refused(other, words):
    with pytest.raises(UsageError, match=words):
        Model.ensemble([model(), other()])


def test_one_model_is_no_ensemble():
    with pytest.raises(UsageError, match="an ensemble needs two models or more, got 1"):
        Model.ensemble([model()])


def test_the_models_of_seeds_vote_and_are_one_model_for_other_verbs(tmp_path, capsys):
    words = ["repeat", "digits", "--seeds", "2", "--model", "lenet5", "--steps", "6", "--batch-size", "32", "--test", "--ensemble"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--output", str(tmp_path / "all"), "--json"])

    report = json.loads(capsys.readouterr().out)
    assert not end.value.code
    found, (val, test) = report["ensemble"], report["ensemble"]["measured"]
    assert (val["split"], test["split"]) == ("val", "test")
    assert val["accuracies"] == pytest.approx([one["accuracy"] for one in report["repetitions"]])
    assert test["accuracies"] == pytest.approx([one["test_accuracy"] for one in report["repetitions"]])
    evaluated = striate.evaluate(found["model"], "digits", split="val")
    assert (evaluated.accuracy, evaluated.num_images) == (pytest.approx(val["accuracy"]), val["num_images"])
    assert list(evaluated.accuracy_interval) == pytest.approx(val["accuracy_interval"])
    explained = striate.explain(found["model"], data="digits", num_pictures=1, methods=["saliency"], sanity=False, output=tmp_path / "why")
    assert Path(explained.output).exists()


def test_folds_own_modules_and_scores_are_refused_before_they_train(tmp_path):
    with pytest.raises(UsageError, match="an ensemble needs seeds"):
        striate.repeat("digits", folds=3, ensemble=True, output=tmp_path / "a")
    with pytest.raises(UsageError, match="an ensemble cannot hold a torch module"):
        striate.repeat("digits", seeds=2, ensemble=True, network=torch.nn.Linear(64, 10), output=tmp_path / "b")
    with pytest.raises(UsageError, match="an ensemble needs probabilities, which the scores of `loss='hinge'` are not"):
        striate.repeat("digits", seeds=2, ensemble=True, loss="hinge", output=tmp_path / "c")
    assert not list(tmp_path.iterdir())
