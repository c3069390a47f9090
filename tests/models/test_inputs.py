"""What a trained model takes as pictures: each form gives the answer that the plain one gives, or one clear error."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.core.errors import EnvironmentFault, NumericError, ShapeError, StriateError, UsageError
from striate.estimators.pictures.features import ImageFeatures

COLOUR = np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]


def model(channels: int = 3, extent: tuple[int, int] = (8, 6)) -> striate.Model:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    return striate.Model.of(module, input_size=extent, classes=list("abcde"))


def numbers(answers) -> list[list[float]]:
    return [[answer.probability for answer in item.top] for item in answers]


def matrix(array: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's: there are better forms
        return np.matrix(array)


@pytest.mark.parametrize(
    "form",
    [
        lambda: COLOUR[1],
        lambda: COLOUR[1:2],
        lambda: [COLOUR[1]],
        lambda: (COLOUR[1:2],),
        lambda: torch.from_numpy(COLOUR[1]),
        lambda: torch.from_numpy(COLOUR[1:2]).permute(0, 3, 1, 2),
        lambda: torch.from_numpy(COLOUR[1]).permute(2, 0, 1),
        lambda: Image.fromarray(COLOUR[1]),
        lambda: [Image.fromarray(COLOUR[1])],
        lambda: iter([COLOUR[1]]),
    ],
)
def test_one_colour_picture_in_any_form_gets_one_answer(form):
    wanted = numbers(model().predict(COLOUR, top=5))[1]

    assert numbers(model().predict(form(), top=5)) == [wanted]


@pytest.mark.parametrize("form", [lambda: GREY[1], lambda: matrix(GREY[1]), lambda: GREY[1][..., None], lambda: Image.fromarray(GREY[1])])
def test_one_grey_picture_in_any_form_gets_one_answer(form):
    wanted = numbers(model(1).predict(GREY, top=5))[1]

    assert numbers(model(1).predict(form(), top=5)) == [wanted]


def test_grey_pictures_three_pixels_wide_are_not_taken_for_one_in_colour():
    assert len(model(1, (5, 3)).predict(np.zeros((6, 5, 3), np.uint8))) == 6


def test_a_list_may_mix_files_and_arrays_of_several_sizes(tmp_path):
    Image.fromarray(COLOUR[0]).save(tmp_path / "a.png")
    answers = model().predict([tmp_path / "a.png", COLOUR[1, :8], str(tmp_path / "a.png"), GREY[2]])

    assert [item.path for item in answers] == [str(tmp_path / "a.png"), "1", str(tmp_path / "a.png"), "3"]
    assert numbers(answers)[0] == numbers(answers)[2] == numbers(model().predict(COLOUR[0]))[0]


@pytest.mark.parametrize("nothing", [[], (), np.zeros((0, 9, 7, 3), np.uint8), np.array([], dtype=str)])
def test_no_pictures_get_no_answers(nothing):
    assert len(model().predict(nothing)) == 0


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (None, "got None"),
        (3, "got a int"),
        (b"a.png", "got a bytes"),
        ([None], r"pictures\[0\]: .*got None"),
        ([[0, 1], [2, 3]], r"pictures\[0\]: .*got a list"),
        (COLOUR / 255, r"must be uint8 .*got float64 \(4, 9, 7, 3\)"),
        (torch.zeros(2, 3, 9, 7, requires_grad=True), r"must be uint8 .*got float32 \(2, 3, 9, 7\)"),
        (np.zeros((1, 0, 0, 3), np.uint8), "at least one pixel"),
        (np.zeros((0, 0), np.uint8), "at least one pixel"),
        (np.zeros(5, np.uint8), "at least one pixel"),
        (COLOUR.transpose(0, 3, 1, 2), r"looks like \(n, c, h, w\)"),
        (COLOUR[0].transpose(2, 0, 1), "one picture with its channels first, or 3 grey ones"),
        ([COLOUR], r"pictures\[0\]: each item of a list must be one picture"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(pictures, words):
    with pytest.raises(UsageError, match=words):
        model().predict(pictures)


def test_a_folder_is_refused_with_the_way_to_answer_for_it(tmp_path):
    with pytest.raises(UsageError, match=r"is a folder, not a picture file\n.*striate\.predict"):
        model().predict(tmp_path)


@pytest.mark.parametrize("value", [0, -1, 2.0, True, None, "3"])
def test_counts_that_are_none_are_refused_by_every_method(value):
    trained = model()
    seen = trained.read(COLOUR)
    for call in (
        lambda: trained.predict(COLOUR, batch_size=value),
        lambda: trained.predict(COLOUR, top=value),
        lambda: trained.classify(COLOUR, batch_size=value),
        lambda: trained.answers(COLOUR, batch_size=value),
        lambda: trained.outputs(seen, batch_size=value),
        lambda: trained.probabilities(seen, batch_size=value),
        lambda: trained.shares(seen, batch_size=value),
    ):
        with pytest.raises(UsageError, match=r"(batch_size|top) must be"):
            call()


@pytest.mark.parametrize("images", [None, COLOUR, torch.zeros(1, 8, 6, 3), [1, 2]])
def test_outputs_takes_what_the_model_sees_alone(images):
    with pytest.raises(ShapeError, match=r"images must be uint8 \(N, 8, 6, 3\), got"):
        model().outputs(images)


def overflowing() -> striate.Model:
    """A network of finite weights whose outputs are infinite."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(144, 5), nn.Linear(5, 5))
    for parameter in module.parameters():
        nn.init.constant_(parameter, 3e38)
    return striate.Model.of(module, input_size=(8, 6), classes=list("abcde"))


