"""Faster, with the same numbers."""

from __future__ import annotations

import copy
import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from striate.engine.accelerate import pool_before_activation, tune_allocator


class Named(nn.Sequential):
    """A sequence of its own type that keeps nn.Sequential's forward, as the chains of a built network do."""


class Tapping(nn.Sequential):
    """One that reads its parts place by place."""

    def forward(self, x: Tensor) -> Tensor:
        x = self[0](x)
        return self[1](x) + x.mean()


class Reader(nn.Module):
    """A module with a forward of its own over a bare sequence."""

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


def tied_images() -> Tensor:
    """Whole numbers from -2 to 2: windows full of ties, zeros and negative numbers."""
    return torch.randint(-2, 3, (4, 3, 9, 7), generator=torch.Generator().manual_seed(0)).float()


def results(model: nn.Module, images: Tensor, *, swap: bool) -> tuple[int, list[Tensor]]:
    """How many pairs were swapped, then output, gradient of the images, gradients of the parameters."""
    images = images.clone().requires_grad_()
    model.zero_grad()
    pairs = 0
    if swap:
        with pool_before_activation(model) as pairs:
            output = model(images)
            (output * torch.linspace(-1, 2, output.numel()).view_as(output)).sum().backward()
    else:
        output = model(images)
        (output * torch.linspace(-1, 2, output.numel()).view_as(output)).sum().backward()
    return pairs, [output.detach(), images.grad, *(param.grad.clone() for param in model.parameters())]


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d(2), nn.MaxPool2d(3, stride=2, padding=1), nn.MaxPool2d(3, stride=2, ceil_mode=True), nn.MaxPool2d(2, dilation=2)],
    ids=["plain", "padded", "ceil", "dilated"],
)
@pytest.mark.parametrize("conv", [False, True])
def test_values_and_gradients_are_equal_bit_for_bit(pool, conv):
    """On windows with ties, zeros and nothing but negative numbers, straight from the image and behind a convolution."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3) if conv else nn.Identity(), nn.ReLU(inplace=conv), pool)

    _, plain = results(model, tied_images(), swap=False)
    pairs, swapped = results(model, tied_images(), swap=True)

    assert pairs == 1
    assert all(torch.equal(ours, expected) for ours, expected in zip(swapped, plain, strict=True))


def test_the_activation_works_on_the_smaller_map_and_afterwards_all_is_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5 * 4 * 3, 2))
    parts, keys = list(model.named_children()), list(model.state_dict())
    sizes = []
    model[1].register_forward_hook(lambda part, inputs, output: sizes.append(tuple(output.shape)))

    with pool_before_activation(model) as pairs:
        model(tied_images())
        within = list(model.state_dict())
    model(tied_images())

    assert pairs == 1
    assert sizes == [(4, 5, 4, 3), (4, 5, 9, 7)]
    assert within == list(model.state_dict()) == keys
    assert [(name, id(part)) for name, part in model.named_children()] == [(name, id(part)) for name, part in parts]


def test_a_pair_is_found_across_nested_sequences():
    """A block that ends in a ReLU, and a stage that begins with a pooling; two poolings in a row are both passed."""
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    model = Named(nn.Sequential(block), nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(2, stride=1), nn.Conv2d(4, 2, 1)))
    before = copy.deepcopy([name + type(part).__name__ for name, part in model.named_modules()])

    _, plain = results(model, tied_images(), swap=False)
    pairs, swapped = results(model, tied_images(), swap=True)

    assert pairs == 2
    assert all(torch.equal(ours, expected) for ours, expected in zip(swapped, plain, strict=True))
    assert [name + type(part).__name__ for name, part in model.named_modules()] == before


def test_all_is_as_it_was_after_an_error_too():
    model = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))

    with pytest.raises(RuntimeError), pool_before_activation(model):
        model(torch.zeros(3))

    assert [type(part) for part in model] == [nn.ReLU, nn.MaxPool2d]


def with_heads() -> nn.Module:
    model = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    model.forward_with_heads = lambda images: None
    return model


def used_twice() -> nn.Module:
    shared = Named(nn.Conv2d(3, 3, 1), nn.ReLU())
    return nn.Sequential(shared, nn.MaxPool2d(2), shared)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Sigmoid(), nn.MaxPool2d(2)),
        nn.Sequential(nn.ReLU6(), nn.AvgPool2d(2)),
        nn.Sequential(nn.ReLU(), nn.AvgPool2d(2)),
        nn.Sequential(nn.ReLU(), nn.MaxPool2d(2, return_indices=True)),
        nn.Sequential(nn.ReLU(), nn.Dropout(), nn.MaxPool2d(2)),
        nn.Sequential(nn.MaxPool2d(2), nn.ReLU()),
        Tapping(nn.ReLU(), nn.MaxPool2d(2)),
        Reader(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))),
        Reader(nn.Sequential(nn.Sequential(nn.ReLU()), nn.MaxPool2d(2))),
        with_heads(),
        used_twice(),
    ],
    ids=lambda model: "",
)
def test_what_could_give_another_result_is_left_alone(model):
    before = [id(part) for part in model.modules()]

    with pool_before_activation(model) as pairs:
        assert pairs == 0
        assert [id(part) for part in model.modules()] == before


def test_a_sequence_of_its_own_type_inside_a_module_counts():
    with pool_before_activation(Reader(Named(nn.Conv2d(3, 2, 1), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))))) as pairs:
        assert pairs == 1


def test_the_allocator_is_left_alone_when_asked(monkeypatch):
    monkeypatch.setenv("STRIATE_MALLOC", "0")

    assert not tune_allocator()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_the_allocator_is_left_alone_where_it_is_another(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)

    assert not tune_allocator()


FAULTS = """
import resource, sys, torch
from torch import nn
from striate.engine.accelerate import tune_allocator
print(tune_allocator() if sys.argv[1] == "tuned" else "untouched")
model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 4, 3))
images = torch.randn(16, 3, 70, 62)
for step in range(25):
    if step == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    model(images).sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's own")
def test_a_tuned_allocator_keeps_the_memory_of_the_last_step():
    """Counted in a process of its own: five more steps fault hardly a page, where they would fault thousands."""

    def page_faults(how: str) -> tuple[str, int]:
        surroundings = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}  # glibc's first value, which it raises at its own whim else
        command = [sys.executable, "-c", FAULTS, how]
        words = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True).stdout.split()
        return words[0], int(words[1])

    (done, tuned), (_, untouched) = page_faults("tuned"), page_faults("untouched")
    if done == "False":
        pytest.skip("this C library has no mallopt")

    if untouched <= 1000:
        pytest.skip("this machine keeps freed memory without being asked, or maps it in large pages: there is nothing to compare with")
    assert tuned < untouched / 20
