"""How far predicted incidences are from what happened, where some were not watched to the end."""

import numpy as np

from medray.tasks.metrics.bootstrap import FloatArray
from medray.tasks.metrics.survival.estimators import still_watched


def brier(
    incidence: FloatArray,
    time: FloatArray,
    event: np.ndarray,
    cause: int,
    times: FloatArray,
    weights: FloatArray,
) -> FloatArray:
    """Brier score at times, (repeats, times), each case weighted by how likely it was to be still
    watched (Graf et al. 1999; Gerds & Schumacher 2006 of several causes).

    How likely that is, is the Kaplan-Meier estimate of censoring among the same cases, of each
    resample anew. NaN at times when nobody could be watched.

    Args:
        incidence: (cases, times), predicted, of the cause.
        time: (cases,), of the event or of the end of watching.
        event: (cases,), the number of the cause from 1, 0 where none was seen.
        cause: that is judged.
        times: (times,).
        weights: (repeats, cases).
    """
    order = np.argsort(time, kind="stable")
    time, event, weights = time[order], event[order], weights[:, order]
    watched = still_watched(time, event, weights)
    at_event, at_times = watched.at(time, side="left"), watched.at(times)
    early = np.divide(weights, at_event, out=np.zeros_like(weights), where=at_event > 0)
    early *= event != 0
    total, own = weights.sum(1), event == cause
    made = np.full((len(weights), len(times)), np.nan)
    for at, over in enumerate(np.searchsorted(time, times, side="right").tolist()):
        given = incidence[order, at]
        before = early[:, :over] @ (own[:over] - given[:over]) ** 2
        later = weights[:, over:] @ given[over:] ** 2
        known = at_times[:, at] > 0
        np.divide(later, at_times[:, at], out=later, where=known)
        np.divide(before + later, total, out=made[:, at], where=known | (later == 0))
    return made


def integrated(scores: FloatArray, times: FloatArray) -> FloatArray:
    """The mean of scores over time from 0, where the score is 0, to the last of `times`: by
    trapezoids, (repeats,).

    Args:
        scores: (repeats, times).
        times: (times,), rising, above 0.
    """
    begins = np.concatenate([np.zeros((len(scores), 1)), scores], axis=1)
    mean: FloatArray = np.trapezoid(begins, np.concatenate([[0.0], times]), axis=1) / times[-1]
    return mean
