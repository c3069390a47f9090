"""The JSON form: nothing but data, the same network back, and everything else refused."""

from __future__ import annotations

import json
import random

import pytest

from striate.core.errors import RefusedFileError, ShapeError, UsageError
from striate.networks.catalog import network
from striate.networks.layers import (
    Activation,
    BatchNorm,
    Chain,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    Identity,
    Layer,
    Linear,
    Parallel,
    Pool,
)
from striate.networks.layers.vocabulary import MAX_DEPTH, layer_from_data
from striate.networks.network import AuxiliaryHead, Network

NETWORK = Network(
    "small",
    (3, 12, 14),
    Chain(
        stem=Conv(4, (3, 5), stride=2, padding="tf_same", bias=False),
        block=Parallel(body=Chain(Conv(4, 3, padding="same"), BatchNorm(scale=False)), shortcut=Identity(), merge="sum"),
        head=Chain(GlobalPool(), Linear(5)),
    ),
    heads=(AuxiliaryHead("stem", Chain(Flatten(), Linear(5)), 0.3),),
    source="nowhere",
    provenance=("without norm",),
)


def random_layer(generator: random.Random, depth: int) -> Layer:
    if depth and generator.random() < 0.5:
        children = {f"part{i}": random_layer(generator, depth - 1) for i in range(generator.randint(1, 4))}
        merge = generator.choice(["sum", "concat", "multiply", "first"])
        return Chain(**children) if generator.random() < 0.5 else Parallel(**children, merge=merge, crop=generator.choice([None, 0, 3]))
    return generator.choice(
        [
            Conv(generator.randint(1, 9), (1, generator.randint(1, 5)), padding=generator.choice([0, (1, 2), "same"])),
            Conv(2, 3, connections=((0,), (0, 1))),
            Activation("leaky_relu", slope=generator.random()),
            Dropout(generator.random()),
            Pool(generator.choice(["max", "avg"]), 3, generator.choice([None, 2])),
        ]
    )


def test_a_network_comes_back_equal():
    again = Network.from_json(NETWORK.to_json())
    assert again == NETWORK
    assert again.to_json() == NETWORK.to_json()
    assert (again.params, again.macs, again.output_shape) == (NETWORK.params, NETWORK.macs, (5,))


def test_random_trees_come_back_equal():
    generator = random.Random(0)
    for _ in range(200):
        layer = random_layer(generator, 4)
        again = layer_from_data(json.loads(json.dumps(layer.to_data(), allow_nan=False)))
        assert again == layer and repr(again) == repr(layer)


def test_json_holds_the_type_and_the_fields_that_differ_from_their_defaults():
    assert Conv(4, 3, stride=2).to_data() == {"type": "Conv", "out_channels": 4, "kernel_size": 3, "stride": 2}
    assert json.loads(NETWORK.to_json())["root"]["children"][1][1]["merge"] == "sum"


def changed(change) -> str:
    data = json.loads(NETWORK.to_json())
    change(data)
    return json.dumps(data)


def stem(data: dict) -> dict:
    return data["root"]["children"][0][1]


REFUSED = (
    (lambda d: stem(d).update(type="Convolution"), "root.stem: unknown layer type 'Convolution'"),
    (lambda d: stem(d).update(type="__import__"), "root.stem: unknown layer type '__import__'"),
    (lambda d: stem(d).update(type=3), "root.stem: a layer must be an object with a type"),
    (lambda d: stem(d).update(colour="red"), "root.stem: Conv: colour: is not known"),
    (lambda d: stem(d).update(out_channels=-4), "root.stem: Conv: out_channels: must be at least 1, got -4"),
    (lambda d: stem(d).update(kernel_size="three"), "root.stem: Conv: kernel_size: "),
    (lambda d: stem(d).update(connections=[[0]]), "root.stem: connections must list the inputs of each of 4 output maps"),
    (lambda d: stem(d).pop("out_channels"), "root.stem: Conv: out_channels: is missing"),
    (
        lambda d: d["root"]["children"][1][1].update(merge="max"),
        "root.block: merge must be one of sum, concat, multiply, first, resize, unpool, mixture, got 'max'",
    ),
    (lambda d: d["root"]["children"][1][1].update(crop=-1), "root.block: crop must be a whole number, got -1"),
    (lambda d: d["root"]["children"][1][1].update(code="x"), "root.block: Parallel must have the fields children, merge"),
    (lambda d: d["root"]["children"].append(["stem", {"type": "Identity"}]), "two parts are called 'stem'"),
    (lambda d: d["root"]["children"].append(["a.b", {"type": "Identity"}]), "a part's name must be an identifier, got 'a.b'"),
    (lambda d: d["root"]["children"].append("stem"), "root: each child must be a pair of a name and a layer"),
    (lambda d: d.update(root={"type": "Identity"}), "root must be a Chain"),
    (lambda d: d.update(input_shape=[3, -12, 14]), "input_shape must be a list of positive whole numbers, got [3, -12, 14]"),
    (lambda d: d.update(input_shape="3x12x14"), "input_shape must be a list of positive whole numbers"),
    (lambda d: d.update(name=7), "name must be text"),
    (lambda d: d.update(code="import os"), "unknown field 'code'"),
    (lambda d: d.update(striate_network=99), "not a network description of format 1"),
    (lambda d: d["heads"][0].update(weight="NaN"), "a head's weight must be a finite number, got 'NaN'"),
    (lambda d: d["heads"][0].pop("at"), "each of heads must have the fields at, head, weight"),
)


@pytest.mark.parametrize(("change", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_is_not_a_description_is_refused_with_its_place(change, words):
    with pytest.raises(RefusedFileError) as caught:
        Network.from_json(changed(change))
    assert words in caught.value.message


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"striate_network": 1}'])
def test_text_that_is_no_network_is_refused(text):
    with pytest.raises(RefusedFileError):
        Network.from_json(text)


def test_a_tree_that_is_too_deep_is_refused():
    layer: dict = {"type": "Identity"}
    for _ in range(MAX_DEPTH + 2):
        layer = {"type": "Chain", "children": [["part", layer]]}
    with pytest.raises(RefusedFileError, match=f"nested more than {MAX_DEPTH} deep"):
        layer_from_data(layer)


def test_a_file_of_a_description_is_a_network_of_the_catalogue_s_verbs(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(NETWORK.to_json(), encoding="utf-8")

    assert network(str(path)) == NETWORK
    assert network(str(path), num_classes=5, in_channels=3, input_size=(20, 18)) == NETWORK.with_input((3, 20, 18))


@pytest.mark.parametrize(
    ("content", "sizes", "error", "said"),
    [
        (None, {}, UsageError, r"cannot be read as a network: No such file"),
        (b"\xff\xfe\x00", {}, RefusedFileError, r"cannot be read as a network: it is not text in UTF-8"),
        (b"{}", {}, RefusedFileError, r"mine\.json: not a network description of format 1"),
        (NETWORK.to_json().encode(), {"num_classes": 7}, UsageError, "a network of 5 classes and 3 channels, expected 7 classes"),
        (NETWORK.to_json().encode(), {"in_channels": 1}, UsageError, "expected 1 channels"),
        (Network("deep", (3, 4, 5), Chain(conv=Conv(4, 9))).to_json().encode(), {}, ShapeError, r"mine\.json: conv: .* at least 9 x 9"),
    ],
)
def test_a_file_that_does_not_describe_what_is_wanted_is_named(tmp_path, content, sizes, error, said):
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(error, match=said):
        network(str(path), **sizes)
