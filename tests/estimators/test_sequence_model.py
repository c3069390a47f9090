"""Models of text: what they know of a source whose entropy is known, what they draw, and what they refuse."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.core.errors import DataError, UnknownNameError, UsageError
from striate.estimators import SequenceModel, load_estimator
from striate.estimators.sequences.padded import temporal_xor
from striate.estimators.sequences.sequence_model import columns, tokens_of

SMALL = {"hidden_size": 12, "truncate": 20, "batch_size": 16, "random_state": 0}
TEXT = "the cat sat on the mat. the dog sat on the log.\n" * 30


def coin(n: int, seed: int) -> str:
    """A text of a and b in which each letter is followed by itself with probability 0.9: 0.469 bits a letter."""
    changes = np.random.default_rng(seed).random(n) < 0.1
    return "".join("ab"[place] for place in np.cumsum(changes) % 2)


def test_a_source_of_known_entropy_is_learned_to_its_entropy():
    model = SequenceModel("gru", max_iter=6, **SMALL).fit(coin(6000, 0))
    entropy = -(0.9 * np.log2(0.9) + 0.1 * np.log2(0.1))
    found = model.bits_per_character(coin(4000, 1))
    assert found == pytest.approx(entropy, abs=0.04)
    assert model.perplexity(coin(4000, 1)) == pytest.approx(2**found)
    drawn = model.sample(600, random_state=3)
    assert np.mean([one != other for one, other in pairwise(drawn)]) == pytest.approx(0.1, abs=0.05)
    cold = model.sample(200, "a", temperature=0.2, random_state=3)
    assert cold.count("b") < 5
    assert model.sample(20, "aaab", temperature=0) == "b" * 20
    (first, share), (second, rest) = model.next_tokens("abba")
    assert (first, second) == ("a", "b")
    assert share == pytest.approx(0.9, abs=0.03) and share + rest == pytest.approx(1)
    assert share == pytest.approx(2 ** -model.losses("abbaa")[-1], rel=0.01)  # there the token of unknown letters has a share too
    with pytest.raises(UsageError, match="top must be at least 1, got 0"):
        model.next_tokens(top=0)


@pytest.mark.slow
@pytest.mark.row("003-48")
def test_only_each_third_bit_of_the_temporal_xor_is_foretold():
    bits = "".join(map(str, temporal_xor(3000, random_state=0)))
    model = SequenceModel("elman", hidden_size=20, truncate=30, batch_size=8, learning_rate=0.02, max_iter=60, random_state=0).fit(bits)
    losses = model.losses("".join(map(str, temporal_xor(1500, random_state=1))))
    first, second, third = (losses[place::3].mean() for place in range(3))
    assert first > 0.95 and second > 0.95 and third < 0.1


@pytest.mark.parametrize("text", ["The quick brown fox jumps over the lazy dog.", "To be, or not to be, that is the question: " * 3])
def test_a_short_text_is_known_by_heart_at_the_defaults(text):
    model = SequenceModel(hidden_size=64, random_state=0).fit(text)
    assert model.sample(len(text), temperature=0) == text
    assert model.bits_per_character(text) < 0.1


def test_losses_are_those_of_one_step_after_the_other():
    model = SequenceModel("lstm", max_iter=1, num_layers=2, **SMALL).fit(TEXT)
    network, text = model._fitted(), "the cat"
    state, before, expected = None, len(model.vocabulary_), []
    for letter in text:
        logits, state = network(torch.tensor([[before]]), state)
        before = model.vocabulary_.index(letter)
        expected.append(-torch.log_softmax(logits[0, 0], 0)[before].item() / np.log(2))
    np.testing.assert_allclose(model.losses(text), expected, rtol=1e-10)
    states, none = model.states([text, ""])
    assert states.shape == (7, 12) and none.shape == (0, 12)
    with torch.inference_mode():
        logits = network.readout(torch.from_numpy(states[:-1]))
    followed = [model.vocabulary_.index(letter) for letter in text[1:]]
    np.testing.assert_allclose(-torch.log_softmax(logits, 1)[range(6), followed] / np.log(2), expected[1:], rtol=1e-10)
    np.testing.assert_allclose(model.states(text * 100)[0][:7], states, rtol=1e-10)  # longer than what is read at once
    twice = model.losses([text, text])
    np.testing.assert_allclose(twice[7:], twice[:7], rtol=1e-10)  # each text starts afresh
    long = "the cat sat on the mat. " * 60  # longer than what is read at once
    np.testing.assert_allclose(model.losses(long)[:7], expected, rtol=1e-10)


def test_the_rows_that_are_read_side_by_side_hold_each_token_once():
    wanted, before = columns(np.array([5, 6, 7, 8, 9]), 2, start=99)
    assert wanted.tolist() == [[5, 6, 7], [8, 9, -1]]
    assert before.tolist() == [[99, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize("unit", ["character", "byte", "word"])
def test_a_file_is_learned_saved_and_loaded(unit, tmp_path: Path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    model = SequenceModel(unit=unit, max_iter=12, **SMALL).fit(path)
    assert model.loss_curve_[-1] < 0.8 * model.loss_curve_[0]
    model.save(tmp_path / "model.safetensors")
    again = load_estimator(tmp_path / "model.safetensors")
    assert again.score(path) == model.score(path)
    drawn = again.sample(30, "the ", random_state=5)
    assert drawn == model.sample(30, "the ", random_state=5)
    assert isinstance(drawn, bytes if unit == "byte" else str)
    assert isinstance(again.next_tokens("the ", top=1)[0][0], type(drawn))
    twin = SequenceModel(unit=unit, max_iter=12, **SMALL).fit([TEXT.encode()])
    assert twin.loss_curve_ == model.loss_curve_


def test_words_joined_are_the_text_and_rare_ones_are_one():
    text = "Don't  stop,\n\tnow: 3.5 é!"
    assert "".join(tokens_of(text, "word")) == text
    assert tokens_of("a cat, a dog", "word") == ["a", " cat", ",", " a", " dog"]
    model = SequenceModel(unit="word", max_tokens=3, max_iter=2, **SMALL).fit(TEXT)
    assert model.vocabulary_ == ["", " the", " on", " sat"]
    assert set(tokens_of(model.sample(50), "word")) <= {" the", " on", " sat"}
    assert np.isfinite(model.perplexity("the zebra"))
    assert np.isfinite(SequenceModel(max_iter=1, **SMALL).fit(TEXT).bits_per_character("ẞ?"))


def test_what_is_no_text_is_named(tmp_path: Path):
    latin = tmp_path / "latin.txt"
    latin.write_bytes("caf\u00e9 au lait".encode("latin-1"))
    with pytest.raises(DataError, match=r'latin\.txt: not UTF-8: byte 0xe9 at 3\nRead it with unit="byte"'):
        SequenceModel().fit(latin)
    assert SequenceModel(unit="byte", max_iter=1, **SMALL).fit(latin).n_tokens_ == 12
    with pytest.raises(DataError, match=r"gone\.txt: cannot read: No such file"):
        SequenceModel().fit(tmp_path / "gone.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(DataError, match=r"pipe\.txt: not a plain file"):
        SequenceModel().fit(tmp_path / "pipe.txt")
    (tmp_path / "huge.txt").touch()
    os.truncate(tmp_path / "huge.txt", 2**31)
    with pytest.raises(DataError, match=r"huge\.txt: 2,147,483,648 bytes, more than the limit of 1,073,741,824"):
        SequenceModel().fit(tmp_path / "huge.txt")
    with pytest.raises(DataError, match="the text has 1 characters; learning which one follows needs at least 2"):
        SequenceModel().fit("a")
    for wrong, kind in (([3], "int"), (None, "NoneType"), (3.5, "float")):
        with pytest.raises(UsageError, match=f"a text must be a str, bytes, or a Path to a file, got {kind}"):
            SequenceModel().fit(wrong)
    with pytest.raises(UsageError, match=r"the text '.*latin\.txt' is the name of a file\nTo read the file, give Path\('"):
        SequenceModel().fit(str(latin))
    model = SequenceModel(max_iter=1, **SMALL).fit("abab" * 20)
    with pytest.raises(DataError, match="the text is empty: there is nothing to measure"):
        model.losses("")
    with pytest.raises(UsageError, match="temperature must be at least 0, got -1"):
        model.sample(3, temperature=-1)
    assert len(model.sample(3, temperature=1e-310)) == 3
    with pytest.raises(UsageError, match="temperature must be a number, got 'cold'"):
        model.sample(3, temperature="cold")
    with pytest.raises(UsageError, match="n must be at least 0, got -3"):
        model.sample(-3)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"cell": "lsmt"}, UnknownNameError, "unknown cell 'lsmt'\nDid you mean lstm"),
        ({"unit": "chars"}, UnknownNameError, "unknown unit 'chars'\nDid you mean character"),
        ({"truncate": 0}, UsageError, "truncate must be at least 1, got 0"),
        ({"max_tokens": 0}, UsageError, "max_tokens must be at least 1, got 0"),
        ({"learning_rate": -1}, UsageError, "learning_rate must be positive, got -1"),
    ],
)
def test_a_setting_of_a_text_model_out_of_its_range_is_named(settings, error, words):
    with pytest.raises(error, match=words):
        SequenceModel(**settings).fit("abc")
