"""Identities: what came before."""

import random

import pytest

from medray.ids import Distinct


@pytest.mark.parametrize("order", ["sorted", "reversed", "random", "largest first"])
def test_distinct_tells_new_texts_from_those_that_came(order: str) -> None:
    texts = [f"case_{number:04d}" for number in range(500)] * 2
    if order == "sorted":
        texts = sorted({*texts}) + texts[:250]
    elif order == "reversed":
        texts.reverse()
    elif order == "random":
        random.Random(3).shuffle(texts)
    else:
        texts = ["z", *texts, "z"]
    distinct, seen = Distinct(), set[str]()
    for text in texts:
        assert distinct.add(text) == (text not in seen)
        seen.add(text)
