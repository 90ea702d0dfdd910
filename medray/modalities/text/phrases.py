"""N-grams of words of sentences with a pair of spans, hashed."""

from collections.abc import Sequence

import numpy as np

from medray.data.order import mixed
from medray.models.text.base import FIRST, SECOND

_OWNER, _KEPT = np.uint64(32), np.uint64(33)
_LOW = np.uint64(2**32 - 1)


def phrases(rows: Sequence[np.ndarray], longest: int) -> dict[str, np.ndarray]:
    """N-grams of 1 to `longest` words of each row, spans among them, told apart by where each of
    their words stands: before both spans, between them or behind. As models.text.base has them:
    hashes of 31 bits, which are a function of the numbers of words alone (splitmix64), of a row
    each once, and all with one weight, so that the row has length 1.

    Args:
        rows: numbers of words, int32 (words,) each, none empty.
        longest: words of an n-gram at most.
    """
    words, lengths = np.concatenate(rows).astype(np.int64), np.array([len(row) for row in rows])
    owners = np.repeat(np.arange(len(rows), dtype=np.uint64), lengths)
    spans = (words == FIRST) | (words == SECOND)
    passed = spans.cumsum()
    starts = lengths.cumsum() - lengths
    part = passed - np.repeat((passed - spans)[starts], lengths)
    one = grown = mixed((4 * words + part).astype(np.uint64))
    made, whose = [one], [owners]
    for more in range(1, longest):
        grown = mixed(grown[:-1] * np.uint64(3) + one[more:])
        within = owners[more:] == owners[:-more]
        made.append(grown[within])
        whose.append(owners[more:][within])
    keys = np.unique(np.concatenate(whose) << _OWNER | np.concatenate(made) >> _KEPT)
    counts = np.bincount((keys >> _OWNER).astype(np.int64), minlength=len(rows))
    return {
        "grams": (keys & _LOW).astype(np.int32),
        "weights": np.repeat(1 / np.sqrt(counts), counts).astype(np.float32),
        "starts": counts.cumsum() - counts,
    }
