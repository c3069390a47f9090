"""The drawing of a network: what it shows, that all of it can be read, and that nothing is drawn twice or left out."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import matplotlib
import pytest
from PIL import ImageFont

from striate.networks.catalog import CATALOG, network
from striate.networks.drawing import draw_svg
from striate.networks.layers import (
    Activation,
    BatchNorm,
    Chain,
    ChannelLinear,
    Conv,
    ConvTranspose,
    Dropout,
    Flatten,
    Gain,
    GlobalPool,
    GroupNorm,
    Identity,
    InstanceNorm,
    Interpolate,
    Layer,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    PadChannels,
    Parallel,
    Pool,
    StochasticDepth,
    Subsample,
)
from striate.networks.layers.joins import MERGES
from striate.networks.layout import BOLD, text_width
from striate.networks.network import AuxiliaryHead, Network
from striate.networks.sketch import Aside, Box, Frame, Node, Split, Stack, sketch

SVG = "{http://www.w3.org/2000/svg}"


class Area(NamedTuple):
    """A rectangle of a drawing, in pixels, and what is written there."""

    left: float
    top: float
    right: float
    bottom: float
    words: str = ""

    def holds(self, other: Area) -> bool:
        return self.left <= other.left and other.right <= self.right and self.top <= other.top and other.bottom <= self.bottom

    def meets(self, other: Area) -> bool:
        return self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom


def fonts() -> dict[bool, ImageFont.FreeTypeFont]:
    """DejaVu Sans, regular and bold, the widest of the common sans fonts."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return {bold: ImageFont.truetype(folder / name, 100) for bold, name in ((False, "DejaVuSans.ttf"), (True, "DejaVuSans-Bold.ttf"))}


FONTS = fonts()


def texts(svg: str) -> list[Area]:
    """Where each line of words stands, as wide as DejaVu Sans makes it."""
    areas = []
    for node in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        words, size, x, y = node.text or "", float(node.attrib["font-size"]), float(node.attrib["x"]), float(node.attrib["y"])
        width = FONTS["font-weight" in node.attrib].getlength(words) * size / 100
        left = x - {"middle": width / 2, "end": width}.get(node.get("text-anchor", ""), 0.0)
        areas.append(Area(left, y - 0.76 * size, left + width, y + 0.24 * size, words))
    return areas


def rectangles(svg: str) -> list[tuple[str, Area]]:
    """The fill of each rectangle, and where it is."""
    found = []
    for node in ElementTree.fromstring(svg).iter(f"{SVG}rect"):
        x, y, width, height = (float(node.get(name, 0)) for name in ("x", "y", "width", "height"))
        found.append((node.attrib["fill"], Area(x, y, x + width, y + height)))
    return found


def words(svg: str) -> list[str]:
    return [area.words for area in texts(svg)]


def conv_norm(out_channels: int, kernel_size: int, *, stride: int = 1, act: bool = True) -> Chain:
    parts: dict[str, Layer] = {"conv": Conv(out_channels, kernel_size, stride=stride, padding="same", bias=False), "norm": BatchNorm()}
    return Chain(**parts, **({"act": Activation("relu")} if act else {}))


def residual_block(width: int, stride: int = 1) -> Chain:
    body = Chain(unit1=conv_norm(width, 3, stride=stride), unit2=conv_norm(width, 3, act=False))
    shortcut = Identity() if stride == 1 else PadChannels(width, stride)
    return Chain(add=Parallel(body=body, shortcut=shortcut, merge="sum"), act=Activation("relu"))


def residual_network(depth: int) -> Network:
    stages = {
        f"stage{i}": Chain(**{f"block{j}": residual_block(16 * 2 ** (i - 1), 2 if i > 1 and j == 1 else 1) for j in range(1, depth + 1)})
        for i in (1, 2, 3)
    }
    head = Chain(pool=GlobalPool(), linear=Linear(10))
    return Network("residual", (3, 32, 48), Chain(stem=conv_norm(16, 3), **stages, head=head))


def dense_network() -> Network:
    def layer() -> Parallel:
        body = Chain(
            norm1=BatchNorm(), act1=Activation("relu"), reduce=Conv(128, 1, bias=False), norm2=BatchNorm(), act2=Activation("relu")
        )
        return Parallel(shortcut=Identity(), body=Chain(**dict(body.children), conv=Conv(32, 3, padding=1, bias=False)), merge="concat")

    root = Chain(stem=Conv(64, 3, padding=1), stage1=Chain(**{f"layer{i}": layer() for i in range(1, 7)}), head=Chain(pool=GlobalPool()))
    return Network("dense", (3, 10, 14), root)


