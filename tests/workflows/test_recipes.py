"""Recipes have their publications' numbers, and flags are stronger than a file, a file than a recipe, a recipe than the defaults."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import get_args

import pytest
import yaml

import striate
from striate.core.errors import UnknownNameError, UsageError
from striate.data.augmentation.record import Augmentation
from striate.engine.schedules import schedule_of
from striate.engine.settings import LossName, TrainSettings
from striate.models.fitting import default_settings
from striate.networks.layers import Activation, Chain, Flatten, Linear
from striate.networks.network import Network
from striate.workflows.recipes.book import RECIPES, weight_layers
from striate.workflows.recipes.checked import with_checked_fields
from striate.workflows.recipes.choices import augmentation_for, choices_of, finds_rate, settings_for
from striate.workflows.recipes.defaults import default_recipe
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver
from striate.workflows.training.train import train

SMALL = striate.network("resnet20_cifar")
LARGE = striate.network("resnet18")


def request(**fields):
    return TrainRequest(data="digits", **fields)


def source(name: str, image_size=(32, 32), channels=3, task="classify"):
    return SimpleNamespace(name=name, image_size=image_size, channels=channels, task=task, kind="pictures")


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def rates(settings, num_train):
    """The learning rate of each update."""
    each = num_train // settings.batch_size
    total = settings.steps or settings.epochs * each
    factor = schedule_of(settings, total, each)
    return [settings.learning_rate * factor(step) for step in range(total)]


# ---- what was published


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_is_for_any_network_and_says_its_source(name):
    for network, num_train in ((SMALL, 50_000), (LARGE, 300), (striate.network("lenet5"), 60_000), (striate.network("unet"), 30)):
        recipe = RECIPES[name](network, num_train)
        assert recipe.settings.learning_rate > 0
        assert isinstance(recipe.augmentation, Augmentation)
    assert "Source: " in RECIPES[name].__doc__


def test_resnet_2015_takes_64_000_updates_and_divides_at_32_000_and_48_000():
    """Section 4.2, with its 45,000 pictures for training; the schedule in shares hits the numbers within an epoch."""
    ours = rates(RECIPES["resnet_2015"](SMALL, 45_000).settings, 45_000)

    assert abs(len(ours) - 64_000) < 352
    assert {round(rate, 6) for rate in ours} == {0.1, 0.01, 0.001}
    assert abs(sum(rate > 0.05 for rate in ours) - 32_000) < 352
    assert abs(sum(rate > 0.005 for rate in ours) - 48_000) < 352


def test_only_resnets_of_100_layers_warm_up():
    """He et al. name 20 and 110 by their weight layers; the latter started at a tenth of the rate."""
    deep = striate.network("resnet110_cifar")

    assert (weight_layers(SMALL), weight_layers(deep)) == (20, 110)
    assert RECIPES["resnet_2015"](SMALL, 45_000).settings.warmup_epochs == 0
    assert RECIPES["resnet_2015"](deep, 45_000).settings.warmup_epochs == 1


def test_densenet_2017_divides_at_half_and_three_quarters_or_after_30_and_60_epochs():
    small = rates(RECIPES["densenet_2017"](SMALL, 640).settings, 640)  # 10 updates an epoch
    large = rates(RECIPES["densenet_2017"](striate.network("densenet121"), 2560).settings, 2560)

    assert [len(small), *(sum(rate > bound for rate in small) for bound in (0.05, 0.005))] == [3000, 1500, 2250]
    assert [len(large), *(sum(rate > bound for rate in large) for bound in (0.05, 0.005))] == [900, 300, 600]


def keras_rate(epoch: int) -> float:
    """`lr_schedule` of the example, as it stands there; epochs count from 0."""
    lr = 1e-3
    if epoch > 180:
        lr *= 0.5e-3
    elif epoch > 160:
        lr *= 1e-3
    elif epoch > 120:
        lr *= 1e-2
    elif epoch > 80:
        lr *= 1e-1
    return lr


def test_keras_resnet_has_the_rates_of_the_example():
    recipe = RECIPES["keras_resnet"](SMALL, 320)  # 10 updates an epoch
    settings = recipe.settings

    assert rates(settings, 320) == pytest.approx([keras_rate(step // 10) for step in range(2000)])
    assert (settings.optimizer, settings.batch_size, settings.l2, settings.weight_decay) == ("adam", 32, 1e-4, 0.0)
    assert recipe.augmentation == Augmentation(shift=0.1, flip=True)


def test_alexnet_2012_divides_three_times_and_never_again():
    settings = RECIPES["alexnet_2012"](striate.network("alexnet_paper"), 1_000).settings
    schedule = schedule_of(settings, 90, 1)

    seen = []
    for step in range(90):
        seen.append(settings.learning_rate * schedule(step))
        schedule.observe(1.0)

    assert sorted({round(rate, 9) for rate in seen}, reverse=True) == [0.01, 0.001, 0.0001, 0.00001]
    assert (settings.momentum, settings.nesterov, settings.weight_decay, settings.batch_size) == (0.9, False, 5e-4, 128)
    assert (settings.init, settings.init_scale) == ("normal", 0.01)


def test_notes_see_256_000_samples():
    settings = RECIPES["notes"](SMALL, 55_000).settings

    assert settings.steps * settings.batch_size == 256_000
    assert (settings.optimizer, settings.learning_rate) == ("adam", 1e-3)
    assert set(rates(settings, 55_000)) == {1e-3}


def test_modern_goes_by_the_normalization():
    """ConvNeXt: 0.004 for 4,096 pictures. The bag of tricks: 0.1 for 256."""
    convnext = RECIPES["modern"](striate.network("convnext_tiny"), 50_000).settings
    resnet = RECIPES["modern"](LARGE, 50_000).settings

    assert (convnext.optimizer, convnext.weight_decay, convnext.smoothing) == ("adamw", 0.05, 0.1)
    assert convnext.learning_rate / convnext.batch_size == pytest.approx(0.004 / 4096)
    assert (resnet.optimizer, resnet.learning_rate, resnet.batch_size, resnet.warmup_epochs) == ("sgd", 0.1, 256, 5)


def test_fast_takes_two_thousandths_off_the_weights_at_its_peak_whatever_the_batch():
    for num_train, batch_size in ((50_000, 1024), (6_000, 256), (500, 64)):
        settings = RECIPES["fast"](SMALL, num_train).settings
        assert settings.batch_size == batch_size
        assert settings.learning_rate * settings.weight_decay * 1024 / batch_size == pytest.approx(0.0153 / (1 + 1 / 0.15))


def test_fast_gives_networks_without_normalization_a_fifth_of_the_rate():
    plain, normalized = (RECIPES["fast"](striate.network(name), 500).settings for name in ("vgg11", "vgg11_bn"))

    assert plain.learning_rate == pytest.approx(normalized.learning_rate / 5)


def test_colours_change_only_where_there_are_some():
    """AlexNet's own change of colour, with its deviation of 0.1, needs three channels."""
    grey, coloured = striate.network("lenet5"), striate.network("alexnet_paper")

    assert RECIPES["alexnet_2012"](coloured, 500).augmentation == Augmentation(
        crop_padding=16, pad_mode="reflect", flip=True, pca_colour=0.1
    )
    for name in RECIPES:
        changes = RECIPES[name](grey, 500).augmentation
        assert (changes.pca_colour, changes.saturation, changes.hue) == (0, 0, 0)


