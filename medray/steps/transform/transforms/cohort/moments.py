"""Whom something is predicted of, and when; what is asked; and why candidates are left out."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from medray.formats.events.columns import BIRTH, NEVER
from medray.formats.events.times import MICROSECONDS, duration
from medray.steps.transform.transforms.cohort.options import At, CohortOptions, Label
from medray.steps.transform.transforms.cohort.subjects import Subjects, counted, following

MOST_TIMES = 100_000  # of one stay


@dataclass(frozen=True)
class Candidates:
    """Prediction times.

    Args:
        who: number of the subject, int64 (n,).
        anchor: place of the event that each follows, int64 (n,).
        time: of the prediction, int64 (n,).
        target: whether the event came, int64 (n,); None: nothing is asked.
        out: why it is left out; empty: it is not, (n,).
    """

    who: np.ndarray
    anchor: np.ndarray
    time: np.ndarray
    target: np.ndarray | None
    out: np.ndarray


def candidates(subjects: Subjects, options: CohortOptions) -> Candidates:
    """Every candidate, by subject and time; each time of a subject once."""
    who, anchor, time = _times(subjects, options.at)
    _, first = np.unique(np.stack([who, time]), axis=1, return_index=True)
    who, anchor, time = who[first], anchor[first], time[first]
    out = np.full(len(who), "", object)
    side: Literal["left", "right"] = "right" if options.inclusive else "left"
    low, now = subjects.starts[who], subjects.before(who, time, side)
    _leave_out(out, subjects.available[anchor] > time, "not-known-yet")
    if options.at.which == "first":
        again = np.concatenate([[False], who[1:] == who[:-1]]) if len(who) else out == ""
        _leave_out(out, again, "not-the-first")
    if options.who.has:
        found = _known(subjects, options.who.has, who, time, now, inclusive=options.inclusive)
        _leave_out(out, ~found, "not-asked-for")
    youngest, oldest = options.who.age
    years = ages(subjects, who, time)
    if youngest is not None:
        _leave_out(out, ~(years >= youngest), "age")
    if oldest is not None:
        _leave_out(out, ~(years <= oldest), "age")
    if options.exclude.ever:
        found = _known(subjects, options.exclude.ever, who, time, now, inclusive=options.inclusive)
        _leave_out(out, found, "excluded")
    if options.exclude.since:
        gone = subjects.matching(options.exclude.since)
        until = subjects.before(who, time, "right")
        _leave_out(out, counted(gone, np.maximum(anchor + 1, low), until) > 0, "over-by-then")
    target = None
    if options.label is not None:
        target, censored = _labels(subjects, who, time, options.label)
        if options.label.follow_up == "required":
            _leave_out(out, censored, "censored")
    return Candidates(who, anchor, time, target, out)


def ages(subjects: Subjects, who: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Years since the birth that was known, float64 (n,); NaN where none is."""
    born = subjects.matching([BIRTH]) & (subjects.time != NEVER)
    at = following(born, subjects.starts[who], subjects.starts[who + 1])
    known = (at >= 0) & (subjects.available[at] < time) if len(born) else at >= 0
    years = np.full(len(who), np.nan)
    years[known] = (time[known] - subjects.time[at[known]]) / MICROSECONDS["year"]
    return years


def _times(subjects: Subjects, at: At) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(subject, place of the event, time) of all prediction times."""
    anchor = np.flatnonzero(subjects.matching(at.event) & (subjects.time != NEVER))
    who = np.searchsorted(subjects.starts, anchor, side="right") - 1
    time = subjects.time[anchor] + (duration(at.plus) if at.plus else 0)
    if at.every is None:
        return who, anchor, time
    step, high = duration(at.every), subjects.starts[who + 1]
    ends = following(subjects.matching(at.until), anchor + 1, high)
    last = np.where(ends >= 0, subjects.time[ends], subjects.time[high - 1] + 1)
    counts = np.clip(-(-(last - time) // max(1, step)), 0, MOST_TIMES)
    steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    who, anchor = np.repeat(who, counts), np.repeat(anchor, counts)
    return who, anchor, np.repeat(time, counts) + steps * step


def _known(
    subjects: Subjects,
    codes: tuple[str, ...],
    who: np.ndarray,
    time: np.ndarray,
    now: np.ndarray,
    *,
    inclusive: bool,
) -> np.ndarray:
    """Whether an event of some codes had happened and was known, bool (n,)."""
    wanted = subjects.matching(codes)
    found = np.zeros(len(who), bool)
    at = following(wanted, subjects.starts[who], now)
    while (left := np.flatnonzero((at >= 0) & ~found)).size:
        seen = subjects.available[at[left]]
        known = seen <= time[left] if inclusive else seen < time[left]
        found[left[known]] = True
        more = left[~known]
        at[more] = following(wanted, at[more] + 1, now[more])
    return found


def _labels(
    subjects: Subjects, who: np.ndarray, time: np.ndarray, label: Label
) -> tuple[np.ndarray, np.ndarray]:
    """Whether the event came, and who can't be told of: int64 and bool (n,)."""
    wanted = subjects.matching(label.event)
    low, high = subjects.before(who, time, "right"), subjects.starts[who + 1]
    last = subjects.time[high - 1]
    if label.within is not None:
        end = time + duration(label.within)
        followed = last >= end
    else:
        at = following(subjects.matching(label.until), low, high)
        followed, end = at >= 0, np.where(at >= 0, subjects.time[at], last)
    came = counted(wanted, low, subjects.before(who, end, "right")) > 0
    return came.astype(np.int64), ~came & ~followed


def _leave_out(out: np.ndarray, bad: np.ndarray, why: str) -> None:
    out[bad & (out == "")] = why