def nested_network() -> Network:
    """Two nested skips, a gate and branches of very different sizes."""
    inner = Parallel(
        skip=Identity(), deeper=Chain(pool=Pool("max", 2), conv=Conv(16, 3, padding=1), up=ConvTranspose(16, 2, stride=2)), merge="concat"
    )
    outer = Parallel(
        skip=Identity(),
        deeper=Chain(pool=Pool("max", 2), conv=Conv(8, 3, padding=1), inner=inner, up=ConvTranspose(8, 2, stride=2)),
        merge="concat",
    )
    gate = Parallel(
        map=Identity(), gate=Chain(pool=GlobalPool(keep_axes=True), conv=Conv(12, 1), act=Activation("sigmoid")), merge="multiply"
    )
    wide = Parallel(a=Conv(3, 1), b=Chain(one=conv_norm(3, 3), two=conv_norm(3, 5)), c=Pool("avg", 3, stride=1, padding=1), merge="concat")
    root = Chain(
        outer=outer, squeeze=Conv(12, 1), gate=gate, wide=wide, drop=StochasticDepth(0.1), head=Chain(flatten=Flatten(), linear=Linear(7))
    )
    return Network("nested & <odd>", (4, 24, 16), root, (AuxiliaryHead("wide", Chain(pool=GlobalPool(), linear=Linear(7)), 0.3),))


def shared_network() -> Network:
    """A pre-activation block whose shortcut reads the normalized input too."""
    body = Chain(conv1=Conv(8, 3, padding=1), norm=BatchNorm(), act=Activation("relu"), conv2=Conv(8, 3, padding=1))
    opening = Chain(norm=BatchNorm(), act=Activation("relu"))
    block = Parallel(shortcut=Conv(8, 1), opening=opening, body=body, merge="sum", trunk="opening")
    return Network("shared", (3, 6, 9), Chain(block1=block, head=Chain(pool=GlobalPool(), linear=Linear(5))))


BY_HAND = {"shared": shared_network(), "residual": residual_network(4), "dense": dense_network(), "nested": nested_network()}
NAMES = sorted(set(CATALOG) | set(BY_HAND))


@cache
def described(name: str) -> Network:
    return BY_HAND[name] if name in BY_HAND else network(name)


@cache
def drawing_of(name: str) -> str:
    return draw_svg(described(name))


def test_a_chain_reads_from_input_to_output() -> None:
    """LeNet-5's Table I, top to bottom: kernels, maps and sizes as published."""
    root = Chain(
        c1=Chain(conv=Conv(6, 5), act=Activation("scaled_tanh")),
        s2=Subsample(2),
        c3=Conv(16, 5),
        s4=Pool("avg", (2, 1)),
        head=Chain(flatten=Flatten(), f6=Linear(84), drop=Dropout(0.25), linear=Linear(10)),
    )

    shown = words(draw_svg(Network("lenet", (1, 32, 32), root)))

    cost = f"{156 + 12 + 2416 + (16 * 5 * 10 + 1) * 84 + 850:,} parameters"
    macs = 25 * 6 * 28 * 28 + 25 * 6 * 16 * 10 * 10 + 800 * 84 + 840
    assert shown == [
        *("lenet", f"{cost} · {macs:,} MACs ·", "receptive field 16×14"),
        "input 1 × 32 × 32",
        *("c1", "156 params", "118 k MACs", "5×5 conv 6 · scaled tanh", "6 × 28 × 28"),
        *("s2", "12 params", "2×2 sub-sampling", "6 × 14 × 14"),
        *("c3", "2.42 k params", "240 k MACs", "5×5 conv 16", "16 × 10 × 10"),
        *("s4", "2×1 average pool /2×1", "16 × 5 × 10"),
        *("head", "68.1 k params", "68 k MACs", "flatten · linear 84 · dropout 0.25", "84", "linear 10", "10"),
        "output 10",
        *("convolution", "pooling", "fully connected"),
    ]


def test_equal_blocks_in_a_row_are_drawn_once_with_their_number() -> None:
    shown = words(draw_svg(residual_network(4)))

    assert shown.count("× 4") == 1  # stage1
    assert shown.count("× 3") == 2  # stage2 and stage3 after their first block
    assert shown.count("block1 … block4") == 1
    assert shown.count("block2 … block4") == 2
    assert shown.count("block1") == 2
    assert shown.count("3×3 conv 32 /2 · BN · ReLU") == 1
    assert shown.count("+ · ReLU") == 3
    assert shown.count("+ · ReLU 64 × 8 × 12") == 1


def test_layers_that_differ_in_their_input_alone_are_drawn_once_with_the_last_size() -> None:
    shown = words(draw_svg(dense_network()))

    assert [w for w in shown if w.startswith("BN")] == ["BN · ReLU · 1×1 conv 128", "BN · ReLU · 3×3 conv 32"]
    assert shown.count("× 6") == 1
    assert "concat 96 × 10 × 14" in shown
    assert "after the last: 256 × 10 × 14" in shown  # 64 + 6 x 32


