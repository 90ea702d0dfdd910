"""What every network of sequences owes: shapes, no trace of padding, gradients, a fixed start."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from medray.errors import SpecError
from medray.formats.genomics.alphabet import PAD
from medray.models.base import Network
from medray.models.sequence.attention_lstm import AttentionLstm
from medray.models.sequence.lstm import Lstm
from medray.models.sequence.seq_cnn import SeqCnn
from medray.models.sequence.tokens import coarser, one_hot, reverse_complement
from medray.models.sequence.transformer import Transformer

Case = tuple[type[Network], dict[str, Any]]

POOLED: list[Case] = [
    (Lstm, {"hidden": 5}),
    (Lstm, {"hidden": 5, "layers": 2, "dropout": 0.2, "pool": "last", "bidirectional": False}),
    (Lstm, {"hidden": 5, "pool": "max", "embedding": 6, "stem": 8}),
    (AttentionLstm, {"features": (8,), "hidden": 5, "attention": 4}),
    (AttentionLstm, {"features": (8, 6), "kernels": (7, 3), "pools": (2, 3), "dense": 4}),
    (Transformer, {"width": 8, "heads": 2, "pool": 3}),
    (Transformer, {"width": 8, "heads": 2, "positions": "learned"}),
    (SeqCnn, {"kernels": (3, 7), "filters": 4}),
    (SeqCnn, {"filters": 4, "features": (6, 6), "pool": "max", "strands": "both"}),
    (SeqCnn, {"filters": 4, "step": 2, "features": (6,), "pool": "flat", "dense": 0}),
    (SeqCnn, {"filters": 4, "kmers": 3}),
]
TAGGERS: list[Case] = [
    (Lstm, {"hidden": 5, "per_base": True, "stem": 6}),
    (Transformer, {"width": 8, "heads": 2, "per_base": True}),
]
LENGTH = 23


def build(case: Case) -> Network:
    torch.manual_seed(0)
    kind, options = case
    return kind.build(kind.Options(**options), 4, 3, (LENGTH,))


def bases(*lengths: int) -> torch.Tensor:
    """Random tokens (B, LENGTH), padded behind each length; before it, where it is negative."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 5, (len(lengths), LENGTH), generator=generator, dtype=torch.uint8)
    for row, length in zip(tokens, lengths, strict=True):
        row[slice(length, None) if length >= 0 else slice(0, LENGTH + length)] = PAD
    return tokens


def moved(network: Network) -> Network:
    """In evaluation mode, with statistics of batch norms that are not those of the start."""
    for _ in range(3):
        network(bases(*[LENGTH] * 8))
    return network.eval()


