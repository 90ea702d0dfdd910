"""LSTM, additive attention and rotary positions against the equations, written out in numpy."""

import numpy as np
import pytest
import torch

from medray.formats.genomics.alphabet import PAD
from medray.models.sequence.attention_lstm import AdditiveAttention, AttentionLstm
from medray.models.sequence.lstm import Lstm, Recurrence
from medray.models.sequence.transformer import rotate

Array = np.ndarray


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def lstm_steps(x: Array, weights: dict[str, Array], suffix: str) -> Array:
    """One direction of one layer over x (L, inward): states (L, hidden)."""
    inward, recurrent = weights[f"weight_ih_{suffix}"], weights[f"weight_hh_{suffix}"]
    bias = weights[f"bias_ih_{suffix}"] + weights[f"bias_hh_{suffix}"]
    hidden = recurrent.shape[1]
    h, c, states = np.zeros(hidden), np.zeros(hidden), []
    for step in x:
        pre = inward @ step + recurrent @ h + bias
        i, f, g, o = (pre[k * hidden : (k + 1) * hidden] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack(states)


def lstm(x: Array, weights: dict[str, Array], layers: int, *, both: bool) -> tuple[Array, Array]:
    """All layers over one sequence: states (L, features), and the last of each direction."""
    for layer in range(layers):
        forward = lstm_steps(x, weights, f"l{layer}")
        last, x_next = forward[-1], forward
        if both:
            backward = lstm_steps(x[::-1], weights, f"l{layer}_reverse")[::-1]
            x_next = np.concatenate([forward, backward], 1)
            last = np.concatenate([forward[-1], backward[0]])
        x = x_next
    return x, last


def arrays(module: torch.nn.Module) -> dict[str, Array]:
    return {name: value.detach().double().numpy() for name, value in module.named_parameters()}


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_gates_are_those_of_the_equations(
    both: bool, layers: int, dtype: torch.dtype, within: float
) -> None:
    torch.manual_seed(layers)
    recurrence = Recurrence(4, 7, layers, 0.0, both=both).to(dtype)
    x = torch.randn(3, 19, 4, dtype=dtype)
    lengths = [19, 1, 12]
    there = torch.arange(19)[None] < torch.tensor(lengths)[:, None]
    weights = arrays(recurrence.lstm)
    for mask, long in ((there, lengths), (torch.ones_like(there), [19] * 3)):
        states, last = recurrence(x, mask)
        for row, length in enumerate(long):
            wanted, end = lstm(x[row, :length].double().numpy(), weights, layers, both=both)
            assert np.abs(states[row, :length].detach().numpy() - wanted).max() < within
            assert np.abs(last[row].detach().numpy() - end).max() < within
            assert states[row, length:].abs().sum() == 0


@pytest.mark.parametrize("pool", ["last", "mean", "max"])
def test_the_network_is_embedding_recurrence_pool_and_head(pool: str) -> None:
    torch.manual_seed(0)
    options = Lstm.Options(hidden=6, layers=2, embedding=3, pool=pool)
    network = Lstm.build(options, 4, 2, None).eval()
    tokens = torch.tensor([[0, 3, 2, 2, 4, 1], [1, 0, 3, PAD, PAD, PAD]], dtype=torch.uint8)
    embed = network.get_parameter("embed.weight").detach().numpy()[:, :, 0]
    head = [network.get_parameter(f"head.{name}").detach().numpy() for name in ("weight", "bias")]
    answer = network(tokens).detach().numpy()
    for row, length in enumerate((6, 3)):
        one_hot = np.vstack([np.eye(4), np.zeros(4)])[tokens[row, :length].numpy()]
        states, last = lstm(one_hot @ embed.T, arrays(network.recurrence.lstm), 2, both=True)
        pooled = {"last": last, "mean": states.mean(0), "max": states.max(0)}[pool]
        assert np.abs(answer[row] - (head[0] @ pooled + head[1])).max() < 1e-6


def test_attention_is_a_softmax_of_what_the_states_say() -> None:
    torch.manual_seed(0)
    attention = AdditiveAttention(6, 5).double()
    states = torch.randn(2, 9, 6, dtype=torch.float64)
    there = torch.arange(9)[None] < torch.tensor([[9], [4]])
    context, alpha = attention(states, there)
    w, v = attention.weight.weight.detach().numpy(), attention.score.weight.detach().numpy()[0]
    for row, length in enumerate((9, 4)):
        h = states[row, :length].numpy()
        energy = np.array([v @ np.tanh(w @ one) for one in h])
        wanted = np.exp(energy) / np.exp(energy).sum()
        assert np.abs(alpha[row, :length].detach().numpy() - wanted).max() < 1e-12
        assert np.abs(context[row].detach().numpy() - wanted @ h).max() < 1e-12
        assert alpha[row, length:].sum() == 0


def test_attention_of_bases_sums_to_one_and_skips_padding() -> None:
    torch.manual_seed(0)
    options = AttentionLstm.Options(features=(8, 8), kernels=(5, 3), pools=(2, 3), hidden=5)
    network = AttentionLstm.build(options, 4, 1, None).eval()
    tokens = torch.randint(0, 4, (3, 20), dtype=torch.uint8)
    tokens[1, 14:], tokens[2, 6:] = PAD, PAD
    track = network.attend(tokens)
    assert track.shape == (3, 20)
    assert torch.allclose(track.sum(1), torch.ones(3), atol=1e-6)
    assert track[1, 14:].sum() == 0
    _, alpha = network._context(tokens)
    # Six bases make one position; of the last one of the first two rows only two bases are there.
    assert torch.allclose(track[0, 18:], alpha[0, 3] / 2)
    assert torch.allclose(track[0, 6:12], alpha[0, 1] / 6)
    assert torch.allclose(track[1, 12:14], alpha[1, 2] / 2)
    assert torch.allclose(track[2, :6], torch.ones(6) / 6, atol=1e-6)


def test_rotary_products_hang_on_the_distance_alone() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(8, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    turned = [rotate(one.expand(12, 8)) for one in (query, key)]
    products = turned[0] @ turned[1].T
    for apart in range(-3, 4):
        along = torch.diagonal(products, apart)
        assert torch.allclose(along, along[0].expand_as(along))
    assert not torch.allclose(products[0, 1], products[1, 0])
    assert torch.allclose(turned[0].norm(dim=1), query.norm().expand(12))
