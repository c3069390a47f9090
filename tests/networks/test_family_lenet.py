"""LeNets against the figures of LeCun et al., 1990, 1995 and 1998, and against plain restatements."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.networks.catalog import network
from striate.networks.families.lenet import C3_INPUTS


def test_lenet1_has_the_2578_parameters_and_98442_connections_of_the_paper() -> None:
    """The two totals that the text of 1990 states, layer by layer as it derives them."""
    net = network("lenet1")
    rows = [row for row in net.rows if row.cost.connections]

    assert (net.params, net.connections) == (2_578, 98_442)
    assert [(row.path, row.output_shape, row.cost.params) for row in rows] == [
        ("h1.conv", (4, 24, 24), 104),
        ("h2.pool", (4, 12, 12), 8),
        ("h3.conv", (12, 8, 8), 512),
        ("h4.pool", (12, 4, 4), 24),
        ("head.linear", (10,), 1_930),
    ]


def test_lenet4_has_the_maps_of_the_papers() -> None:
    """4 maps, 8 sub-sampled ones, two of each of them, 16, 16, 120 units, 10 outputs."""
    net = network("lenet4")

    assert list(net.shapes_at(["c1", "s2", "c3", "s4"]).values()) == [(4, 28, 28), (8, 14, 14), (16, 10, 10), (16, 5, 5)]
    assert net.params == 104 + 8 * 2 + 16 * (8 * 25 + 1) + 16 * 2 + 120 * (16 * 25 + 1) + 10 * 121 == 52_698


def test_the_17000_parameters_and_260000_connections_of_lenet4_leave_out_more_than_half_of_its_links() -> None:
    """Of the rows of ours, with so many of the links between maps; the papers print both counts, and no table of links."""
    cost = {row.path: row.cost for row in network("lenet4").rows}

    def counted(links_of_c3: int, links_of_f5: int) -> tuple[int, int]:
        """Parameters and connections without the other links of 25 weights, of which those of C3 are at 10 x 10 places."""
        less = 25 * (16 * 8 - links_of_c3), 25 * (16 * 120 - links_of_f5)
        return sum(one.params for one in cost.values()) - sum(less), sum(one.connections for one in cost.values()) - 100 * less[0] - less[1]

    assert counted(16 * 8, 16 * 120) == (52_698, 462_306)
    assert counted(60, 560) == (16_998, 258_306)
    assert counted(16 * 8, 0)[1] > 400_000 and counted(0, 16 * 120)[0] > 49_000  # neither layer alone can be the full one


@pytest.mark.row("003-16")
def test_lenet5_paper_has_60000_trainable_parameters_and_340908_connections() -> None:
    """The two totals that the paper states."""
    net = network("lenet5_paper")
    module = net.build()

    assert (net.params, net.connections, net.receptive_field) == (60_000, 340_908, 32)
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == 60_000
    assert sum(buffer.numel() for name, buffer in module.named_buffers() if name == "head.rbf.codes") == 840


def test_each_layer_of_lenet5_paper_has_the_parameters_and_connections_of_the_text() -> None:
    rows = [row for row in network("lenet5_paper").rows if row.cost.connections]

    assert [(row.path, row.output_shape, row.cost.params, row.cost.connections) for row in rows] == [
        ("c1.conv", (6, 28, 28), 156, 122_304),
        ("s2.pool", (6, 14, 14), 12, 5_880),
        ("c3.conv", (16, 10, 10), 1_516, 151_600),
        ("s4.pool", (16, 5, 5), 32, 2_000),
        ("c5.conv", (120, 1, 1), 48_120, 48_120),
        ("head.f6", (84,), 10_164, 10_164),
        ("head.rbf", (10,), 0, 840),
    ]


@pytest.mark.row("003-16")
def test_the_table_of_c3_is_the_papers() -> None:
    """Six maps see 3 neighbours in a ring of six, six see 4, three see 4 that are not all neighbours, one sees all: 60 links."""
    rings = [{(start + step) % 6 for step in range(count)} for count in (3, 4) for start in range(6)]

    assert [set(inputs) for inputs in C3_INPUTS[:12]] == rings
    assert [set(inputs) for inputs in C3_INPUTS[12:15]] == [{0, 1, 3, 4}, {1, 2, 4, 5}, {0, 2, 3, 5}]
    assert set(C3_INPUTS[15]) == set(range(6))
    assert sum(map(len, C3_INPUTS)) == 60
    assert [sum(maps in inputs for inputs in C3_INPUTS) for maps in range(6)] == [10] * 6
    assert all(before < after for inputs in C3_INPUTS for before, after in pairwise(inputs))


def plain_lenet5_paper(module: nn.Module, image: Tensor) -> Tensor:
    """The distances to the codes of one image (1, 32, 32), map by map."""
    state = module.state_dict()

    def squash(x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * x)

    def subsample(maps: list[Tensor], name: str) -> list[Tensor]:
        coefficients, biases = state[f"{name}.pool.weight"], state[f"{name}.pool.bias"]
        sums = [m[0::2, 0::2] + m[0::2, 1::2] + m[1::2, 0::2] + m[1::2, 1::2] for m in maps]
        return [squash(c * s + b) for s, c, b in zip(sums, coefficients, biases, strict=True)]

    def correlate(one_map: Tensor, kernel: Tensor) -> Tensor:
        return F.conv2d(one_map[None, None], kernel[None, None])[0, 0]

    kernels, biases = state["c1.conv.weight"], state["c1.conv.bias"]
    maps = subsample([squash(correlate(image[0], kernels[i, 0]) + biases[i]) for i in range(6)], "s2")
    links, biases, place, partial = state["c3.conv.weight"], state["c3.conv.bias"], 0, []
    for out, inputs in enumerate(C3_INPUTS):
        total = biases[out]
        for source in inputs:
            total = total + correlate(maps[source], links[place])
            place += 1
        partial.append(squash(total))
    maps = subsample(partial, "s4")
    c5 = squash(torch.einsum("oihw,ihw->o", state["c5.conv.weight"], torch.stack(maps)) + state["c5.conv.bias"])
    f6 = squash(state["head.f6.weight"] @ c5 + state["head.f6.bias"])
    return torch.stack([((f6 - code) ** 2).sum() for code in state["head.rbf.codes"]])


def test_lenet5_paper_is_the_text_written_out_map_by_map() -> None:
    torch.manual_seed(0)
    module = network("lenet5_paper").build().double()
    images = torch.randn(3, 1, 32, 32, dtype=torch.float64)

    with torch.no_grad():
        outputs = module(images)
        distances = torch.stack([plain_lenet5_paper(module, image) for image in images])

    assert distances.std() > 1e-3
    torch.testing.assert_close(outputs, -distances, rtol=0, atol=1e-10)


@pytest.mark.row("003-50")
def test_lenet5_narrows_its_maps_and_widens_its_channels_without_padding() -> None:
    """Modern form: 61,706 parameters and 416,520 MACs; 400 inputs to the layer of 120, then 84, then 10."""
    net = network("lenet5")
    shapes = {row.path: row.output_shape for row in net.rows}

    assert (net.params, net.macs, net.receptive_field) == (61_706, 416_520, 32)
    assert [shapes[path] for path in ("c1.conv", "s2", "c3.conv", "s4", "c5.conv", "head.f6", "head.linear")] == [
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (16, 5, 5),
        (120, 1, 1),
        (84,),
        (10,),
    ]
    assert 16 * 5 * 5 == 400
    assert [row.cost.params for row in net.rows if row.cost.params] == [156, 2_416, 48_120, 10_164, 850]


def test_lenet5_is_the_chain_of_plain_torch_layers() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 7),
    ).double()
    module = network("lenet5", num_classes=7).build().double()
    module.load_state_dict(dict(zip(module.state_dict(), plain.state_dict().values(), strict=True)))
    images = torch.randn(3, 1, 32, 32, dtype=torch.float64)

    with torch.no_grad():
        assert (module(images) - plain(images)).abs().max() == 0


def test_lenet5_paper_takes_other_numbers_of_classes() -> None:
    net = network("lenet5_paper", num_classes=26)

    assert (net.output_shape, net.params) == ((26,), 60_000)
