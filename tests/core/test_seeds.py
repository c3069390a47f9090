"""Randomness is a function of numbers, never of what happened before."""

import pytest
import torch

from striate.core.seeds import mixed, torch_seed


def splitmix64(state: int) -> int:
    """The first output of the published generator, started at `state`."""
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def test_one_number_is_mixed_as_published():
    """16294208416658607535 is the first output of SplitMix64 from state 0, in its authors' own listing and in Java's tests."""
    assert splitmix64(0) == 16294208416658607535
    assert mixed(0) == 16294208416658607535 >> 1


def test_several_numbers_are_mixed_in_turn():
    assert mixed(3, 5) == splitmix64(splitmix64(3) ^ 5) >> 1
    assert mixed(3, 5) != mixed(5, 3)
    assert mixed(3) != mixed(3, 0)


@pytest.mark.parametrize("number", [-1, -(2**63), 2**64 - 1, 10**30])
def test_any_whole_number_gives_a_seed_that_torch_takes(number):
    assert 0 <= mixed(number) < 2**63
    torch.Generator().manual_seed(mixed(number))


def test_neighbouring_seeds_do_not_collide():
    assert len({mixed(seed, step) for seed in range(100) for step in range(100)}) == 10_000


def test_the_same_seed_gives_the_same_numbers_and_leaves_torch_as_it_was():
    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)

    with torch_seed(1):
        first = torch.rand(3)
    with torch_seed(1):
        second = torch.rand(3)
    with torch_seed(2):
        other = torch.rand(3)

    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.rand(4), expected)


def test_torch_is_left_as_it_was_after_an_error_too():
    torch.manual_seed(7)
    before = torch.get_rng_state()

    with pytest.raises(ZeroDivisionError), torch_seed(1):
        _ = torch.rand(3) / (1 // 0)

    assert torch.equal(torch.get_rng_state(), before)