def test_large_pictures_are_cut_and_small_ones_are_shifted():
    """He et al.: 224 pixels of a shorter side of 256 to 480."""
    large, small = (RECIPES["resnet_2015"](network, 500).augmentation for network in (LARGE, SMALL))

    assert large.resized_crop == pytest.approx((0.2178, 0.7656), abs=1e-4) and not large.crop_padding
    assert small == Augmentation(crop_padding=4, flip=True)


@pytest.mark.row("003-45")
def test_the_textbooks_default_network_trains_with_the_textbooks_defaults(tmp_path):
    """He's weights, Swish, batch normalization, early stopping and decay, Nesterov, a schedule by performance; it reads the digits."""
    report = striate.train("digits", recipe="default_dnn", epochs=3, output=tmp_path / "run")
    config, network = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text()), striate.load(report.run).network
    settings = config["settings"]

    assert (settings["init"], settings["optimizer"], settings["nesterov"], settings["schedule"]) == ("he", "sgd", True, "plateau")
    assert RECIPES["default_dnn"](SMALL, 50_000).settings.patience == 10 and settings["weight_decay"] > 0
    assert config["network"] == report.network == "default_dnn"
    hidden = [[row.layer.kind for row in network.rows if row.path.startswith(f"hidden{place}.")] for place in range(1, 7)]
    assert hidden == [["linear", "batch_norm", "silu"]] * 5 + [[]]
    assert report.val.accuracy > 0.9