def test_what_an_edit_did_and_auxiliary_heads_stand_in_the_caption() -> None:
    net = nested_network()

    assert "While training, also a classifier at wide (loss × 0.3)" in " ".join(words(draw_svg(net)))
    assert "with activation tanh" not in draw_svg(net)
    edited = net.without("squeeze")
    assert "without squeeze: removed 1 part (squeeze)" in " ".join(words(draw_svg(edited)))


def drawn(node: Node, times: int = 1) -> Counter[str]:
    """How many layers of each kind a node stands for, by its words."""
    if isinstance(node, Box):
        return sum((Counter({first_word(word): times * node.times}) for word in node.words), Counter())
    if isinstance(node, Frame):
        return drawn(node.node, times * node.times)
    if isinstance(node, Split):
        hints = sum((Counter({first_word(word): times}) for word in node.words[1:]), Counter({"merge": times}))
        return sum((drawn(branch, times) for branch in node.branches), hints)
    return sum((drawn(child, times) for child in node.nodes), Counter()) if isinstance(node, Stack) else Counter()


def first_word(word: str) -> str:
    return "conv" if "conv" in word else word


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_of_the_table_is_in_the_drawing_as_often_as_in_the_network(name: str) -> None:
    net = described(name)

    bands = [band for band in sketch(net) if not isinstance(band.node, Aside)]
    shown = sum((drawn(band.node) for band in bands), Counter())

    kinds = Counter(row.layer.kind for row in net.rows)
    merges = sum(1 for row in net.rows if isinstance(row.layer, Parallel) and len(row.layer.branches) > 1)
    convolutions = sum(count for kind, count in kinds.items() if kind.startswith("conv"))
    assert shown["merge"] == merges
    assert shown["conv"] == convolutions
    assert shown["BN"] == kinds["batch_norm"]
    assert shown["ReLU"] == kinds["relu"]
    assert shown["SiLU"] == kinds["silu"]
    layers = sum(count for kind, count in kinds.items() if kind not in ("identity", *MERGES))
    assert sum(shown.values()) - shown["merge"] == layers
    assert sum(band.params for band in bands) == net.params
    assert sum(band.macs for band in bands) == net.macs


def test_side_branches_leave_the_line_below_the_part_that_they_read_from():
    """Each is a small classifier of its own, 0.3 of the loss."""
    bands = sketch(described("googlenet"))
    titles = [band.title for band in bands]
    words = [text for text in drawing_of("googlenet").split("<") if "loss × 0.3, in training only" in text]

    places = [index for index, title in enumerate(titles) if title == "side branch"]
    assert [titles[index - 1] for index in places] == ["inception4a", "inception4d"]
    assert len(words) == 2
    assert bands[places[0]].params == 512 * 128 + 2 * 128 + (128 * 4 * 4 + 1) * 1024 + (1024 + 1) * 1000
    assert drawn(bands[places[0]].node.node).keys() == {
        "5×5 average pool /3",
        "conv",
        "BN",
        "ReLU",
        "flatten",
        "linear 1024",
        "dropout 0.7",
        "linear 1000",
    }


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_is_written_meets_anything_else_or_leaves_the_picture(name: str) -> None:
    svg = drawing_of(name)
    (_, picture), *rest = rectangles(svg)
    written = texts(svg)

    assert all(picture.holds(area) for area in written)
    assert all(picture.holds(area) for _, area in rest)
    by_height = sorted(written, key=lambda area: area.top)
    for index, area in enumerate(by_height):
        for other in by_height[index + 1 :]:
            if other.top >= area.bottom:
                break
            assert not area.meets(other), (area, other)


@pytest.mark.parametrize("name", NAMES)
def test_boxes_do_not_overlap_and_hold_their_words(name: str) -> None:
    svg = drawing_of(name)
    grounds = {"#ffffff": 22, "#f3f5f8": 10**9, "#e8ecf1": 10**9}  # paper, band, frame: what boxes may lie on
    boxes = [area for fill, area in rectangles(svg)[1:] if fill not in grounds or (fill == "#ffffff" and area.bottom - area.top <= 24)]
    boxes.sort(key=lambda area: area.top)

    for index, area in enumerate(boxes):
        for other in boxes[index + 1 :]:
            if other.top >= area.bottom:
                break
            assert not area.meets(other), (area, other)
    for text in texts(svg):
        for box in boxes:
            assert box.holds(text) or not box.meets(text), (box, text)


@pytest.mark.parametrize("name", NAMES)
def test_words_are_never_wider_than_they_are_reckoned(name: str) -> None:
    for text in words(drawing_of(name)):
        assert FONTS[False].getlength(text) / 100 <= text_width(text, 1), text
        assert FONTS[True].getlength(text) / 100 <= BOLD * text_width(text, 1), text


