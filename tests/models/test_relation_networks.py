"""Networks of pairs: two decisions as one softmax, and n-grams beside words."""

import math

import torch
from torch import Tensor

from medray.models.text.base import FIRST, REACH, SECOND, WORDS
from medray.models.text.relation_cnn import RelationCnn, in_stages
from medray.models.text.relation_wide_deep import RelationWideDeep

SIZES = {"vocabulary": WORDS + 2, "embedding": 4, "place": 2, "filters": 3, "widths": (3,)}


def network(**options: float) -> RelationWideDeep:
    torch.manual_seed(0)
    made = RelationWideDeep.Options.model_validate({**SIZES, "hashes": 8, **options})
    return RelationWideDeep(made, 3)


def batch() -> dict[str, Tensor]:
    """A pair with two n-grams, and one with three, of which 11 is 3 among 8."""
    return {
        "words": torch.tensor([[FIRST, WORDS, SECOND], [FIRST, SECOND, 0]], dtype=torch.int32),
        "first": torch.tensor([[0, 1, 2], [0, 1, -REACH]], dtype=torch.int32) + REACH,
        "second": torch.tensor([[-2, -1, 0], [-1, 0, -REACH]], dtype=torch.int32) + REACH,
        "lengths": torch.tensor([3, 2]),
        "grams": torch.tensor([1, 3, 2, 11, 2**31 - 1], dtype=torch.int32),
        "weights": torch.tensor([0.5, 0.5, 0.25, 0.5, 1.0]),
        "starts": torch.tensor([0, 2]),
    }


def test_two_stages_are_one_softmax() -> None:
    logits = torch.tensor([[math.log(3), math.log(4), 0.0], [-50.0, 2.0, 2.0]])
    told = in_stages(logits).exp()
    # Of odds of 3 to 1 that a pair is related, and 4 to 1 that it is so by the first type.
    torch.testing.assert_close(told[0], torch.tensor([0.25, 0.6, 0.15]))
    torch.testing.assert_close(told.sum(1), torch.ones(2))
    torch.testing.assert_close(told.log().softmax(1), told)
    torch.testing.assert_close(in_stages(logits)[1, 1], torch.tensor(-50 - math.log(2)))


def test_a_loss_of_two_stages_is_that_of_both_decisions() -> None:
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 2])
    whole = torch.nn.functional.cross_entropy(in_stages(logits), labels, reduction="sum")
    related = labels > 0
    first = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[:, 0], related.float(), reduction="sum"
    )
    second = torch.nn.functional.cross_entropy(
        logits[related, 1:], labels[related] - 1, reduction="sum"
    )
    torch.testing.assert_close(whole, first + second)


def test_logits_are_the_sum_of_those_of_words_and_of_n_grams() -> None:
    net, inputs = network(gain=2.0).eval(), batch()
    deep = RelationCnn.logits(net, inputs)
    torch.testing.assert_close(net(inputs), deep)  # n-grams begin with nothing
    with torch.no_grad():
        net.table.weight.copy_(torch.arange(24.0).reshape(8, 3))
    wide = torch.stack([net.table.weight[[1, 3]].sum(0), torch.zeros(3)])
    wide[1] = 2 * (0.25 * net.table.weight[2] + 0.5 * net.table.weight[3] + net.table.weight[7])
    torch.testing.assert_close(net(inputs) - deep, wide)
    twice = network(gain=2.0, stages=2).eval()
    twice.load_state_dict(net.state_dict())
    torch.testing.assert_close(twice(inputs), in_stages(net(inputs)))


def test_n_grams_are_left_out_in_training_alone() -> None:
    net, inputs = network(dropout=0, unknown=0, wide_dropout=0.5), batch()
    with torch.no_grad():
        net.table.weight.fill_(1)
    assert len({net(inputs)[0, 0].item() for _ in range(9)}) > 2
    torch.testing.assert_close(net.eval()(inputs), net(inputs))