@pytest.mark.parametrize("case", POOLED + TAGGERS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_answers_per_sequence_or_per_base(case: Case, precision: torch.dtype) -> None:
    network = build(case)
    assert network.takes == "sequence"
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        logits = network(bases(LENGTH, 9, 17))
    assert logits.shape == ((3, 3, LENGTH) if case in TAGGERS else (3, 3))
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("case", POOLED + TAGGERS)
def test_padding_leaves_no_trace(case: Case) -> None:
    network = moved(build(case))
    # What stands before a sequence moves the windows of a pool by as much: 6 is 2 x 3.
    places = [slice(0, LENGTH), slice(0, 9), slice(0, 16), slice(6, LENGTH)]
    tokens = bases(LENGTH, 9, 16, 6 - LENGTH)
    together = network(tokens)
    for row, inside in enumerate(places):
        if inside.start and set(case[1].values()) & {"flat", "learned"}:
            continue  # here places count
        alone = network(tokens[row : row + 1, inside])
        answer = together[row : row + 1]
        torch.testing.assert_close(answer[..., inside] if case in TAGGERS else answer, alone)


@pytest.mark.parametrize("case", POOLED + TAGGERS)
def test_padding_alone_is_finite_and_so_are_its_gradients(case: Case) -> None:
    network = build(case)
    network(bases(LENGTH, 0)).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("case", POOLED + TAGGERS)
def test_one_hot_bases_are_taken_too(case: Case) -> None:
    network = moved(build(case))
    tokens = bases(LENGTH, LENGTH)
    channels, _ = one_hot(tokens)
    channels.requires_grad_()
    logits = network(channels)
    torch.testing.assert_close(logits, network(tokens))
    logits.sum().backward()
    assert channels.grad is not None
    assert (channels.grad.abs().sum((0, 1)) > 0).sum() >= 5


@pytest.mark.parametrize("case", POOLED + TAGGERS)
def test_every_parameter_gets_a_gradient(case: Case) -> None:
    network = build(case)
    torch.manual_seed(1)
    network(bases(*[LENGTH] * 6, 9)).square().sum().backward()
    dead = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    # Kept for sequences as long as `max_bases`; those of this length are learnt.
    assert [name for name in dead if name != "places"] == []


@pytest.mark.parametrize("case", POOLED + TAGGERS)
def test_a_seed_fixes_the_start(case: Case) -> None:
    one, two = build(case).state_dict(), build(case).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("network", [Lstm, AttentionLstm, Transformer, SeqCnn])
def test_images_axes_are_no_option(network: type[Network]) -> None:
    with pytest.raises(ValidationError, match="dims"):
        network.Options.model_validate({"dims": 2})


def test_tokens_become_channels() -> None:
    tokens = torch.tensor([[0, 1, 2, 3, 4, PAD]], dtype=torch.uint8)
    channels, there = one_hot(tokens)
    assert channels.dtype == torch.float32
    assert torch.equal(channels[0, :, :4], torch.eye(4))
    assert channels[0, :, 4:].sum() == 0
    assert there.tolist() == [[True] * 5 + [False]]
    assert coarser(there, 4).tolist() == [[True, True]]
    assert coarser(there[:, 2:], 3).tolist() == [[True, False]]


def test_the_other_strand_is_read_from_its_own_start() -> None:
    # ACGTN and GGC, padded: their complements reversed are NACGT and GCC.
    tokens = torch.tensor(
        [[0, 1, 2, 3, 4], [2, 2, 1, PAD, PAD], [PAD, 2, 2, 1, PAD], [PAD] * 5], dtype=torch.uint8
    )
    other = reverse_complement(tokens)
    assert other.tolist() == [
        [4, 0, 1, 2, 3],
        [2, 1, 1, PAD, PAD],
        [PAD, 2, 1, 1, PAD],
        [PAD] * 5,
    ]
    assert other.dtype == torch.uint8
    assert torch.equal(reverse_complement(other), tokens)
    channels, _ = one_hot(tokens[:1])
    assert torch.equal(reverse_complement(channels), one_hot(other[:1])[0])


def test_both_strands_give_one_answer() -> None:
    tokens = bases(LENGTH, 14)
    other = reverse_complement(tokens)
    network = moved(build((SeqCnn, {"filters": 4, "strands": "both"})))
    torch.testing.assert_close(network(tokens), network(other))
    alone = moved(build((SeqCnn, {"filters": 4})))
    assert not torch.allclose(alone(tokens), alone(other))


def test_a_flat_pool_keeps_places_and_others_do_not() -> None:
    """A word of ten bases among Ns, at two places far from the ends."""
    word = torch.tensor([0, 2, 1, 1, 3, 2, 0, 3, 1, 0], dtype=torch.uint8)
    tokens = torch.full((2, 60), 4, dtype=torch.uint8)
    tokens[0, 20:30], tokens[1, 28:38] = word, word
    answers = {}
    for pool in ("flat", "both"):
        torch.manual_seed(0)
        options = SeqCnn.Options(kernels=(5,), filters=4, pool=pool)
        network = SeqCnn.build(options, 4, 2, (60,)).eval()
        answers[pool] = network(tokens)
    torch.testing.assert_close(answers["both"][0], answers["both"][1])
    assert not torch.allclose(answers["flat"][0], answers["flat"][1])


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ((SeqCnn, {"pool": "flat"}), "sequence-too-long"),
        ((Transformer, {"positions": "learned", "max_bases": 23}), "sequence-too-long"),
    ],
)
def test_what_is_longer_than_the_network_is_refused(case: Case, code: str) -> None:
    network = build(case)
    with pytest.raises(SpecError) as caught:
        network(torch.zeros(1, LENGTH + 1, dtype=torch.uint8))
    assert caught.value.code == code


def test_options_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(SpecError) as caught:
        SeqCnn.build(SeqCnn.Options(pool="flat"), 4, 2, None)
    assert caught.value.code == "no-length"
    refused: list[Case] = [
        (SeqCnn, {"strands": "both", "pool": "flat"}),
        (SeqCnn, {"kernels": (6,)}),
        (Transformer, {"width": 12, "heads": 4}),
        (Transformer, {"per_base": True, "pool": 2}),
        (AttentionLstm, {"features": (8, 8)}),
        (AttentionLstm, {"pools": (0,)}),
    ]
    for network, options in refused:
        with pytest.raises(ValidationError):
            network.Options.model_validate(options)
