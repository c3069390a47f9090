"""A linear head on the features of a frozen network: what it names, how its accuracy is estimated, and how features are kept."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

import striate
from striate.core.images import ImageSpec
from striate.models import features as features_module
from striate.models import linear_head
from striate.models.discriminant import SHRINK, discriminant
from striate.models.features import features, folded, kept_features, kept_views, middles
from striate.models.linear_head import divisions, fit_linear_head, head_folds, out_of_fold, takes_long
from striate.networks.modules.image import ImageModule


def fresh_module(seed: int = 0) -> ImageModule:
    """A small network whose batch norms have statistics of their own."""
    network = striate.network("compact_cnn", num_classes=3, in_channels=3, input_size=32)
    spec = ImageSpec(height=32, width=32, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3, fit="stretch")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = ImageModule(network.build(), spec)
        with torch.no_grad():
            module.train()(torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8))
    return module.eval()


@pytest.fixture(scope="module")
def module() -> ImageModule:
    return fresh_module()


def coloured(num_images: int, num_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise (N, 32, 32, 3) with more of one channel for each class."""
    values = np.random.default_rng(seed)
    labels = np.arange(num_images) % num_classes
    images = values.integers(0, 150, (num_images, 32, 32, 3))
    images[np.arange(num_images), ..., labels % 3] += 60
    return images.astype(np.uint8), labels


