"""Where beats of a recording lie, by annotations or found, and what is cut out around them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from medray.errors import DataError
from medray.formats.signal.context import chosen, median_beat
from medray.formats.signal.leads import Leads, Stretch
from medray.formats.signal.r_peaks import LOWEST_RATE, r_peaks
from medray.storage.shards.stored import Stored

Rhythm = list[tuple[float | None, float | None]]


@dataclass(frozen=True)
class Beat:
    """A beat where it lies.

    Args:
        number: of its annotation in the record, or of the beats that were found.
        onset_s: seconds since the start of the recording.
        sample: as the annotation has it; else of the array as recorded.
        symbol: of the annotation; "" of one that was found.
        stretch: that it lies in.
        at: its sample there, at the rate that is wanted.
    """

    number: int
    onset_s: float
    sample: int
    symbol: str
    stretch: Stretch
    at: int


def annotated(
    stored: Stored, leads: Leads, annotator: str | None, is_beat: Callable[[str], bool]
) -> tuple[list[Beat], Counter[str]]:
    """Beats by annotations, in order of time, and counts of annotations that are none.

    Args:
        stored: the recording.
        leads: of it.
        annotator: whose annotations; None: there is one that has beats.
        is_beat: whether a symbol is a beat's.

    Raises:
        DataError: several annotators have beats, and none is named (code "which-annotator").
    """
    passed, found, annotators = Counter[str](), [], set()
    for number, one in enumerate(stored.row.get("annotations") or ()):
        if annotator is not None and one["annotator"] != annotator:
            passed["annotations of others"] += 1
        elif not is_beat(one["symbol"]):
            passed["annotations that are no beats"] += 1
        elif (place := leads.place(one["onset_s"])) is None:
            passed["beats in a gap or outside"] += 1
        else:
            annotators.add(one["annotator"])
            stretch, at, recorded = place
            own = recorded if one["sample"] is None else one["sample"]
            found.append(Beat(number, one["onset_s"], own, one["symbol"], stretch, at))
    if len(annotators) > 1:
        raise DataError(
            "several annotators have beats", code="which-annotator", hint="name `annotator`"
        )
    return sorted(found, key=lambda beat: (beat.onset_s, beat.number)), passed


def detected(stored: Stored, leads: Leads) -> list[Beat]:
    """Beats that are found in these leads, as recorded where they are of one rate.

    Raises:
        DataError: see medray.formats.signal.r_peaks.
    """
    rates = {one.rate for one in leads.channels}
    fine = len(rates) == 1 and leads.recorded_rate >= LOWEST_RATE
    seen = Leads(stored, leads.channels) if fine else leads
    found: list[Beat] = []
    for stretch in seen.stretches:

        def read(start: int, stop: int, stretch: Stretch = stretch) -> np.ndarray:
            return seen.fresh(stretch, start, stop)

        for peak in r_peaks(read, stretch.size, seen.rate).tolist() if stretch.size else ():
            onset_s = stretch.onset_s + peak / seen.rate
            place = leads.place(onset_s)
            if place is not None:
                own, at, recorded = place
                found.append(Beat(len(found), onset_s, recorded, "", own, at))
    return found


def rhythm_of(beats: Sequence[Beat]) -> Rhythm:
    """Seconds from the beat before and to the next one; None: there is none, or a gap between."""
    steps: list[float | None] = [
        later.onset_s - one.onset_s if later.stretch == one.stretch else None
        for one, later in pairwise(beats)
    ]
    return list(zip([None, *steps], [*steps, None], strict=True))


def cut(leads: Leads, stretch: Stretch, start: int, stop: int) -> np.ndarray:
    """Digital values from one place of a stretch to another, float64 (lead, time).

    Beyond its ends the last value goes on.
    """
    low, high = max(start, 0), min(stop, stretch.size)
    values = leads.read(stretch, low, high)
    if (low, high) != (start, stop):
        values = np.pad(values, ((0, 0), (low - start, stop - high)), mode="edge")
    return values


def median_of(leads: Leads, beats: Sequence[Beat], before: int, after: int) -> np.ndarray:
    """The median of beats, whatever their class, in physical units, float32 (lead, time).

    Args:
        leads: of the recording.
        beats: of it, at least one.
        before: samples before a beat's place.
        after: samples from it on.
    """
    picked = chosen(len(beats), len(leads.channels) * (before + after))
    several = [beats[at] for at in picked.tolist()]
    made = [cut(leads, one.stretch, one.at - before, one.at + after) for one in several]
    return leads.physical(median_beat(np.stack(made)))
