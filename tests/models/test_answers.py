"""Models and their answers show themselves as tables, in a prompt and in a notebook."""

import numpy as np
import pytest

from striate import ImageClassifier
from striate.models.answers import SHOWN


@pytest.fixture(scope="module")
def model():
    X = np.zeros((40, 8, 8), np.uint8)
    X[20:, :, 4:] = 255
    return ImageClassifier(network="compact_cnn", epochs=1, batch_size=20).fit(X, ["<left>"] * 20 + ["right"] * 20).model_


def test_answers_are_a_table_of_the_first_rows(model):
    answers = model.predict(np.zeros((SHOWN + 3, 8, 8), np.uint8))

    heading, *rows, last = repr(answers).splitlines()
    assert heading.split() == ["path", "class", "probability"]
    assert len(rows) == SHOWN
    assert rows[1].split() == ["1", answers[1].class_name, f"{answers[1].probability:.6f}"]
    assert last == "... and 3 more; to_csv() and to_pandas() have all"
    assert repr(model.predict(np.zeros((0, 8, 8), np.uint8))) == "path  class  probability"


def test_a_notebook_shows_answers_as_a_table_whose_names_are_text(model):
    page = model.predict(np.zeros((1, 8, 8), np.uint8), top=2)._repr_html_()

    assert page.startswith("<table><thead><tr><th>path</th><th>class</th>")
    assert "&lt;left&gt;" in page
    assert "<left>" not in page


def test_a_model_tells_what_it_is(model):
    lines = dict(line.split("  ", 1) for line in repr(model).splitlines()[1:])

    assert {name: text.strip() for name, text in lines.items()} == {
        "network": f"compact_cnn, {model.network.params:,} parameters",
        "classes": "2: <left>, right",
        "pictures": "1 x 8 x 8, pad",
        "trained on": "arrays",
        "calibrated": "no",
        "device": "cpu",
    }
    assert "<td>2: &lt;left&gt;, right</td>" in model._repr_html_()