@pytest.mark.parametrize("asked", [{"network": "lenet5"}, {"recipe": "fast"}])
def test_a_named_network_or_another_recipe_is_trained_as_without_the_textbook(asked, tmp_path):
    given = {"recipe": "default_dnn", "steps": 1, "diagnose": False, "output": tmp_path / "run", **asked}
    assert striate.train("digits", **given).network == asked.get("network", "compact_cnn")


# ---- what is taken where nothing is named


def many(count: int = 20_000, **other):
    fields = {"name": "cifar10", "image_size": (32, 32), "channels": 3, "task": "classify", "kind": "pictures"} | other
    return SimpleNamespace(**fields, num_images=lambda _split: count)


def test_many_small_pictures_are_trained_by_the_fast_recipe():
    assert default_recipe(request(), many()) == "fast"
    assert default_recipe(request(epochs=3, seed=1, precision="float32"), many(image_size=(28, 28), channels=1)) == "fast"
    assert choices_of("fast").network_for(many()) == "fast_cnn"


@pytest.mark.parametrize(
    ("asked", "pictures"),
    [
        ({}, {"count": 19_999}),
        ({"train_images": 5_000}, {}),
        ({}, {"image_size": (224, 224)}),
        ({}, {"image_size": None}),
        ({}, {"image_size": (8, 8)}),
        ({}, {"task": "multilabel"}),
        ({"network": "lenet5"}, {}),
        ({"recipe": "notes"}, {}),
        ({"learning_rate": 0.1}, {}),
        ({"flip": False}, {}),
        ({"batch_size": 64}, {}),
        ({"set": {"settings.ema": 0.9}}, {}),
    ],
)
def test_other_pictures_and_other_requests_have_the_usual_defaults(asked, pictures):
    assert default_recipe(request(**asked), many(**pictures)) is None


def test_the_fast_recipe_whitens_its_own_network_and_trains_it_by_muon():
    ours, few, others = (
        RECIPES["fast"](striate.network(name), count).settings
        for name, count in (("fast_cnn", 50_000), ("fast_cnn", 5_000), ("resnet20_cifar", 50_000))
    )

    assert (ours.init, ours.freeze, ours.optimizer) == ("whitened", ("whiten",), "muon")
    assert (ours.batch_size, few.batch_size) == (512, 256)
    assert few.learning_rate == pytest.approx(ours.learning_rate / 2**0.5)
    assert (others.init, others.freeze, others.optimizer) == ("default", (), "sgd")


# ---- what is stronger


def test_flags_are_stronger_than_a_file_than_its_recipe_than_defaults(tmp_path):
    path = write(tmp_path, "recipe: densenet_2017\nsettings: {epochs: 40, batch_size: 32, weight_decay: 0.01}\n")
    asked = request(recipe=path, batch_size=16, momentum=0.8, set={"settings.momentum": 0.7})

    ours = settings_for(SMALL, 500, asked, choices_of(path))

    published = RECIPES["densenet_2017"](SMALL, 500).settings
    assert ours == dataclasses.replace(published, epochs=40, weight_decay=0.01, batch_size=16, momentum=0.7)
    assert settings_for(SMALL, 500, request()).schedule == "cosine"


def test_a_file_without_a_recipe_is_over_the_defaults(tmp_path):
    """The default rate goes with the batch that the file names."""
    ours = settings_for(SMALL, 500, request(), choices_of(write(tmp_path, "settings: {batch_size: 64}\n")))

    assert ours == dataclasses.replace(settings_for(SMALL, 500, request()), batch_size=64, learning_rate=0.05)


def test_who_asks_for_epochs_gets_epochs_from_a_recipe_in_steps(tmp_path):
    choices = choices_of("notes")

    assert settings_for(SMALL, 500, request(), choices).steps == 2000
    ours = settings_for(SMALL, 500, request(epochs=3), choices)
    assert (ours.steps, ours.epochs) == (None, 3)
    assert settings_for(SMALL, 500, request(epochs=3, steps=9), choices).steps == 9
    assert settings_for(SMALL, 500, request(), choices_of(write(tmp_path, "recipe: notes\nsettings: {epochs: 4}\n"))).steps is None


