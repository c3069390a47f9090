"""What settings may be."""

import numpy as np
import pytest

from striate.core.errors import UsageError
from striate.core.settings import check_betas, check_counts, check_limit, check_numbers, check_rate, sizes_of


def test_numbers_of_python_and_numpy_pass():
    check_counts(least=0, one=0, other=np.int64(3))
    check_numbers(one=0, other=np.float32(0.5), last=float("inf"))
    check_rate(np.float64(1e-3))
    check_limit(None)
    check_limit(5)
    check_betas([0.0, np.float32(0.9)])
    assert sizes_of("sizes", 7) == sizes_of("sizes", [np.int32(7)]) == sizes_of("sizes", np.array([7])) == (7,)
    assert sizes_of("sizes", ()) == ()


@pytest.mark.parametrize("value", [True, 2.0, "2", None, float("nan")])
def test_a_count_is_a_whole_number(value):
    with pytest.raises(UsageError, match="rows must be a whole number, got"):
        check_counts(rows=value)


@pytest.mark.parametrize("value", [True, "2", None, float("nan"), np.array([1.0])])
def test_a_number_is_no_text_and_not_nan(value):
    with pytest.raises(UsageError, match="sigma must be a number, got"):
        check_numbers(sigma=value)


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda: check_counts(least=0, n=-1), "n must be at least 0, got -1"),
        (lambda: check_rate(0.0), r"learning_rate must be positive, got 0\.0"),
        (lambda: check_limit(0), "max_grad_norm must be positive or None, got 0"),
        (lambda: check_betas((0.9, float("nan"))), r"betas must be two numbers from 0 to below 1, got \(0\.9, nan\)"),
        (lambda: sizes_of("sizes", 0), "sizes must be at least 1, got 0"),
        (lambda: sizes_of("sizes", (4, 0)), r"sizes\[1\] must be at least 1, got 0"),
        (lambda: sizes_of("sizes", None), r"sizes must be whole numbers such as \(64, 32\), got None"),
    ],
)
def test_what_is_out_of_range_is_named(check, words):
    with pytest.raises(UsageError, match=words):
        check()
