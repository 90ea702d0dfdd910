"""Stretches that annotations of a recording tell of: those with a duration, rhythms, beats."""

from collections.abc import Mapping, Sequence
from typing import Any

from medray.formats.signal.aami import aami

Stretches = list[tuple[float, float, str]]
RHYTHM = "+"  # symbol of WFDB: here another rhythm begins, which the text names, as "(AFIB"


def stretches_of(row: Mapping[str, Any]) -> Stretches:
    """What is annotated over stretches of a recording: (onset_s, end_s, name), by onset.

    A rhythm of WFDB lasts until the next one begins, or the recording ends.

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
    return sorted(found)


def events_of(row: Mapping[str, Any]) -> Stretches:
    """As `stretches_of`, and beats as stretches of no length, by their symbols.

    What names a stretch of the recording is no beat there: B is a rhythm in one, a beat in another.

    Args:
        row: of a recording.
    """
    found = stretches_of(row)
    named = {name for _, _, name in found}
    for one in row["annotations"]:
        beat = not one["duration_s"] and aami(one["symbol"]) is not None
        if beat and one["symbol"] not in named:
            found.append((float(one["onset_s"]), float(one["onset_s"]), one["symbol"]))
    return sorted(found)