def test_outputs_that_overflow_are_a_numeric_error_that_names_the_picture(tmp_path):
    trained, path = overflowing(), tmp_path / "a.png"
    Image.fromarray(COLOUR[0]).save(path)
    seen = trained.read(COLOUR)
    for call in (trained.outputs, trained.shares, trained.probabilities, trained.predict, trained.classify):
        with pytest.raises(NumericError, match="picture 0: the network gives NaN or Inf"):
            call(seen)
    with pytest.raises(NumericError, match=re.escape(f"{path}: the network gives NaN or Inf")):
        trained.predict(path)
    with pytest.raises(NumericError, match="NaN or Inf"):
        ImageFeatures(trained, layer="model.2").fit(COLOUR)


def test_a_temperature_next_to_nothing_gives_whole_certainty_and_valid_json():
    trained = model()
    trained.calibration = type(trained.calibration)(temperature=1e-300)

    answers = trained.predict(COLOUR, top=5)

    assert numbers(answers)[0][:2] == [1.0, 0.0]
    json.loads(answers.to_json(), parse_constant=pytest.fail)


@pytest.mark.parametrize("device", ["cuda:7", "mps"])
def test_a_device_that_is_not_there_is_said(tmp_path, device):
    model_file = tmp_path / "m.safetensors"
    net = striate.network("compact_cnn", num_classes=2, in_channels=1, input_size=8)
    images = striate.core.images.ImageSpec(height=8, width=8, channels=1, mean=(0.5,), std=(0.5,))
    striate.networks.model_file.save_model(model_file, net, net.build().state_dict(), classes=("a", "b"), images=images, info={})

    with pytest.raises(EnvironmentFault, match=f"device {device}: this machine has none"):
        striate.load(model_file, device=device)
    with pytest.raises(UsageError, match="unknown device 'gpu'"):
        striate.load(model_file, device="gpu")


@pytest.mark.parametrize("name", [None, 3, ["lenet5"], nn.Linear(1, 1)])
def test_what_names_no_network_is_refused_in_words(name):
    with pytest.raises(UsageError, match="network: expected a name of the catalogue, got"):
        striate.network(name)


@pytest.mark.parametrize("source", [None, 3, Path("nowhere"), ""])
def test_what_is_no_model_is_refused_in_words(source):
    with pytest.raises(StriateError):
        striate.load(source)


@pytest.mark.parametrize("numbers", [{"num_classes": "10"}, {"num_classes": 2.0}, {"in_channels": True}, {"input_size": (32, "32")}])
def test_sizes_that_are_no_whole_numbers_are_refused(numbers):
    with pytest.raises(UsageError, match="lenet5: num_classes, in_channels and input_size must be whole numbers, got"):
        striate.network("lenet5", **numbers)


@pytest.mark.parametrize("verb", [striate.profile, striate.diagnose, striate.report, striate.repro, striate.filter, striate.evaluate])
def test_none_in_place_of_a_run_is_refused_in_words(verb):
    with pytest.raises(UsageError, match="expected a"):
        verb(None)


@pytest.mark.parametrize("fields", [{"input_size": "3"}, {"input_size": 4, "mean": None}, {"input_size": 0}, {"input_size": True}])
def test_a_model_of_a_module_checks_its_sizes(fields):
    with pytest.raises(UsageError, match="must be"):
        striate.Model.of(nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), **fields)
