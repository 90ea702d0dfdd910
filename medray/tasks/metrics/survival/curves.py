"""Curves of incidence: between the times where they are told they are straight; at 0 they are 0."""

import numpy as np

from medray.tasks.metrics.bootstrap import FloatArray


def between(times: FloatArray, wanted: FloatArray) -> FloatArray:
    """Weights of 0 and of `times` in a curve's value at other times, (1 + times, wanted).

    Beyond the last of `times` the curve stays as it is there.

    Args:
        times: (times,), rising, above 0.
        wanted: (wanted,), not below 0.
    """
    knots = np.concatenate([[0.0], times])
    upper = np.clip(np.searchsorted(knots, wanted), 1, len(knots) - 1)
    share = (np.minimum(wanted, knots[-1]) - knots[upper - 1]) / (knots[upper] - knots[upper - 1])
    made = np.zeros((len(knots), len(wanted)))
    place = np.arange(len(wanted))
    made[upper - 1, place] = 1 - share
    made[upper, place] = share
    return made


def at_times(incidence: FloatArray, times: FloatArray, wanted: FloatArray) -> FloatArray:
    """Curves at other times, (…, wanted); see `between`.

    Args:
        incidence: (…, times).
        times: (times,).
        wanted: (wanted,).
    """
    made: FloatArray = incidence @ between(times, wanted)[1:]
    return made


def median(incidence: FloatArray, times: FloatArray) -> float | None:
    """When a curve reaches a half; None: not by the last of `times`.

    Args:
        incidence: (times,), not falling.
        times: (times,), rising, above 0.
    """
    values, knots = np.concatenate([[0.0], incidence]), np.concatenate([[0.0], times])
    upper = int(np.argmax(values >= 0.5))
    if values[upper] < 0.5:
        return None
    below = values[upper - 1]
    share = (0.5 - below) / (values[upper] - below)
    return float(knots[upper - 1] + share * (knots[upper] - knots[upper - 1]))