def folds_of(labels: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """The folds of pictures that are named after their places."""
    folds = head_folds(labels, [f"{place}.png" for place in range(len(labels))], "abcdefgh", seed=0, groups=groups)
    assert folds is not None
    return folds


def head_of(module: ImageModule) -> str:
    return [name for name, part in module.network.named_modules() if isinstance(part, torch.nn.Linear)][-1]


# ---- features


def test_features_are_what_reaches_the_head(module: ImageModule):
    images, _ = coloured(11, 3)
    seen: list[torch.Tensor] = []
    handle = module.network.get_submodule(head_of(module)).register_forward_pre_hook(lambda _part, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        module(torch.from_numpy(images))
    handle.remove()

    found = features(module, head_of(module), images)

    np.testing.assert_allclose(found, seen[0].numpy(), rtol=1e-4, atol=1e-5)


def test_the_copy_has_no_batch_norm_left_and_the_network_keeps_its_own(module: ImageModule):
    norms = [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert norms
    assert not [part for part in folded(module).modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert norms == [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]


def test_a_picture_has_the_same_features_whatever_others_it_comes_with(module: ImageModule):
    images, _ = coloured(11, 3)
    together = features(module, head_of(module), images)
    assert np.array_equal(features(module, head_of(module), images[9:10]), together[9:10])


def test_features_are_kept_by_the_network_and_the_pixels(module: ImageModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    images, _ = coloured(9, 3)
    computed: list[int] = []
    plain = features_module.features
    monkeypatch.setattr(features_module, "features", lambda *given, **options: computed.append(len(given[2])) or plain(*given, **options))
    said: list[str] = []
    first = kept_features(module, head_of(module), images[:6], said.append)
    again = kept_features(module, head_of(module), images[::-1], said.append)
    others = kept_features(fresh_module(1), head_of(module), images[:6], said.append)
    assert computed == [6, 3, 6]  # three are new, and all are for another network
    assert np.array_equal(again[3:][::-1], first)
    assert not np.allclose(others, first)
    assert said == ["features  of 6 of 9 pictures are kept from before"]


def test_features_that_are_damaged_or_cannot_be_kept_are_computed_and_said(
    module: ImageModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    images, _ = coloured(3, 3)
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    expected = kept_features(module, head_of(module), images, lambda _text: None)
    (file,) = (tmp_path / "features").iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    said: list[str] = []
    assert np.array_equal(kept_features(module, head_of(module), images, said.append), expected)
    assert "cannot be used, and are computed again" in said[0]

    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "file"))
    assert np.array_equal(kept_features(module, head_of(module), images, said.append), expected)
    assert "are not kept for the next time" in said[1]


# ---- the head


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_fitted_head_names_pictures_that_it_has_not_seen(module: ImageModule, num_classes: int):
    images, labels = coloured(30, num_classes)
    path = head_of(module)
    seen = features(module, path, images)
    found = out_of_fold(seen, labels, 3, folds=folds_of(labels))
    assert found.right.sum() == len(found.asked) == 30
    head = fit_linear_head(seen, labels, 3, strength=found.strength)

    network = striate.network("compact_cnn", num_classes=3, in_channels=3, input_size=32).build().eval()
    network.load_state_dict(module.network.state_dict() | {f"{path}.weight": head.weight, f"{path}.bias": head.bias})
    unseen, truth = coloured(30, num_classes, seed=1)
    with torch.inference_mode():
        answers = network(module.normalized(torch.from_numpy(unseen))).argmax(1)
    assert answers.tolist() == truth.tolist()


@pytest.mark.parametrize(("features", "num_classes"), [(5, 3), (40, 3), (40, 2)])
def test_probabilities_of_the_head_are_those_of_the_weighted_regression_on_features_of_length_30(features: int, num_classes: int):
    """scikit-learn's regression, of fewer pictures than features and of more; with two classes it has one row of weights, not two."""
    from sklearn.linear_model import LogisticRegression

    draws = np.random.default_rng(0)
    values, labels, weights = draws.normal(3, 2, (20, features)), np.arange(20) % num_classes, draws.uniform(0, 2, 20)
    head = fit_linear_head(values, labels, num_classes, strength=0.1, weights=7 * weights)
    scaled = values * 30 / np.sqrt((values**2).sum(1)).mean()
    peer = LogisticRegression(C=0.2 if num_classes == 2 else 0.1, max_iter=1000, tol=1e-8)
    expected = peer.fit(scaled, labels, weights / weights.mean()).predict_proba(scaled)
    logits = torch.from_numpy(values).float() @ head.weight.T + head.bias
    np.testing.assert_allclose(logits.softmax(1).numpy(), expected, atol=1e-3)


def test_a_discriminant_is_that_of_the_shrunk_covariance_at_one_temperature():
    """scikit-learn's discriminant, of fewer pictures than features; the logits are its own, divided by a power of two."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    draws = np.random.default_rng(0)
    labels = np.arange(20) % 3
    values = draws.normal(3, 2, (20, 30)) + 3 * np.eye(3, 30)[labels]
    head = discriminant(torch.from_numpy(values), torch.from_numpy(labels), torch.ones(20, dtype=torch.float64))
    logits = values @ head[:, :-1].numpy().T + head[:, -1].numpy()  # (N, K)

    peer = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINK).fit(values, labels).decision_function(values)
    ours, theirs = (each - each.mean(1, keepdims=True) for each in (logits, peer))
    temperature = float(np.abs(theirs).sum() / np.abs(ours).sum())
    assert np.log2(temperature) == pytest.approx(round(np.log2(temperature)), abs=1e-6) and temperature > 2
    np.testing.assert_allclose(ours * temperature, theirs, atol=1e-4)


def test_a_head_of_so_many_classes_that_a_regression_takes_too_long_is_their_discriminant(monkeypatch: pytest.MonkeyPatch):
    """300 classes of two pictures each, in two views, one class without any; a regression would not be asked."""
    draws = np.random.default_rng(0)
    places = draws.normal(0, 1, (300, 24))
    labels = np.arange(600) % 300
    views = places[labels][:, None] + draws.normal(0, 0.1, (600, 2, 24))
    assert not takes_long(views, 300)
    monkeypatch.setattr(linear_head, "MOST_WORK", 2 * views.size * 300 * 20 - 1)
    assert takes_long(views, 300)
    monkeypatch.setattr(linear_head, "_fitted", None)

    head = fit_linear_head(views, labels, 301, strength=0.1)

    unseen = places + draws.normal(0, 0.1, places.shape)
    shares = (torch.from_numpy(unseen).float() @ head.weight.T + head.bias).softmax(1)
    assert (shares.argmax(1) == torch.arange(300)).float().mean() > 0.99
    assert shares[:, 300].max() < 1e-3 and head.bias[300] < head.bias[:300].min()


def test_views_count_as_one_picture_and_the_first_of_them_is_asked():
    """scikit-learn's regression on all views, each with half the weight of its picture; views that mislead are asked nothing."""
    from sklearn.linear_model import LogisticRegression

    draws = np.random.default_rng(0)
    views, labels = draws.normal(3, 2, (20, 2, 5)), np.arange(20) % 3
    head = fit_linear_head(views, labels, 3, strength=0.1)
    rows = views.reshape(40, 5)
    scaled = rows * 30 / np.sqrt((rows**2).sum(1)).mean()
    peer = LogisticRegression(C=0.1, max_iter=1000, tol=1e-8).fit(scaled, labels.repeat(2), np.full(40, 0.5))
    logits = torch.from_numpy(rows).float() @ head.weight.T + head.bias
    np.testing.assert_allclose(logits.softmax(1).numpy(), peer.predict_proba(scaled), atol=1e-3)

    told = 9 * np.eye(3)[labels] + draws.normal(0, 0.1, (20, 3))
    other = 9 * np.eye(3)[(labels + 1) % 3] / 10 + draws.normal(0, 0.1, (20, 3))
    assert out_of_fold(np.stack([told, other], 1), labels, 3, folds=folds_of(labels)).right.all()
    assert out_of_fold(np.stack([other, told], 1), labels, 3, folds=folds_of(labels)).right.mean() < 0.5


def test_few_pictures_are_seen_whole_and_by_their_middle(module: ImageModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    images, _ = coloured(5, 3)
    framed = np.zeros((1, 96, 160, 3), np.uint8)
    framed[:, 10:86, 16:144] = 200
    assert middles(framed).min() == 200 and middles(framed).shape == (1, 64, 96, 3)

    told: list[tuple[int, int]] = []
    views = kept_views(module, head_of(module), images, lambda _text: None, done=lambda *counts: told.append(counts))
    seen = np.stack([features(module, head_of(module), each) for each in (images, middles(images))], 1)
    np.testing.assert_array_equal(views, seen)
    assert told[-1] == (10, 10)
    monkeypatch.setattr(features_module, "FEW", 4)
    np.testing.assert_array_equal(kept_views(module, head_of(module), images, lambda _text: None), seen[:, :1])


def test_a_fit_in_parts_is_that_of_all_pictures_together(monkeypatch: pytest.MonkeyPatch):
    values, labels = np.random.default_rng(0).normal(0, 1, (20, 5)), np.arange(20) % 3
    whole = fit_linear_head(values, labels, 3, strength=0.1)
    monkeypatch.setattr(linear_head, "PART", 21)  # seven pictures of three logits
    parts = fit_linear_head(values, labels, 3, strength=0.1)
    torch.testing.assert_close((parts.weight, parts.bias), (whole.weight, whole.bias))


def test_every_fold_is_fitted_to_every_class_and_each_picture_is_held_out_once_but_the_only_ones():
    labels = np.array([0] * 11 + [1] * 3 + [2] + [3] * 7)
    divided = list(divisions(folds_of(labels)))
    assert len(divided) == 5
    assert all(set(labels[fitted]) == {0, 1, 2, 3} for fitted, _ in divided)
    assert all(not set(fitted) & set(held) for fitted, held in divided)
    assert sorted(itertools.chain.from_iterable(held for _, held in divided)) == [place for place in range(22) if labels[place] != 2]


def test_what_a_group_shares_does_not_help_to_name_its_pictures():
    """Each group has a direction of its own and nothing tells the classes apart: across groups, right by chance."""
    groups = np.arange(48) % 8
    labels, values = groups % 2, 9 * np.eye(8)[groups] + np.random.default_rng(0).normal(0, 0.1, (48, 8))
    assert out_of_fold(values, labels, 2, folds=folds_of(labels)).right.all()
    apart = folds_of(labels, groups)
    assert all(not set(groups[fitted]) & set(groups[held]) for fitted, held in divisions(apart))
    assert out_of_fold(values, labels, 2, folds=apart).right.mean() < 0.8


def test_there_are_fewer_folds_of_few_pictures_or_groups():
    assert folds_of(np.arange(4) % 2).max() == 3
    assert folds_of(np.arange(40) % 2, np.arange(40) // 2 % 3).max() == 2


def test_a_class_of_one_picture_is_learned_and_not_asked():
    values = np.random.default_rng(0).normal(0, 1, (7, 4))
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    values[:, :3] += 9 * np.eye(3)[labels]
    found = out_of_fold(values, labels, 3, folds=folds_of(labels))
    assert found.asked.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.right.all()
    head = fit_linear_head(values, labels, 3, strength=1.0)
    assert (torch.from_numpy(values[-1]).float() @ head.weight.T + head.bias).argmax() == 2


def test_nothing_is_asked_where_each_class_has_one_picture():
    assert head_folds(np.arange(3), list("abc"), "xyz", seed=0) is None
    assert head_folds(np.zeros(3, np.int64), list("abc"), "x", seed=0) is None


def test_a_class_without_a_picture_is_never_the_answer():
    values = np.random.default_rng(0).normal(0, 1, (8, 4))
    head = fit_linear_head(values, np.arange(8) % 2, 3, strength=1.0)
    assert ((torch.from_numpy(values).float() @ head.weight.T + head.bias).argmax(1) < 2).all()
