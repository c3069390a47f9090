"""Support vector machines on convolutional features: as the head that a network learns with, and behind a trained one."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from striate.core.errors import UnknownNameError, UsageError
from striate.data.sources import open_data
from striate.estimators import ImageClassifier, ImageFeatures, LinearSVM


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    split = open_data("digits").read("train")
    return split.images[:900], split.labels[:900]


def test_a_network_learns_with_a_machine_as_its_head(digits):
    X, y = digits
    clf = ImageClassifier("lenet5", head="svm", epochs=5, batch_size=32).fit(X[:700], y[:700])

    assert clf.score(X[700:], y[700:]) > 0.9
    scores = clf.decision_function(X[:700])
    np.testing.assert_array_equal(clf.predict(X[:50]), scores[:50].argmax(1))
    assert not hasattr(clf, "predict_proba")
    with pytest.raises(AttributeError) as caught:
        clf.predict_proba(X[:2])
    assert 'the head "svm" has no probabilities' in str(caught.value.__cause__)
    assert clone(clf).head == "svm"


def test_the_loss_of_the_machine_is_the_squared_hinge(digits):
    X, y = digits[0][:640], digits[1][:640]
    settings = {"head": "svm", "epochs": 1, "learning_rate": 1e-12, "batch_size": 64, "crop_padding": 0, "precision": "float32"}
    still = ImageClassifier("lenet5", **settings).fit(X, y)
    scores = still.decision_function(X)
    hinge = np.maximum(0, 1 - scores[np.arange(640), y][:, None] + scores) ** 2
    hinge[np.arange(640), y] = 0
    assert still.history_[0]["train_loss"] == pytest.approx(hinge.sum(1).mean() / 10, rel=1e-4)


def test_of_two_classes_there_is_one_decision(digits):
    X, y = digits
    X, y = X[y < 2], y[y < 2]
    clf = ImageClassifier(epochs=2, batch_size=16).fit(X, y)
    decision = clf.decision_function(X)
    np.testing.assert_allclose(1 / (1 + np.exp(-decision)), clf.predict_proba(X)[:, 1], rtol=1e-6)
    np.testing.assert_array_equal(decision > 0, clf.predict(X) == 1)


def test_the_features_are_what_the_last_layer_reads(digits, tmp_path):
    X, y = digits
    clf = ImageClassifier("lenet5", epochs=1).fit(X[:100], y[:100])
    features = ImageFeatures(clf.model_).fit(X)

    found = features.transform(X[:9])

    assert found.shape == (9, 84) and features.get_feature_names_out()[-1] == "imagefeatures83"
    last = clf.model_.module.get_submodule(f"network.{features.layer_}")
    with torch.no_grad():
        logits = last(torch.from_numpy(found).float())
    np.testing.assert_allclose(logits, clf.decision_function(X[:9]), atol=1e-4)

    clf.model_.save(tmp_path / "model.safetensors")
    np.testing.assert_allclose(ImageFeatures(tmp_path / "model.safetensors").fit(X).transform(X[:9]), found, atol=1e-6)
    paths = [row.path for row in clf.model_.network.rows]
    first = ImageFeatures(clf.model_, layer=paths[0]).fit(X).transform(X[:9])
    np.testing.assert_allclose(
        first.reshape(9, -1), clf.model_.module.normalized(torch.from_numpy(clf.model_.read(X[:9]))).flatten(1), atol=1e-6
    )


def test_the_source_may_be_a_classifier_that_is_yet_to_be_trained(digits):
    X, y = digits
    untrained = ImageClassifier("lenet5", epochs=3, batch_size=32)
    machine = make_pipeline(ImageFeatures(untrained), LinearSVM()).fit(X[:500], y[:500])
    assert not hasattr(untrained, "model_")
    assert machine.score(X[700:], y[700:]) > 0.9


@pytest.mark.slow
@pytest.mark.needs("MNIST/raw")
def test_a_machine_on_the_features_of_mnist_is_no_worse_than_the_network(data_dir):
    source = open_data("mnist", data_dir=data_dir)
    train, test = source.read("train"), source.read("test")
    X, y, X_test, y_test = train.images[:1500], train.labels[:1500], test.images[:1000], test.labels[:1000]
    clf = ImageClassifier("lenet5", epochs=5, batch_size=32).fit(X, y)
    machine = make_pipeline(ImageFeatures(clf.model_), LinearSVM(C=0.1)).fit(X, y)
    by_pixels = LinearSVM(C=1e-6).fit(X.reshape(len(X), -1).astype(float), y).score(X_test.reshape(1000, -1).astype(float), y_test)
    network, found = clf.score(X_test, y_test), machine.score(X_test, y_test)
    assert found > network - 0.015 and found > by_pixels + 0.02


def test_what_is_no_head_and_no_source_is_named(digits):
    X, y = digits
    with pytest.raises(UnknownNameError, match=r"unknown head 'svn'\nDid you mean svm"):
        ImageClassifier(head="svn").fit(X, y)
    with pytest.raises(UsageError, match="the hinge loss needs one class per picture, got mixed labels"):
        ImageClassifier(head="svm", mixup=1.0, epochs=1).fit(X, y)
    with pytest.raises(UsageError, match="source must be a Model, a run, a model file, or an estimator of pictures, got int"):
        ImageFeatures(3).fit(X)
    clf = ImageClassifier("lenet5", epochs=1).fit(X[:60], y[:60])
    with pytest.raises(UnknownNameError, match="unknown layer 'c9'"):
        ImageFeatures(clf.model_, layer="c9").fit(X)


def test_a_machine_answers_with_scores_and_claims_no_probabilities(digits):
    X, y = digits
    model = ImageClassifier("lenet5", head="svm", epochs=1, batch_size=32).fit(X[:200], y[:200]).model_
    scores = model.outputs(model.read(X[200:203]))

    answers = model.predict(X[200:203], top=2)

    for answer, row in zip(answers, scores, strict=True):
        order = np.argsort(-row)
        assert [item.class_name for item in answer.top] == [model.classes[k] for k in order[:2]]
        assert answer.probability is None
        assert [item.score for item in answer.top] == row[order[:2]].tolist()
    assert set(answers.to_data()[0]) == {"path", "class", "score", "top"}
    assert answers.to_csv().splitlines()[0] == "path,class,score,class2,score2"
    with pytest.raises(UsageError, match=r"scores of a hinge loss, which are not probabilities\nUse model\.outputs"):
        model.probabilities(model.read(X[:1]))
    plain = ImageClassifier("lenet5", epochs=1).fit(X[:60], y[:60]).model_
    assert set(plain.predict(X[:1]).to_data()[0]) == {"path", "class", "probability", "top"}
