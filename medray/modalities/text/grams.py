"""N-grams of words and of letters, hashed and weighted by how rare they are.

Weights are (1 + log tf) · idf, idf = 1 + log((1 + n) / (1 + df)), each family of n-grams of length
1 (Salton and Buckley 1988).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from medray.modalities.text.tokens import hashed, normal, split
from medray.models.text.base import HASHES

WORDS = (1, 2)  # words of an n-gram
LETTERS = (2, 3, 4, 5)  # letters of one, a blank before and behind each word among them
COLUMNS = 4096  # that words are folded into for classical models

Family = tuple[np.ndarray, np.ndarray]
"""Hashes, rising, and how often each comes."""


def families(text: str, opening: int | None = None) -> list[Family]:
    """N-grams of words, those of letters, and those of the first words apart.

    Args:
        text: of any length.
        opening: words that it begins with; None: none count apart.
    """
    tokens = [normal(one.text) for one in split(text)]
    made = [_counts(_of_words(tokens)), _counts(_of_letters(tokens))]
    if opening is not None:
        made.append(_counts(f"o{gram}" for gram in _of_words(tokens[:opening])))
    return made


def rarity(texts: Iterable[Sequence[Family]]) -> np.ndarray:
    """The idf of each hash, float32 (HASHES,)."""
    counts, total = np.zeros(HASHES), 0
    for several in texts:
        total += 1
        counts[np.unique(np.concatenate([hashes for hashes, _ in several]))] += 1
    made: np.ndarray = (1 + np.log((1 + total) / (1 + counts))).astype(np.float32)
    return made


def weighted(several: Sequence[Family], rare: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hashes int32 of all families, one behind the other, and their weights float32."""
    weights = [_one(hashes, counts, rare) for hashes, counts in several]
    return np.concatenate([hashes for hashes, _ in several]), np.concatenate(weights)


def design(texts: Iterable[str], rare: np.ndarray) -> np.ndarray:
    """Single words of texts, float32 (texts, COLUMNS)."""
    rows = []
    for text in texts:
        hashes, counts = _counts(f"1 {normal(one.text)}" for one in split(text))
        row = np.zeros(COLUMNS, np.float32)
        np.add.at(row, hashes % COLUMNS, _one(hashes, counts, rare))
        rows.append(row)
    return np.stack(rows)


def _one(hashes: np.ndarray, counts: np.ndarray, rare: np.ndarray) -> np.ndarray:
    weights = (1 + np.log(counts)) * rare[hashes]
    made: np.ndarray = (weights / max(1e-12, np.linalg.norm(weights))).astype(np.float32)
    return made


def _counts(names: Iterable[str]) -> Family:
    found = Counter(names)
    hashes, places = np.unique(hashed(found), return_inverse=True)
    return hashes, np.bincount(places, [*found.values()], len(hashes))


def _of_words(tokens: Sequence[str]) -> Iterator[str]:
    for many in WORDS:
        for at in range(len(tokens) - many + 1):
            yield f"{many} {' '.join(tokens[at : at + many])}"


def _of_letters(tokens: Sequence[str]) -> Iterator[str]:
    for token in tokens:
        spaced = f" {token} "
        for many in LETTERS:
            for at in range(max(1, len(spaced) - many + 1)):
                yield f"c{spaced[at : at + many]}"
