"""Split conformal prediction (Papadopoulos et al. 2002; Vovk et al. 2005): what an answer may still
be, by how far off the validation's answers were.

Where new cases are like those of the validation (exchangeable), the truth is within with the level
that was asked for, whatever the network is like.
"""

import math

import numpy as np


def bound(errors: np.ndarray, level: float) -> float:
    """What the error of a new case keeps to with probability `level`, at least.

    The ceil((n + 1) level)-th smallest error; NaN where n errors are too few for that.

    Args:
        errors: of validation cases, in any order, (n,).
        level: 0 … 1.
    """
    rank = math.ceil((len(errors) + 1) * level - 1e-9)
    return float("nan") if rank > len(errors) else float(np.sort(errors)[rank - 1])


def fewest(level: float) -> int:
    """Cases below which there is no bound of a level."""
    return math.ceil(level / (1 - level) - 1e-9)


def margins(answers: np.ndarray, truth: np.ndarray, level: float) -> list[float]:
    """Half the width of intervals around each value, NaN where too few are known.

    Args:
        answers: of validation cases, (cases, values).
        truth: NaN where it is not known, (cases, values).
        level: share of new values that shall lie within.
    """
    errors = np.abs(answers - truth)
    return [bound(column[~np.isnan(column)], level) for column in errors.T]


def least(probabilities: np.ndarray, truth: np.ndarray, level: float) -> list[float]:
    """Probability from which on a class belongs to a prediction set, of each class by its own cases
    (Mondrian), so that a rare one is not missed; 0 where these are too few.

    Args:
        probabilities: of validation cases, (cases, classes).
        truth: class of each, (cases,).
        level: share of new cases of each class whose set shall hold it.
    """
    found = [
        -bound(-probabilities[truth == one, one], level) for one in range(probabilities.shape[1])
    ]
    return [0.0 if math.isnan(value) else value for value in found]
