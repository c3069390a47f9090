"""Heat over signals and the rows of tables: by closed forms, and as a user gets it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.apps.cli import main
from striate.core.errors import ShapeError, UsageError
from striate.insight.attack import moved_in_time
from striate.insight.explain import as_pictures, attribute, last_map, taking_pictures, trust_in
from striate.networks.layers import LSTM, Activation, Chain, Conv, Flatten, GlobalPool, Linear, ToSequence, ToSignal
from striate.networks.network import Network


def test_grad_cam_of_a_signal_equals_the_closed_form():
    """With a mean-pooled linear head it is max(0, w_k . A) / l by hand, at each place, and at its own length no interpolation."""
    torch.manual_seed(0)
    net = Network("line", (2, 9), Chain(conv=Conv(4, 3, padding=1), pool=GlobalPool("avg"), linear=Linear(3)))
    module, signals, classes = net.build().eval(), torch.randn(5, 2, 9), torch.tensor([0, 2, 1, 1, 0])
    maps = module.conv(signals)  # (N, 4, 9)
    expected = torch.einsum("nc,ncl->nl", module.linear.weight[classes], maps).clamp(min=0) / 9

    with taking_pictures(module, "signals"):
        inputs = as_pictures(signals, "signals")
        heat = attribute("grad_cam", module, last_map(module, inputs), inputs, classes)

    torch.testing.assert_close(heat[:, 0], expected.detach())
    assert module(signals).shape == (5, 3)  # as before, also inside of the context


@pytest.mark.parametrize("method", ["occlusion", "input_x_gradient"])
def test_a_linear_model_of_a_table_gives_each_column_its_weight_times_its_value(method):
    """A column at its mean, 0, takes w_kj x_j from the logit of class k; the gradient times the input is the same."""
    torch.manual_seed(0)
    module, rows, classes = nn.Sequential(nn.Linear(7, 3)), torch.randn(4, 7), torch.tensor([0, 2, 1, 2])
    expected = module[0].weight[classes] * rows

    with taking_pictures(module, "rows"):
        inputs = as_pictures(rows, "rows")
        heat = attribute(method, module, "", inputs, classes, apart=True)
        trust = trust_in(method, module, "", inputs, classes, heat, apart=True)

    signed = heat[:, 0] if method == "occlusion" else heat[:, 0].abs()
    torch.testing.assert_close(signed, (expected if method == "occlusion" else expected.abs()).detach(), atol=1e-6, rtol=1e-5)
    last = module(rows).softmax(1).gather(1, classes[:, None])[:, 0]
    first = module(torch.zeros(4, 7)).softmax(1).gather(1, classes[:, None])[:, 0]
    assert ((trust.insertion >= torch.minimum(first, last) - 1e-6) & (trust.insertion <= 1)).all()


def test_the_last_map_of_a_signal_is_before_the_steps_of_a_sequence_or_after_them():
    body = {"conv": Conv(9, 3, padding=1), "act": Activation("relu"), "steps": ToSequence(), "lstm": LSTM(5, return_sequence=True)}
    ends = {
        "act": Chain(**body, flatten=Flatten(), linear=Linear(3)),
        "back": Chain(**body, back=ToSignal(), pool=GlobalPool("avg"), linear=Linear(3)),
    }
    for name, root in ends.items():
        module = Network("steps", (2, 9), root).build().eval()
        with taking_pictures(module, "signals"):
            assert last_map(module, torch.randn(1, 2, 1, 9)) == name


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of signals (n, 16, 2) that carry a bump early or late."""
    rng = np.random.default_rng(0)
    y, X = np.arange(60) % 2, rng.normal(0, 0.1, (60, 16, 2))
    X[np.arange(60), 3 + 8 * y] += 3
    net = Network("bumps", (2, 16), Chain(conv=Conv(6, 3, padding=1), act=Activation("relu"), flatten=Flatten(), linear=Linear(2)))
    folder = tmp_path_factory.mktemp("bumps")
    np.savez(folder / "bumps.npz", x_train=X, y_train=np.array(["early", "late"])[y])
    np.save(folder / "new.npy", X[:3])
    report = striate.train(folder / "bumps.npz", network=net, epochs=12, learning_rate=0.02, output=folder / "run", diagnose=False)
    assert report.val.accuracy == 1
    return Path(report.run)


@pytest.mark.row("004-1")
def test_signals_are_explained_along_their_axis_from_the_command_line(run, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["explain", str(run), str(run.parent / "new.npy"), "-m", "grad_cam", "-m", "occlusion", "--output", str(tmp_path)])

    out, err = capsys.readouterr()
    assert not end.value.code and "grad_cam: 3 signals" in err
    assert "3 signals, feature map of act" in out and "the map's strongest places are taken away first" in out
    assert (tmp_path / "heat-maps.png").stat().st_size > 10_000
    with pytest.raises(UsageError, match="filters: draws pictures, and the model takes signals"):
        striate.explain(run, views=("filters",), output=tmp_path, sanity=False, num_pictures=2)


def test_rows_are_explained_column_by_column_and_volumes_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    for shape, words in (
        ((40, 5), ""),
        ((40, 3, 3, 3, 1), "the model takes volumes, and explain draws heat over pictures, signals and rows"),
    ):
        X = rng.normal(size=shape)
        y = (X.reshape(40, -1)[:, 1] > 0).astype(int)
        layers = (Linear(2),) if len(shape) == 2 else (Flatten(), Linear(2))
        net = Network("flat", (shape[-1], *shape[1:-1]), Chain(*layers))
        model = striate.load(striate.train((X, y), network=net, epochs=2, output=tmp_path / f"run{len(shape)}", diagnose=False).run)
        if words:
            with pytest.raises(UsageError, match=words):
                striate.explain(model, data=(X, y))
            continue
        report = striate.explain(model, data=(X, y), num_pictures=3, output=tmp_path / "rows")
        assert report.methods == ("occlusion",) and len(report.pictures) == 3
        assert (tmp_path / "rows" / "heat-maps.png").exists()


def test_signals_move_along_their_axis():
    """By hand: two places later and earlier, and beyond the end; the mean of a channel takes their place."""
    signals, rest = np.arange(8.0).reshape(1, 4, 2), np.array([-1.0, -2.0])
    assert moved_in_time(signals, 2, "later", rest)[0].tolist() == [[-1, -2], [-1, -2], [0, 1], [2, 3]]
    assert moved_in_time(signals, 1, "earlier", rest)[0].tolist() == [[2, 3], [4, 5], [6, 7], [-1, -2]]
    assert moved_in_time(signals, 9, "earlier", rest)[0].tolist() == [[-1, -2]] * 4
    with pytest.raises(UsageError, match="places must be 0 or more"):
        moved_in_time(signals, -1, "later", rest)
    with pytest.raises(ShapeError, match="signals must be"):
        moved_in_time(signals, 1, "later", rest[:1])


@pytest.mark.row("004-1")
def test_an_attack_shifts_signals(run, tmp_path):
    """The bump of the early ones, moved by 8 places, stands where that of the late ones was, and the other way round."""
    (result,) = striate.attack(run, attacks=("shift",), pixels=(0, 8), output=tmp_path).results
    assert result.unit == "places" and result.accuracies == (1.0, 0.0)
    assert (tmp_path / "index.html").exists()
