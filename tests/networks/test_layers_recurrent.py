"""Facts about the recurrent layers, each against a plain loop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from striate.core.errors import ShapeError
from striate.networks.layers import GRU, LSTM, Chain, Elman, Linear, ToSequence, ToSignal

F64 = torch.float64
SHAPE = (6, 3)  # (T, F)


def sequences(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=F64)


def built(layer, shape=SHAPE):
    torch.manual_seed(0)
    return layer.build(shape).double()


def cell(module, level: str = "l0") -> tuple[Tensor, Tensor, Tensor]:
    """Input weight, state weight, and the sum of both biases."""
    get = dict(module.cells.named_parameters())
    return get[f"weight_ih_{level}"], get[f"weight_hh_{level}"], get[f"bias_ih_{level}"] + get[f"bias_hh_{level}"]


def elman_by_loop(x: Tensor, weights: tuple[Tensor, Tensor, Tensor], f=torch.tanh) -> Tensor:
    u, w, b = weights
    state, states = torch.zeros(x.shape[0], w.shape[1], dtype=F64), []
    for step in range(x.shape[1]):
        state = f(x[:, step] @ u.T + state @ w.T + b)
        states.append(state)
    return torch.stack(states, 1)


@pytest.mark.row("003-29")
@pytest.mark.row("003-47")
def test_elman_is_the_loop():
    x = sequences(2, *SHAPE)
    module = built(Elman(4, return_sequence=True))
    torch.testing.assert_close(module(x), elman_by_loop(x, cell(module)), rtol=0, atol=1e-12)
    with_relu = built(Elman(4, return_sequence=True, activation="relu"))
    torch.testing.assert_close(with_relu(x), elman_by_loop(x, cell(with_relu), torch.relu), rtol=0, atol=1e-12)


@pytest.mark.row("003-35")
def test_lstm_is_the_loop_with_gates_i_f_g_o():
    x, module = sequences(2, *SHAPE), built(LSTM(4, return_sequence=True))
    u, w, b = cell(module)
    h = c = torch.zeros(2, 4, dtype=F64)
    states = []
    for step in range(6):
        i, f, g, o = (x[:, step] @ u.T + h @ w.T + b).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        states.append(h)
    torch.testing.assert_close(module(x), torch.stack(states, 1), rtol=0, atol=1e-12)


def test_gru_is_the_loop_with_gates_r_z_n():
    x, module = sequences(2, *SHAPE), built(GRU(4, return_sequence=True))
    get = dict(module.cells.named_parameters())
    h, states = torch.zeros(2, 4, dtype=F64), []
    for step in range(6):
        from_input = x[:, step] @ get["weight_ih_l0"].T + get["bias_ih_l0"]
        from_state = h @ get["weight_hh_l0"].T + get["bias_hh_l0"]
        r, z = torch.sigmoid(from_input[:, :8] + from_state[:, :8]).chunk(2, 1)
        n = torch.tanh(from_input[:, 8:] + r * from_state[:, 8:])
        h = (1 - z) * n + z * h
        states.append(h)
    torch.testing.assert_close(module(x), torch.stack(states, 1), rtol=0, atol=1e-12)


def test_the_last_state_alone_is_the_end_of_the_sequence():
    x = sequences(2, *SHAPE)
    for kind in (Elman, LSTM, GRU):
        states = built(kind(4, num_layers=2, return_sequence=True))(x)
        torch.testing.assert_close(built(kind(4, num_layers=2))(x), states[:, -1], rtol=0, atol=0)


def test_both_directions_are_two_layers_of_which_one_reads_backwards():
    x = sequences(2, *SHAPE)
    module = built(Elman(4, bidirectional=True, return_sequence=True))
    backward = elman_by_loop(x.flip(1), cell(module, "l0_reverse")).flip(1)
    expected = torch.cat([elman_by_loop(x, cell(module)), backward], 2)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)
    last = built(Elman(4, bidirectional=True))(x)
    torch.testing.assert_close(last, torch.cat([expected[:, -1, :4], expected[:, 0, 4:]], 1), rtol=0, atol=1e-12)


@pytest.mark.row("003-29")
def test_parameters_and_multiply_adds_by_hand():
    for kind, gates in ((Elman, 1), (LSTM, 4), (GRU, 3)):
        cost = kind(5).cost((7, 3))
        assert cost.params == gates * (3 * 5 + 5 * 5 + 2 * 5)
        assert cost.macs == 7 * gates * (3 * 5 + 5 * 5)
        deep = kind(5, num_layers=2, bidirectional=True).cost((7, 3))
        assert deep.params == 2 * gates * (3 * 5 + 5 * 5 + 2 * 5) + 2 * gates * (10 * 5 + 5 * 5 + 2 * 5)
        assert deep.macs == 7 * 2 * gates * (3 * 5 + 25 + 10 * 5 + 25)


def test_a_map_is_read_row_by_row_and_a_signal_step_by_step():
    x = sequences(2, 3, 4, 5)
    rows = ToSequence().build((3, 4, 5))(x)
    assert rows.shape == (2, 4, 15)
    assert torch.equal(rows[1, 2], x[1, :, 2].flatten())
    signal = sequences(2, 3, 7)
    assert torch.equal(ToSequence().build((3, 7))(signal), signal.transpose(1, 2))
    reader = Chain(ToSequence(), LSTM(8), Linear(10))
    assert reader.output_shape((1, 28, 30)) == (10,) == tuple(reader.build((1, 28, 30))(torch.randn(2, 1, 28, 30)).shape[1:])


@pytest.mark.row("003-29")
def test_each_step_gets_an_output_of_its_own():
    """o_t = g(V s_t): the scores of a signal's classes at step t are V times the state that Elman's recursion has there, (K, T)."""
    x = sequences(2, 3, 7)
    module = built(Chain(ToSequence(), Elman(4, return_sequence=True), Linear(5), ToSignal()), (3, 7))
    states = module[1](x.transpose(1, 2))  # (2, 7, 4)
    expected = torch.einsum("kh,nth->nkt", module[2].weight, states) + module[2].bias[:, None]
    torch.testing.assert_close(module(x), expected)
    with pytest.raises(ShapeError, match=r"a signal of steps needs a sequence \(T, F\), got \(5,\)"):
        ToSignal().output_shape((5,))


def test_errors_say_what_fits():
    for layer, name in ((Elman(4), "elman"), (LSTM(4), "lstm"), (GRU(4), "gru")):
        with pytest.raises(ShapeError, match=rf"{name} needs a sequence \(T, F\), got \(1, 28, 28\)") as caught:
            layer.output_shape((1, 28, 28))
        assert caught.value.remedy == "Put ToSequence() before it."
    with pytest.raises(ShapeError, match=r"a sequence of rows needs a shape \(C, L\) or \(C, H, W\), got \(7,\)"):
        ToSequence().output_shape((7,))
