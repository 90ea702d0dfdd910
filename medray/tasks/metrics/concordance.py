"""How often predictions have two cases in the order that their truths have."""

import numpy as np

from medray.tasks.metrics.bootstrap import FloatArray


def concordance(
    predicted: FloatArray,
    actual: FloatArray,
    weights: FloatArray,
    complete: np.ndarray | None = None,
) -> FloatArray:
    """The concordance index: of all pairs of cases with unequal truths the share that is predicted
    in their order, where predictions are equal half a pair (Harrell et al. 1982; Gönen and Heller
    2005 for affinities). Shapes as in `regression.r2`.

    With `complete`, bool (cases,), a truth that is not complete is only known to be more than
    `actual`: a pair counts whose lower truth is complete, so that of a complete one and of one that
    is not and is as high, the first is the lower.

    Of two ranks of truths that differ one has a highest bit that the other lacks, and above it they
    agree. So for each bit the cases are grouped by the bits above, sorted by prediction, and those
    without it counted that lie below each with it: O(n log² n), for all resamples at once.
    """
    ranks = np.unique(actual, return_inverse=True)[1]
    if complete is not None:
        ranks = 2 * ranks + ~complete
    of_cases = np.ascontiguousarray(weights.T)
    agreeing, comparable = np.zeros((2, len(weights)))
    for bit in range(int(ranks.max(initial=0)).bit_length()):
        group = ranks >> (bit + 1)
        order = np.lexsort((predicted, group))
        group, given = group[order], predicted[order]
        upper = np.flatnonzero(ranks[order] >> bit & 1)
        drawn = of_cases[order]
        lower = np.zeros((len(order) + 1, len(weights)))
        lower[1:] = drawn
        lower[1 + upper] = 0
        if complete is not None:
            lower[1:][~complete[order]] = 0
        np.cumsum(lower, axis=0, out=lower)
        other = group[1:] != group[:-1]
        first, last = (lower[ends[upper]] for ends in _ends(other))
        below, above = (lower[ends[upper]] for ends in _ends(other | (given[1:] != given[:-1])))
        drawn = drawn[upper]
        agreeing += (drawn * ((below + above) / 2 - first)).sum(0)
        comparable += (drawn * (last - first)).sum(0)
    made = np.full(len(weights), np.nan)
    np.divide(agreeing, comparable, out=made, where=comparable > 0)
    return made


def _ends(begins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the run of each case begins and ends.

    Args:
        begins: bool (cases - 1,), whether a case is of another run than the one before.
    """
    starts = np.flatnonzero(np.r_[True, begins, True])
    run = np.cumsum(np.r_[0, begins])
    return starts[run], starts[run + 1]