def test_a_recipe_mirrors_only_what_may_be_mirrored(tmp_path):
    published = RECIPES["densenet_2017"](SMALL, 500).augmentation
    insists = choices_of(write(tmp_path, "augmentation: {flip: true, crop_padding: 1}\n"))

    def ours(name, asked=None, choices=insists, base=published, **of_source):
        return augmentation_for(source(name, **of_source), SMALL, asked or request(), choices, base)

    nothing = choices_of(None)
    assert ours("cifar10", choices=nothing) == published == Augmentation(crop_padding=4, flip=True)
    assert ours("digits", choices=nothing) == dataclasses.replace(published, flip=False)
    assert ours("photos", choices=nothing, image_size=None).flip
    assert ours("digits") == Augmentation(crop_padding=1, flip=True)
    assert ours("digits", request(flip=False, crop_padding=2)) == Augmentation(crop_padding=2)
    assert ours("digits", choices=nothing, base=None, channels=1) == Augmentation(crop_padding=1)
    assert ours("digits", request(flip=True), nothing, None) == Augmentation(crop_padding=4, flip=True)


def test_masks_and_numbers_take_of_a_recipe_what_keeps_them_true():
    published = RECIPES["modern"](SMALL, 500).augmentation
    assert published.mixup and published.saturation

    def ours(task):
        return augmentation_for(source("photos", image_size=None, task=task), SMALL, request(), choices_of(None), published)

    assert ours("classify") == published
    assert ours("segment") == Augmentation(crop_padding=4, flip=True)
    assert ours("regression") == Augmentation()


def test_a_recipe_smooths_labels_only_where_the_loss_can():
    """A flag that asks for what there is not stays, so that it is refused."""
    choices = choices_of("fast")

    assert settings_for(SMALL, 500, request(), choices).smoothing == 0.2
    assert settings_for(SMALL, 500, request(), choices, "multilabel").smoothing == 0.2
    assert settings_for(SMALL, 500, request(), choices, "regression").smoothing == 0
    assert settings_for(SMALL, 500, request(set={"settings.loss": "hinge"}), choices).smoothing == 0
    assert settings_for(SMALL, 500, request(smoothing=0.3), choices, "regression").smoothing == 0.3


def test_a_rate_to_be_found_is_the_recipes_until_then(tmp_path):
    find = write(tmp_path, "settings: {learning_rate: find}\n")

    for asked, recipe in ((request(learning_rate="find"), "fast"), (request(), find)):
        assert finds_rate(dataclasses.replace(asked, recipe=recipe))
        assert settings_for(SMALL, 50_000, asked, choices_of(recipe)).learning_rate > 0
    assert not finds_rate(request(learning_rate=0.3, recipe=find))
    assert settings_for(SMALL, 500, request(learning_rate=0.3), choices_of(find)).learning_rate == 0.3


def test_a_recipe_that_there_is_not_comes_with_the_nearest_and_all(tmp_path):
    with pytest.raises(UnknownNameError, match=r"unknown recipe 'resnet_2016'") as caught:
        choices_of("resnet_2016")
    assert caught.value.remedy == (
        "Did you mean resnet_2015 or densenet_2017 or alexnet_2012? "
        "Known: notes, alexnet_2012, resnet_2015, densenet_2017, keras_resnet, modern, fast, default_dnn, or a YAML file."
    )

    with pytest.raises(UnknownNameError, match=r"unknown recipe 'moderm'"):
        choices_of(write(tmp_path, "recipe: moderm\n"))


def test_a_value_out_of_range_is_an_error_that_names_the_field(tmp_path):
    with pytest.raises(UsageError, match=r"\.yaml: momentum: must be less than 1, got 1.5"):
        settings_for(SMALL, 500, request(), choices_of(write(tmp_path, "recipe: fast\nsettings: {momentum: 1.5}\n")))

    with pytest.raises(UsageError, match=r"\.yaml: crop_padding must"):
        augmentation_for(source("digits"), SMALL, request(), choices_of(write(tmp_path, "augmentation: {crop_padding: -1}\n")))


