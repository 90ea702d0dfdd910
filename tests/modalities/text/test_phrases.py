"""N-grams of sentences with a pair: which there are, what each weighs, and the same hashes ever."""

from itertools import pairwise

import numpy as np
import pytest

from medray.data.order import mixed
from medray.modalities.text.phrases import phrases
from medray.models.text.base import FIRST, OTHER, SECOND, WORDS

A, B = WORDS, WORDS + 1


def grams(*rows: list[int], longest: int = 2) -> list[set[int]]:
    told = phrases([np.array(one, np.int32) for one in rows], longest)
    return [set(one.tolist()) for one in np.split(told["grams"], told["starts"][1:])]


def one(word: int, part: int) -> int:
    return int(mixed(np.array([4 * word + part], np.uint64))[0])


def two(first: int, second: int) -> int:
    both = (3 * first + second) % 2**64
    return int(mixed(np.array([both], np.uint64))[0])


def test_n_grams_are_told_apart_by_where_their_words_stand() -> None:
    before, first, between = one(A, 0), one(FIRST, 1), one(A, 1)
    second, behind = one(SECOND, 2), one(A, 2)
    single = [before, first, between, second, behind]
    pairs = [two(*pair) for pair in pairwise(single)]
    told = phrases([np.array([A, FIRST, A, SECOND, A], np.int32)], 2)
    assert sorted(told["grams"].tolist()) == sorted(one >> 33 for one in [*single, *pairs])
    np.testing.assert_allclose(told["weights"], 1 / 3)  # of nine
    assert told["starts"].tolist() == [0]
    assert told["grams"].dtype == np.int32
    longer = phrases([np.array([A, FIRST, A, SECOND, A], np.int32)], 3)
    assert len(longer["grams"]) == 12


def test_rows_are_read_each_alone() -> None:
    rows = [[A, FIRST, B, SECOND], [FIRST], [FIRST, OTHER, OTHER, OTHER, SECOND, A, B]]
    for longest in (1, 2, 4):
        together = grams(*rows, longest=longest)
        assert together == [grams(row, longest=longest)[0] for row in rows]
    told = phrases([np.array(row, np.int32) for row in rows], 4)
    ends = [*told["starts"][1:], len(told["grams"])]
    for start, end in zip(told["starts"], ends, strict=True):
        assert (told["weights"][start:end] ** 2).sum() == pytest.approx(1)
    # Each once, though OTHER follows on OTHER twice: 4 + 1 + 2 words, 3 + 3 pairs, ...
    assert [len(one) for one in grams(*rows)] == [7, 1, 10]


def test_hashes_are_the_same_on_every_machine() -> None:
    told = phrases([np.array([A, FIRST, B, SECOND], np.int32)], 2)
    assert told["grams"].tolist() == [
        104907674, 527613000, 1192213162, 1812809365, 1819719177, 1857945834, 2145436336,
    ]  # fmt: skip
