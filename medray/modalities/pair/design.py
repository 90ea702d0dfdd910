"""What the additive model takes of pairs: which compound it is, and which protein."""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from medray.formats.pairs.options import SEQUENCE_ID
from medray.modalities.pair.cases import CANONICAL
from medray.storage.catalog.datasets import Dataset

HALF = 2**24  # whole numbers up to it are exact in float32


def design(dataset: Dataset, indices: Sequence[int]) -> np.ndarray:
    """Names of compounds and of sequences as numbers of 48 bits, the same in every dataset.

    Returns:
        float32 (samples, 4): two halves of the compound's, two of the protein's.
    """
    made = []
    for name in (CANONICAL, SEQUENCE_ID):
        column = dataset.columns([name])[name].combine_chunks().dictionary_encode()
        halves = np.array([_halves(text) for text in column.dictionary.to_pylist()], np.float32)
        codes = column.indices.to_numpy(zero_copy_only=False)
        made.append(halves[codes[list(indices)]])
    columns: np.ndarray = np.concatenate(made, axis=1)
    return columns


def _halves(text: str) -> tuple[int, int]:
    number = int.from_bytes(sha256(text.encode()).digest()[:6], "big")
    return divmod(number, HALF)