@pytest.mark.parametrize(
    "fields",
    [
        {"warmup_epochs": 3.0, "schedule": "triangular"},
        {"warmup_epochs": 3.0, "recipe": "fast"},
        {"set": {"settings.warmup_epochs": 3.0, "settings.schedule": "one_cycle"}},
    ],
)
def test_a_warm_up_that_is_asked_for_is_made_whatever_the_schedule(fields):
    assert settings_for(SMALL, 500, request(**fields), choices_of(fields.get("recipe"))).warmup_epochs == 3


@pytest.mark.parametrize("schedule", ["one_cycle", "triangular"])
def test_a_schedule_with_a_rise_of_its_own_warms_up_only_when_asked(schedule):
    assert settings_for(SMALL, 500, request(), choices_of("modern")).warmup_epochs > 0
    assert settings_for(SMALL, 500, request(schedule=schedule), choices_of("modern")).warmup_epochs == 0


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("optimizer", "momentum", r"`optimizer`: must be .*\nFor descent with momentum, use `optimizer='sgd', momentum=0\.9`\."),
        (
            "optimizer",
            "Nesterov",
            r"\nThe momentum of `optimizer='sgd'` is Nesterov's, unless you give `set=\{'settings\.nesterov': False\}`\.",
        ),
        ("schedule", "warmup", r"\nUse `warmup_epochs=5`, before any `schedule`\."),
        ("loss", "bce", r"\nDid you mean binary_cross_entropy\?"),
        ("init", "kaiming", r"\nDid you mean he\?"),
        ("betas", 0.9, r"`betas`: must be a list, got 0\.9\nFor example `set=\{'settings\.betas': \[0\.9, 0\.95\]\}`\."),
        ("layer_rates", 3, r"`layer_rates`: must be a mapping of names to values, got 3\nFor example `set=\{'settings\.layer_rates':"),
        ("class_weights", (1, -2), r"`class_weights`, entry 2: must be at least 0, got -2\nFor example .*'balanced'"),
    ],
)
def test_a_value_that_has_another_name_or_form_here_comes_with_what_to_say(field, value, words):
    with pytest.raises(UsageError, match=words):
        with_checked_fields(TrainSettings, **{field: value})


def test_the_rate_grows_with_the_batch_up_to_all_pictures():
    """0.1 for 128 pictures; a batch of more than there are holds but those."""
    net = striate.network("resnet20_cifar")
    rates = [default_settings(net, 1_000, batch_size=size).learning_rate for size in (64, 1_000, 100_000)]

    assert rates == pytest.approx([0.05, 0.78125, 0.78125])


def test_gradients_that_grow_with_the_error_are_clipped_for_sgd():
    """Least squares behind normalization layers leave the finite numbers at the rates that suit cross-entropy, whose slopes are bounded."""
    net, plain = LARGE, striate.network("lenet5")
    clipped = [name for name in get_args(LossName) if default_settings(net, 90, loss=name).max_grad_norm == 1.0]
    assert clipped == ["squared_hinge", "mse"]
    assert default_settings(plain, 90, loss="mse").max_grad_norm is None  # AdamW scales them itself
    assert default_settings(net, 90, loss="mse", max_grad_norm=5.0).max_grad_norm == 5.0
    of_numbers = settings_for(net, 90, request(), task="regression")
    assert (of_numbers.loss, of_numbers.max_grad_norm) == ("mse", 1.0)


@pytest.mark.parametrize("hidden", [(), (Linear(32), Activation("relu"))])
def test_pictures_of_a_dense_network_are_not_shifted(hidden, tmp_path):
    dense = Network("dense", (1, 8, 8), Chain(Flatten(), *hidden, Linear(10)))
    lines = []
    observer = QuietObserver()
    observer.say = lines.append

    def shift(network, **fields):
        return augmentation_for(source("digits", channels=1), network, request(**fields), choices_of(None)).crop_padding

    train(TrainRequest(data="digits", network=dense, steps=1, device="cpu", output=tmp_path / "run"), observer=observer)

    assert shift(dense) == 0 and shift(striate.network("lenet5")) == 1
    assert shift(dense, crop_padding=2) == 2
    assert "pictures are not shifted at random: without a convolution, the network would have to learn each place anew" in lines
    assert any("augmentation: none" in line for line in lines)
