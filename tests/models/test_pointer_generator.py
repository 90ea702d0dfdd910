"""Writing out of a text: how likely a token is, and which row of tokens is the likeliest."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from medray.models.text.base import FIRST, PADDING, UNKNOWN, WORDS
from medray.models.text.beam import END, beam_search
from medray.models.text.pointer_generator import PointerGenerator

SIZE = 6  # tokens of the table below
WRITES = [FIRST, WORDS, WORDS + 1]  # the end, and two tokens of a vocabulary


def network(**options: float) -> PointerGenerator:
    torch.manual_seed(0)
    made = PointerGenerator.Options(
        vocabulary=WORDS + 4, writes=3, embedding=5, hidden=4, dropout=0, unknown=0, **options
    )
    net = PointerGenerator(made)
    with torch.no_grad():
        for one in net.parameters():
            one.mul_(3)  # so that attention prefers some words
    return net.eval()


def batch() -> dict[str, Tensor]:
    """Two texts: the first has token 1, what no vocabulary has (3) twice, and another (4)."""
    words = [[WORDS, UNKNOWN, WORDS + 2, UNKNOWN, WORDS + 1], [WORDS + 3, WORDS, 0, 0, 0]]
    copies = [[1, 3, 4, 3, 2], [3, 1, 0, 0, 0]]
    return {
        "words": torch.tensor(words, dtype=torch.int32),
        "lengths": torch.tensor([5, 2]),
        "copies": torch.tensor(copies, dtype=torch.int32),
        "writes": torch.tensor(WRITES, dtype=torch.int32),
    }


def test_a_token_is_written_or_copied_as_the_gate_says() -> None:
    net, inputs = network(), batch()
    with torch.no_grad():
        text, state = net._read(inputs)
        told, after = net.following(text, torch.tensor([END, END]), state)
        entered = net.words(torch.tensor([FIRST, FIRST]))
        attention, _ = net._attend(text, entered, state)
        vocabulary, gate = net._mixed(entered, after[0], after[2])
    for row, length in enumerate((5, 2)):
        wanted = [0.0] * 5
        for token in range(3):
            wanted[token] += float(gate[row]) * math.exp(float(vocabulary[row, token]))
        for place in range(length):
            token = int(inputs["copies"][row, place])
            wanted[token] += (1 - float(gate[row])) * float(attention[row, place])
        np.testing.assert_allclose(told[row].exp().numpy(), wanted, atol=1e-6)
        assert sum(wanted) == pytest.approx(1, abs=1e-5)
    assert told[0, 3] > math.log(1e-3)
    assert told[1, 4] < math.log(1e-19)  # the second text has no such token
    assert attention[1, 2:].sum() == 0


def test_what_is_learnt_is_what_is_written() -> None:
    """Of a reference each token has the probability that it has when it is written."""
    net, inputs = network(), batch()
    reference = torch.tensor([[3, 1, -1, 4, END], [1, END, -1, -1, -1]])
    before = torch.tensor([
        [FIRST, UNKNOWN, WORDS, WORDS + 3, WORDS + 2], [FIRST, WORDS, FIRST, FIRST, FIRST],
    ])  # fmt: skip
    with torch.no_grad():
        found = net({**inputs, "reference": reference, "before": before})
        text, state = net._read(inputs)
        # What is copied of an unknown word is read as one, as it stands in the text.
        for at, last in enumerate(([END, END], [3, 1])):
            coverage = state[3]
            told, state = net.following(text, torch.tensor(last), state)
            for row in range(2):
                learnt = float(found["log_probability"][row, at])
                assert learnt == pytest.approx(float(told[row, reference[row, at]]), abs=1e-5)
                attention = state[3][row] - coverage[row]
                again = float(torch.minimum(attention, coverage[row]).sum())
                assert float(found["coverage"][row, at]) == pytest.approx(again, abs=1e-6)
    assert found["coverage"][:, 0].tolist() == [0, 0]
    assert found["coverage"][0, 1] > 0
    assert found["log_probability"][0, 2] == 0
    assert found["log_probability"][1, 2:].tolist() == [0, 0, 0]


def test_an_answer_does_not_hang_on_what_stands_beside() -> None:
    net, inputs = network(beam=3, longest=7), batch()
    alone = {
        "words": inputs["words"][1:, :2], "lengths": torch.tensor([2]),
        "copies": inputs["copies"][1:, :2], "writes": inputs["writes"],
    }  # fmt: skip
    with torch.no_grad():
        both, one = net(inputs)[1].tolist(), net(alone)[0].tolist()
    assert both[: len(one)] == one
    assert set(both[len(one) :]) <= {END}
    assert PADDING == 0


def chances(seed: int) -> Tensor:
    """Log-probabilities of the next token by the last one."""
    return torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(seed)).log_softmax(1)


def best_of_all(table: Tensor, longest: int) -> tuple[list[int], float]:
    """By trying every row."""
    found: tuple[list[int], float] = ([], -math.inf)
    for length in range(1, longest + 1):
        for row in itertools.product(range(SIZE), repeat=length):
            if END in row[:-1] or (row[-1] != END and length < longest):
                continue
            total = sum(float(table[a, b]) for a, b in itertools.pairwise((END, *row)))
            if total / length > found[1]:
                found = ([*row], total / length)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_likeliest_row_of_all(seed: int) -> None:
    table = torch.stack([chances(seed), chances(seed + 10)])
    longest = 4

    def step(last: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return table[state[0], last], state

    found = beam_search(step, (torch.arange(2),), width=SIZE**3, longest=longest)
    for row in range(2):
        wanted, score = best_of_all(table[row], longest)
        assert found.tokens[row, : len(wanted)].tolist() == wanted
        assert float(found.score[row]) == pytest.approx(score, abs=1e-5)
    greedy = beam_search(step, (torch.arange(2),), width=1, longest=longest)
    for row in range(2):
        last = END
        for token in greedy.tokens[row].tolist():
            assert token == int(table[row, last].argmax())
            last = token
            if token == END:
                break


def test_a_network_that_is_spoilt_says_so() -> None:
    net = network()
    with torch.no_grad():
        net.head.bias[1] = torch.nan
        assert net(batch()).isnan().all()
