"""Every error carries its exit code, what came, what was wanted, and the remedy."""

import pytest

from striate.core import errors
from striate.core.errors import (
    DataError,
    EnvironmentFault,
    NumericError,
    ShapeError,
    StriateError,
    UnknownNameError,
    UsageError,
    memory_in_words,
)

EXIT_CODES = {  # as the table of exit codes promises scripts
    "StriateError": 70,
    "UsageError": 2,
    "UnknownNameError": 2,
    "ShapeError": 2,
    "DataError": 3,
    "EnvironmentFault": 4,
    "NumericError": 5,
    "InterruptedRun": 6,
    "RefusedFileError": 7,
}


def test_each_error_has_the_exit_code_that_is_promised():
    found = {name: kind.exit_code for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, StriateError)}

    assert found == EXIT_CODES


@pytest.mark.parametrize(
    ("error", "builtin"),
    [(UsageError, ValueError), (DataError, ValueError), (EnvironmentFault, OSError), (NumericError, ArithmeticError)],
)
def test_an_error_is_also_the_builtin_that_callers_know(error, builtin):
    with pytest.raises(builtin):
        raise error("lr must be positive, got -1")


def test_the_remedy_stands_on_a_line_of_its_own():
    error = DataError("photos: no pictures", "Give a folder with one subfolder per class.")

    assert str(error) == "photos: no pictures\nGive a folder with one subfolder per class."
    assert (error.message, error.remedy) == ("photos: no pictures", "Give a folder with one subfolder per class.")
    assert str(DataError("photos: no pictures")) == "photos: no pictures"


def test_an_unknown_name_gives_the_nearest_ones():
    error = UnknownNameError("network", "resnet81", ["vgg16", "resnet18", "mnist_notes"], "`striate networks` lists all.")

    assert str(error) == "unknown network 'resnet81'\nDid you mean resnet18? `striate networks` lists all."
    assert error.nearest == ("resnet18",)


def test_an_unknown_name_near_two_names_gives_both_and_far_from_all_gives_none():
    both = UnknownNameError("data set", "cifar", ["mnist", "cifar10", "cifar100"])
    neither = UnknownNameError("data set", "zebra", ["mnist", "cifar10"])

    assert both.remedy == "Did you mean cifar10 or cifar100?"
    assert str(neither) == "unknown data set 'zebra'"
    assert neither.nearest == ()


def test_a_shape_error_gathers_the_path_on_its_way_out():
    error = ShapeError("wants 3 channels, got 1", "Use in_channels=1.")

    outward = error.within("conv").within("block2").within("stage1")

    assert outward is error
    assert error.path == "stage1.block2.conv"
    assert error.problem == "wants 3 channels, got 1"
    assert str(error) == "stage1.block2.conv: wants 3 channels, got 1\nUse in_channels=1."
    assert error.args == ("stage1.block2.conv: wants 3 channels, got 1",)


def test_a_shape_error_with_a_path_of_its_own_says_it():
    assert str(ShapeError("wants (C, H, W)", path="head")) == "head: wants (C, H, W)"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 26214400 bytes. Error code 12"),
         "out of memory: 25.0 MiB more were needed"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.50 GiB."), "out of memory: 2.50 GiB more were needed"),
        (OSError(12, "Cannot allocate memory"), "out of memory"),
        (RuntimeError("could not create a primitive"), "out of memory"),
    ],
)  # fmt: skip
def test_too_little_memory_ends_in_words_whoever_says_it(error, words):
    with pytest.raises(EnvironmentFault) as fault, memory_in_words("Close other programs."):
        raise error

    assert (fault.value.message, fault.value.remedy, fault.value.exit_code) == (words, "Close other programs.", 4)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(2, "No such file"), EnvironmentFault("out of memory at step 3")])
def test_what_is_no_lack_of_memory_or_is_said_already_stays_as_it_is(error):
    with pytest.raises(type(error)) as same, memory_in_words("Close other programs."):
        raise error

    assert same.value is error
