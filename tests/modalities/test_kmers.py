"""k-mers: counted as by hand, over nothing that is no base."""

from collections import Counter

import numpy as np
import pytest

from medray.formats.genomics.alphabet import PAD, decode
from medray.modalities.sequence.kmers import PLACES, kmer_design


@pytest.mark.parametrize("length", [1, 3, 60, PLACES + 5])
def test_counts_and_places(length: int) -> None:
    tokens = np.random.default_rng(0).integers(0, 6, (7, length)).astype(np.uint8)
    got = kmer_design(tokens)
    places = 4 * length if length <= PLACES else 0
    assert got.shape == (7, places + 4 + 16 + 64 + 256)
    if places:
        np.testing.assert_array_equal(
            got[:, :places].reshape(7, length, 4).argmax(2)[tokens < 4], tokens[tokens < 4]
        )
        assert got[:, :places].sum() == (tokens < 4).sum()
    names = ["A", "C", "G", "T"]
    at = places
    for k in range(1, 5):
        every = [
            "".join(names[(code >> 2 * (k - 1 - p)) & 3] for p in range(k)) for code in range(4**k)
        ]
        for row, line in zip(got, tokens, strict=True):
            text = "".join("." if code >= 4 else names[code] for code in line)
            found = Counter(text[p : p + k] for p in range(length - k + 1))
            assert row[at : at + 4**k].tolist() == [found[name] for name in every]
        at += 4**k


def test_bases_are_the_first_codes() -> None:
    assert decode(np.arange(4, dtype=np.uint8)) == "ACGT"
    assert PAD > 3
