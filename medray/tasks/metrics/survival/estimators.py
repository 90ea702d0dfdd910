"""What times and events say by themselves: Kaplan-Meier, Aalen-Johansen, and who is still watched.

Events come before censorings at the same time. Intervals are of Greenwood's variance (1926) on the
log-log scale (Kalbfleisch & Prentice 2002, ch. 1.4), so they stay within 0 and 1; there is none
where fewer than LEAST_SUBJECTS are at risk.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from medray.tasks.metrics.bootstrap import LEAST_SUBJECTS, FloatArray


@dataclass(frozen=True)
class Curve:
    """A curve of steps, which holds from each of its times on; before the first nothing happened.

    Args:
        times: (steps,), rising.
        values: (steps,): survival, or incidence.
        low: (steps,), NaN where there is no interval.
        high: (steps,), likewise.
        at_risk: (steps,), watched up to just before the time.
    """

    times: FloatArray
    values: FloatArray
    low: FloatArray
    high: FloatArray
    at_risk: FloatArray

    def at(self, times: FloatArray, before: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Value and interval at times; `before` is the value before the first step."""
        place = np.searchsorted(self.times, times, side="right")
        first = np.full(1, before)
        return (
            np.concatenate([first, self.values])[place],
            np.concatenate([first, self.low])[place],
            np.concatenate([first, self.high])[place],
        )


def kaplan_meier(time: FloatArray, event: np.ndarray, *, level: float = 0.95) -> Curve:
    """Survival (Kaplan & Meier 1958) of one group.

    Args:
        time: (cases,), of the event or of the end of watching.
        event: (cases,), 0 where it was not seen.
        level: of the intervals.
    """
    times, at_risk, events = _counts(time, event != 0)
    share = np.divide(events, at_risk)
    survival = np.cumprod(1 - share)
    left = at_risk - events
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(np.cumsum(np.where(events > 0, events / (at_risk * left), 0.0)))
        low, high = _log_log(survival, spread / np.log(survival), level)
    sure = (survival > 0) & (survival < 1)
    return Curve(times, survival, *_told(low, high, sure, at_risk), at_risk)


def aalen_johansen(
    time: FloatArray, event: np.ndarray, cause: int, *, level: float = 0.95
) -> Curve:
    """Cumulative incidence of a cause among others (Aalen & Johansen 1978).

    The variance is by the delta method (Choudhury 2002); without other causes it is Greenwood's.

    Args:
        time: as of `kaplan_meier`.
        event: (cases,), the number of the cause from 1, 0 where none was seen.
        cause: whose incidence.
        level: of the intervals.
    """
    times, at_risk, events = _counts(time, event != 0)
    own = _counts(time, event == cause)[2]
    before = np.concatenate([[1.0], np.cumprod(1 - events / at_risk)[:-1]])
    steps = before * own / at_risk
    incidence = np.cumsum(steps)
    left = at_risk - events
    with np.errstate(divide="ignore", invalid="ignore"):
        # Where the last ones at risk all have an event, nothing comes later that it would add to.
        a = np.where((events > 0) & (left > 0), events / (at_risk * left), 0.0)
        b = before**2 * own * (at_risk - own) / at_risk**3
        c = before * own / at_risk**2
        square = (
            incidence**2 * np.cumsum(a)
            - 2 * incidence * np.cumsum(a * incidence)
            + np.cumsum(a * incidence**2)
            + np.cumsum(b)
            - 2 * (incidence * np.cumsum(c) - np.cumsum(c * incidence))
        )
        spread = np.sqrt(np.maximum(square, 0))
        scaled = spread / (incidence * np.log(incidence))
        low, high = _log_log(incidence, scaled, level)
    sure = (incidence > 0) & (incidence < 1)
    return Curve(times, incidence, *_told(low, high, sure, at_risk), at_risk)


def still_watched(time: FloatArray, event: np.ndarray, weights: FloatArray) -> "Watched":
    """How likely a case is to be still watched: Kaplan-Meier of censoring, of each resample.

    Args:
        time: as of `kaplan_meier`.
        event: (cases,), 0 where none was seen.
        weights: (repeats, cases).
    """
    order = np.argsort(time, kind="stable")
    times, first = np.unique(time[order], return_index=True)
    drawn = weights[:, order]
    censored = drawn * (event[order] == 0)
    at_risk = np.cumsum(drawn[:, ::-1], axis=1)[:, ::-1][:, first]
    ended = np.add.reduceat(drawn, first, axis=1)
    lost = np.add.reduceat(censored, first, axis=1)
    # Events at the same time came before, so those cases were not at risk of being lost.
    left = at_risk - (ended - lost)
    share = np.divide(lost, left, out=np.zeros_like(lost), where=left > 0)
    return Watched(times, np.cumprod(1 - share, axis=1))


@dataclass(frozen=True)
class Watched:
    """The share that is still watched.

    Args:
        times: (steps,), rising.
        values: (repeats, steps), from each time on.
    """

    times: FloatArray
    values: FloatArray

    def at(self, times: FloatArray, side: str = "right") -> FloatArray:
        """(repeats, times); with side "left" just before them."""
        place = np.searchsorted(self.times, times, side=side)  # type: ignore[call-overload]
        whole = np.concatenate([np.ones((len(self.values), 1)), self.values], axis=1)
        found: FloatArray = whole[:, place]
        return found


def _counts(time: FloatArray, event: np.ndarray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Distinct times, how many are at risk at each, and how many events it has."""
    times, place = np.unique(time, return_inverse=True)
    events = np.bincount(place, weights=event, minlength=len(times)).astype(np.float64)
    at_risk = np.cumsum(np.bincount(place)[::-1])[::-1].astype(np.float64)
    return times, at_risk, events


def _log_log(values: FloatArray, scaled: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Ends of an interval that is symmetric in log(-log(value))."""
    z = norm.ppf(0.5 + level / 2)
    with np.errstate(over="ignore"):  # of a value at 1, which has no interval
        ends = [values ** np.exp(sign * z * np.abs(scaled)) for sign in (1, -1)]
    return ends[0], ends[1]


def _told(
    low: FloatArray, high: FloatArray, sure: np.ndarray, at_risk: FloatArray
) -> tuple[FloatArray, FloatArray]:
    known = sure & (at_risk >= LEAST_SUBJECTS) & np.isfinite(low) & np.isfinite(high)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)
