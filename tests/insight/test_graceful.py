"""What is spread over many weights fails little by little: noise in the pictures, and lost filters."""

import numpy as np
import pytest

from striate.data.sources import open_data
from striate.estimators import ImageClassifier
from striate.insight.ablate.lesions import zeroed_filters
from striate.insight.attack.corruptions import corrupted


@pytest.mark.row("003-10")
def test_accuracy_falls_little_by_little_with_noise_and_with_lost_filters():
    split = open_data("digits").read("train")
    X, y, X_test, y_test = split.images[:700], split.labels[:700], split.images[700:1000], split.labels[700:1000]
    clf = ImageClassifier("compact_cnn", epochs=4, batch_size=32).fit(X, y)
    whole = clf.score(X_test, y_test)

    noisy = [clf.score(corrupted(X_test, "gaussian_noise", severity), y_test) for severity in (1, 3, 5)]
    assert abs(whole - noisy[0]) < 0.1  # a twelfth of the range of a pixel costs little
    assert noisy[0] > noisy[2] > 0.2 and noisy[0] >= noisy[1] - 0.02 >= noisy[2] - 0.04  # more costs more, and never all at once

    module = clf.model_.module
    kept = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    lost = []
    for share in (0.01, 0.05, 0.9):
        with_lesions = []
        for seed in range(3):
            with zeroed_filters(module, share, seed):
                with_lesions.append(clf.score(X_test, y_test))
        lost.append(np.mean(with_lesions))
    assert lost[0] > 0.8 * whole and lost[0] >= lost[1] > lost[2]  # one filter in a hundred is hardly missed
    assert lost[2] < 0.3
    assert all((kept[name] == tensor).all() for name, tensor in module.state_dict().items())
