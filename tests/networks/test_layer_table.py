"""The layer table as text, of descriptions as a user writes them."""

from __future__ import annotations

import pytest

from striate.core.errors import UsageError
from striate.networks.layers import Chain, Conv, Flatten, Linear, Pool
from striate.networks.network import Network


def test_a_field_that_differs_by_axis_is_written_height_before_width():
    """By hand: 5 x 5 sees 5; a 3 x 3 after a stride of 2 down and 1 across sees 5 + 2 * 2 = 9 rows and 5 + 2 * 1 = 7 columns."""
    root = Chain(Conv(4, 5, stride=(2, 1)), Conv(4, 3), Conv(4, 3), Conv(4, (1, 3)), Flatten(), Linear(2))

    lines = str(Network("mine", (3, 21, 34), root)).splitlines()

    assert [line.split()[-1] for line in lines[2:8]] == ["5", "9x7", "13x9", "13x11", "all", "all"]


def test_a_field_of_a_volume_is_written_axis_by_axis():
    lines = str(Network("volume", (1, 9, 10, 11), Chain(Conv(2, (3, 5, 3)), Pool("max", 2)))).splitlines()

    assert [line.split()[-1] for line in lines[2:4]] == ["3x5x3", "4x6x4"]


def test_an_input_shape_may_be_a_list():
    listed, given = (Network("small", shape, Chain(Conv(4, 3))) for shape in ([3, 9, 8], (3, 9, 8)))  # type: ignore[arg-type]

    assert listed == given
    assert listed.output_shape == (4, 7, 6)


@pytest.mark.parametrize("shape", [32, (), (3, 32.0, 32), (3, 0, 32), None, "3x32x32"])
def test_an_input_shape_that_is_none_is_refused(shape):
    with pytest.raises(UsageError, match=r"small: input_shape must be positive whole numbers such as \(3, 32, 32\), got"):
        Network("small", shape, Chain(Conv(4, 3)))


def test_a_root_that_is_no_chain_is_refused():
    with pytest.raises(UsageError, match="small: root must be a Chain, got Conv") as caught:
        Network("small", (3, 9, 8), Conv(4, 3))  # type: ignore[arg-type]
    assert "Chain(...)" in str(caught.value.remedy)
