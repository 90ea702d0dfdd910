"""Codes of bases."""

import numpy as np
import pytest

from medray.formats.genomics.alphabet import PAD, decode, encode, reverse_complement


def test_letters_and_codes() -> None:
    assert encode("ACGTNacgtnUu").tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 3, 3]
    assert encode(b"RYSWKMBDHV-.*\xff\n").tolist() == [4] * 15
    assert encode("é").tolist() == [4]
    assert encode("").shape == (0,)
    assert encode("A").dtype == np.uint8
    assert decode(np.array([0, 1, 2, 3, 4, PAD], np.uint8)) == "ACGTN."


@pytest.mark.parametrize(("forward", "back"), [("AACGTN", "NACGTT"), ("", ""), ("G", "C")])
def test_reverse_complement(forward: str, back: str) -> None:
    assert decode(reverse_complement(encode(forward))) == back
    assert decode(reverse_complement(reverse_complement(encode(forward)))) == forward


def test_reverse_complement_of_a_batch() -> None:
    batch = np.stack([encode("AAC"), encode("TGN")])
    assert [decode(row) for row in reverse_complement(batch)] == ["GTT", "NCA"]