def test_a_drawing_keeps_to_the_width_where_it_can() -> None:
    def width(limit: int) -> float:
        return rectangles(draw_svg(network("googlenet"), width_px=limit))[0][1].right

    assert width(2000) > width(1200)  # columns beside each other
    assert width(1200) <= 1200
    assert width(800) <= 800
    assert "1×1 conv 64" in words(draw_svg(network("googlenet"), width_px=800))  # its normalization stands on a second line


def test_a_long_network_is_broken_into_columns_of_like_height() -> None:
    bands = [area for fill, area in rectangles(draw_svg(residual_network(4))) if fill == "#f3f5f8"]
    lefts = sorted({area.left for area in bands})

    assert len(lefts) == 2
    heights = [max(area.bottom for area in bands if area.left == left) for left in lefts]
    assert min(heights) > 0.6 * max(heights)
    assert all(before.bottom <= after.top for before, after in pairwise(bands) if before.left == after.left)


def test_the_drawing_says_its_size_and_has_its_own_ground() -> None:
    root = ElementTree.fromstring(draw_svg(nested_network()))

    assert root.tag == f"{SVG}svg"
    assert root.attrib["viewBox"] == f"0 0 {root.attrib['width']} {root.attrib['height']}"
    title = root.find(f"{SVG}title")
    assert title is not None
    assert title.text == "nested & <odd>"
    ground = next(iter(root.iter(f"{SVG}rect")))
    assert (ground.attrib["width"], ground.attrib["height"], ground.attrib["fill"]) == (
        root.attrib["width"],
        root.attrib["height"],
        "#ffffff",
    )
    assert all(re.fullmatch(r"#[0-9a-f]{6}", node.attrib["fill"]) for node in root.iter(f"{SVG}text"))


def test_a_network_of_no_layers_is_its_input() -> None:
    assert {"input 3 × 4 × 5", "output 3 × 4 × 5"} <= set(words(draw_svg(Network("nothing", (3, 4, 5), Chain()))))


def test_signals_and_vectors_are_drawn_too() -> None:
    signal = Network("signal", (2, 40), Chain(conv=Conv(4, 5, stride=2), head=Chain(flatten=Flatten(), linear=Linear(3))))

    assert {"5 conv 4 /2", "4 × 18", "input 2 × 40", "flatten · linear 3"} <= set(words(draw_svg(signal)))
    assert "linear 3" in words(draw_svg(Network("vector", (7,), Chain(linear=Linear(3)))))


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (Conv(8, (1, 7), padding="same"), "1×7 conv 8"),
        (Conv(8, 3, groups=4), "3×3 depthwise conv 8"),
        (Conv(8, 3, groups=2, dilation=2), "3×3 conv 8 in 2 groups dilated 2"),
        (Conv(2, 3, connections=((0, 1), (2, 3)), stride=(2, 1)), "3×3 conv 2 partly connected /2×1"),
        (ConvTranspose(6, 4, stride=2), "4×4 transposed conv 6 up 2"),
        (Pool("max", 3, stride=1), "3×3 max pool"),
        (Pool("avg", 2), "2×2 average pool /2"),
        (GlobalPool("max"), "global max pool"),
        (Interpolate(scale=2, mode="bilinear"), "interpolate bilinear up 2"),
        (LocalResponseNorm(), "LRN"),
        (GroupNorm(2), "GN"),
        (LayerNorm(), "LN"),
        (InstanceNorm(), "IN"),
        (Activation("hard_swish"), "hard swish"),
        (Activation("leaky_relu"), "leaky ReLU"),
        (Dropout(0.3), "dropout 0.3"),
        (StochasticDepth(0.3), "drop path"),
        (PadChannels(8, 2), "pad channels 8 /2"),
        (Gain(), "gain"),
        (ChannelLinear(9), "channel linear 9"),
    ],
)
def test_each_layer_is_said_in_few_words(layer: Layer, said: str) -> None:
    assert said in words(draw_svg(Network("one", (4, 12, 15), Chain(layer=layer))))


def test_drawing_does_not_wait_for_torch() -> None:
    imports = "import sys; from striate.networks.catalog import network; from striate.networks.drawing import draw_svg"
    code = f"{imports}; draw_svg(network('googlenet')); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_drawing_is_valid_whatever_the_network_is_called():
    hostile = Network("a\x1b[31m<b>\n\udce9&", (1, 8, 8), Chain(flatten=Flatten(), linear=Linear(3)))

    drawn = draw_svg(hostile)

    assert ElementTree.fromstring(drawn.encode()).find(f"{SVG}title").text == r"a\x1b[31m<b>\n\xe9&"
