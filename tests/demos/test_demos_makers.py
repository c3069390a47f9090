"""The demos of networks that remember and that make things up: what they print is true."""

from __future__ import annotations

import numpy as np
import pytest

from striate.demos import autoencoder, cdcgan, dbn, gan, memory, rbm, text, vae
from striate.demos.shown import Setting
from striate.demos.sources import judge, small_digits

SHORT = Setting(short=True)


@pytest.mark.row("003-31", "001-4")
def test_a_boltzmann_machine_learns_to_rebuild_digits_and_to_tell_them_from_mixed_pixels():
    shown = rbm.show(SHORT)

    (table,) = shown.tables
    rebuilt = list(table.column("|x - rebuilt|^2 a pixel").values())
    assert rebuilt[-1] < 0.9 * rebuilt[0]
    likelihood = list(table.column("pseudo-likelihood (nats)").values())
    assert -64 * np.log(2) < likelihood[0] < likelihood[-1] < 0  # better than fair coins
    assert all(gap > 10 for gap in table.column("F(mixed) - F(digits)").values())


@pytest.mark.release
@pytest.mark.row("003-32")
def test_a_belief_network_has_both_conditionals():
    shown = dbn.show(SHORT)

    machines, named, made = shown.tables
    for _, first, _, last in machines.rows:
        assert last < first
    assert min(named.column("right").values()) > 0.9
    assert made.column("right")["all"] > 0.4  # a tenth by chance; the full form has 0.8


@pytest.mark.slow
@pytest.mark.row("003-48", "003-35")
def test_the_trace_of_a_bit_fades_in_small_weights_and_stays_behind_an_open_gate():
    shown = memory.show(SHORT)

    read, faded, trained = shown.tables
    assert read.column("Elman, radius 0.5")["10"] < 0.65
    assert read.column("Elman, radius 0.9")["3"] > 0.8
    small, large = faded.column("Elman, radius 0.5"), faded.column("Elman, radius 0.9")
    assert small["20"] < 1e-4  # no more than 0.5^20, up to the first steps
    assert small["20"] < large["20"]
    assert faded.column("LSTM, forget bias 4")["40"] > 0.1
    assert faded.column("LSTM, forget bias 0")["40"] < 1e-4
    assert trained.column("right, of 500 streams")["LSTM"] > 0.95


@pytest.mark.slow
@pytest.mark.row("003-29")
def test_an_elman_network_learns_a_small_language_almost_as_far_as_its_grammar_goes():
    shown = text.show(SHORT)

    doubt, likely, made = shown.tables
    bits = doubt.column("bits per word")
    assert list(bits.values()) == sorted(bits.values(), reverse=True)  # each knows more than the one before
    assert bits["the network, on sentences not seen"] < bits["the grammar itself: none can do better"] + 0.1
    assert all(abs(network - grammar) < 0.15 for *_, network, grammar in likely.rows)
    right = made.column("right sentences")
    assert right["0.5"] > 0.9 and right["2"] < right["0.5"]


def test_the_bits_of_the_grammar_are_those_of_its_choices():
    """By hand: which of seven kinds, which of four who do it, which of two verbs, and what they do it to."""
    shares = text.grammar()
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["man", "sleeps", "."] == pytest.approx(1 / 7 / 4 / 2)
    objects = [np.log2(3), np.log2(3), 2, 0, np.log2(3), 2, 0]
    words = [4, 4, 4, 3, 4, 4, 3]
    assert text.entropy(shares) == pytest.approx((np.log2(7) + 3 + np.mean(objects)) / np.mean(words))


def test_a_variational_autoencoder_rebuilds_better_through_more_numbers():
    shown = vae.show(SHORT)

    (table,) = shown.tables
    for _, first, last, unseen, divergence, lost in table.rows:
        assert last > first
        assert unseen > -64 * np.log(2)  # better than fair coins
        assert divergence > 0.5
        assert 0 < lost < 0.1


def test_the_judge_tells_digits_that_it_has_not_seen():
    digits = small_digits()

    assert len(digits.train) == 1347
    assert judge(digits).score(digits.train, digits.labels) > 0.97


def test_enlarged_digits_come_back_as_they_were_up_to_smoothing():
    digits = small_digits()

    back = cdcgan.reduced(cdcgan.enlarged(digits.train[:200]))

    assert np.abs(back - digits.train[:200]).mean() < 0.06
    assert judge(digits).score(back, digits.labels[:200]) > 0.95


@pytest.mark.release
@pytest.mark.row("003-35")
def test_an_autoencoder_is_pca_without_layers_better_with_them_and_cleans_what_it_was_taught_to():
    shown = autoencoder.show(SHORT)

    codes, cleaned = shown.tables
    for _, components, linear, dense, _ in codes.rows:
        assert linear == pytest.approx(components, rel=0.1)
        assert dense < components
    errors = cleaned.column("error")
    assert errors["taught to clean"] < 0.6 * errors["taught to rebuild"] < 0.6 * errors["noisy"]


@pytest.mark.release
@pytest.mark.row("003-33")
def test_an_adversarial_network_in_haste_loses_clouds():
    (table,) = gan.show(Setting()).tables
    assert table.column("clouds covered")["as it should be"] == "8 of 8"
    assert table.column("clouds covered")["ten times the rate"] < "8 of 8"


@pytest.mark.release
@pytest.mark.row("003-34")
def test_an_adversarial_network_draws_the_digit_of_a_label():
    shown = cdcgan.show(Setting())

    (table,) = shown.tables
    assert table.column("named so by an independent judge")["all"] >= 0.9
    spreads = table.column("spread / spread of real ones")
    assert spreads["all"] >= 0.5 and min(spreads.values()) > 0.3
