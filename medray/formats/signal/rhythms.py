"""Stretches that annotations of a recording tell of: those with a duration, rhythms, beats."""

from collections.abc import Mapping, Sequence
from typing import Any

from medray.formats.signal.aami import aami

Stretches = list[tuple[float, float, str]]
RHYTHM = "+"  # symbol of WFDB: here another rhythm begins, which the text names, as "(AFIB"


def stretches_of(row: Mapping[str, Any]) -> Stretches:
    """What is annotated over stretches of a recording: (onset_s, end_s, name), by onset.

    A rhythm of WFDB lasts until the next one begins, or the recording ends. What is annotated
    beyond its ends, as tools keep it, is none of its stretches: nobody could find it there.

    Args:
        row: of a recording, see `recording`.
    """
    found: Stretches = []
    rhythms: Sequence[Mapping[str, Any]] = sorted(
        (one for one in row["annotations"] if one["symbol"] == RHYTHM and one["text"][:1] == "("),
        key=lambda one: float(one["onset_s"]),
    )
    ends = [float(one["onset_s"]) for one in rhythms[1:]]
    ends += [float(row["duration_s"])] * bool(rhythms)
    for one, end in zip(rhythms, ends, strict=True):
        found.append((float(one["onset_s"]), end, one["text"].strip("(\0 ")))
    for one in row["annotations"]:
        if one["duration_s"]:
            onset = float(one["onset_s"])
            found.append((onset, onset + float(one["duration_s"]), one["text"]))
    seconds = float(row["duration_s"])
    inside = ((max(onset, 0.0), min(end, seconds), name) for onset, end, name in found)
    return sorted(one for one in inside if one[0] < one[1])


def events_of(row: Mapping[str, Any]) -> Stretches:
    """As `stretches_of`, and beats as stretches of no length, by their symbols.

    What names a stretch of the recording is no beat there: B is a rhythm in one, a beat in another.

    Args:
        row: of a recording.
    """
    found = stretches_of(row)
    named = {name for _, _, name in found}
    for one in row["annotations"]:
        onset = float(one["onset_s"])
        beat = not one["duration_s"] and aami(one["symbol"]) is not None
        if beat and one["symbol"] not in named and 0 <= onset < row["duration_s"]:
            found.append((onset, onset, one["symbol"]))
    return sorted(found)
