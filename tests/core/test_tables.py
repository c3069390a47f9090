"""Tables: what a narrow terminal is shown of them."""

from __future__ import annotations

import pytest

from striate.core.tables import aligned, narrowed

HEADING = ["name", "count", "published", "about"]
ROWS = [["lenet5", "61,706", "99.05 MNIST", "LeCun et al., 1998"], ["nin", "7,595,176", "", "Lin et al., 2014, arXiv:1312.4400"]]


def test_a_table_that_fits_stays_as_it_is():
    assert narrowed(HEADING, ROWS, {1}, 100) == (HEADING, ROWS, ())


def test_the_last_text_is_cut_to_the_width():
    heading, rows, left_out = narrowed(HEADING, ROWS, {1}, 50)

    lines = aligned(heading, rows, {1}).splitlines()
    assert max(map(len, lines)) == 50
    assert rows[1][3] == "Lin et al., 2014,…"
    assert left_out == ()


@pytest.mark.parametrize(("width", "gone"), [(34, ("about",)), (20, ("published", "about")), (5, ("published", "about"))])
def test_columns_without_room_are_left_out_and_numbers_stay(width: int, gone: tuple[str, ...]):
    heading, rows, left_out = narrowed(HEADING, ROWS, {1}, width)

    assert left_out == gone
    assert [row[:2] for row in rows] == [row[:2] for row in ROWS]
    assert heading == [name for name in HEADING if name not in gone]
