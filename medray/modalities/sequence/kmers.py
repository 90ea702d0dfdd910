"""Sequences as a linear model takes them: which base stands where, and how often k-mers occur."""

import numpy as np

K = 4  # the longest k-mers that are counted: 340 columns together with the shorter ones
PLACES = 400  # bases up to which a column each says what stands there; longer ones are not aligned
ROWS = 1024  # sequences at a time


def kmer_design(tokens: np.ndarray, longest: int = K) -> np.ndarray:
    """One-hot bases, where sequences are short, then counts of all k-mers, k = 1 … longest.

    Args:
        tokens: uint8 (samples, length) as `formats.genomics.alphabet` has them; N and PAD
            are no base, and no k-mer goes over one.
        longest: k-mers that are counted, at most.

    Returns:
        float32 (samples, 4 · length + 4 + 16 + …), without the first part beyond 400 bases.
    """
    samples, length = tokens.shape
    places = length if length <= PLACES else 0
    width = 4 * places + sum(4**k for k in range(1, longest + 1))
    made = np.zeros((samples, width), np.float32)
    for start in range(0, samples, ROWS):
        some = tokens[start : start + ROWS]
        out = made[start : start + ROWS]
        if places:
            hot = some[:, :, None] == np.arange(4, dtype=np.uint8)
            out[:, : 4 * places] = hot.reshape(len(some), -1)
        at = 4 * places
        code = np.zeros(some.shape, np.int64)
        known = np.ones(some.shape, bool)
        for k in range(1, longest + 1):
            if k > length:
                break
            tail = some[:, k - 1 :]
            code = code[:, : length - k + 1] * 4 + np.minimum(tail, 3)
            known = known[:, : length - k + 1] & (tail < 4)
            flat = np.arange(len(some))[:, None] * 4**k + code
            counts = np.bincount(flat[known], minlength=len(some) * 4**k)
            out[:, at : at + 4**k] = counts.reshape(len(some), -1)
            at += 4**k
    return made
