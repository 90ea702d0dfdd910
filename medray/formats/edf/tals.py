"""Annotations of EDF+: lists of them with their times (TALs), read and held against the records.

The first list of a data record tells when the record begins. All others say what was noted, at an
onset from the time that the header says the file begins at, which need not be its first sample's.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Literal

import numpy as np

from medray.errors import DataError
from medray.formats.signal.recording import Segment

MAX_ANNOTATIONS = 2**20
Encoding = Literal["utf-8", "latin-1"]
_TIME = re.compile(rb"([+-]\d{1,12}(?:[.,]\d*)?)(?:\x15(\d{1,12}(?:[.,]\d*)?)?)?", re.ASCII)
_CLOCK = re.compile(rb"([+-]\d{1,12}(?:[.,]\d*)?)\x14\x14\0*", re.ASCII)


@dataclass
class Told:
    """What the annotations of a file say.

    Args:
        begins: of each data record that tells it, when it begins.
        notes: onset, duration and text of each annotation, in order.
    """

    begins: list[Decimal | None] = field(default_factory=list)
    notes: list[tuple[Decimal, Decimal | None, str]] = field(default_factory=list)

    def take(self, fields: Sequence[bytes], encoding: Encoding) -> None:
        """Take the annotations of one data record.

        Args:
            fields: what each of its signals of annotations holds.
            encoding: of the texts.

        Raises:
            DataError: "bad-annotation", "not-utf8", "too-many-annotations".
        """
        begin = None
        # Most records tell when they begin and nothing else: a fifth of the time.
        if len(fields) == 1 and (alone := _CLOCK.fullmatch(fields[0])):
            self.begins.append(_seconds(alone[1]))
            return
        for number, data in enumerate(fields):
            for place, (onset, duration, texts) in enumerate(_lists(data)):
                if not texts[0] and place == number == 0:
                    begin, texts = onset, texts[1:]
                for text in filter(None, texts):
                    self.notes.append((onset, duration, _decoded(text, encoding)))
        self.begins.append(begin)
        if len(self.notes) > MAX_ANNOTATIONS:
            raise DataError("there are over a million annotations", code="too-many-annotations")


def _lists(data: bytes) -> Iterator[tuple[Decimal, Decimal | None, list[bytes]]]:
    for one in data.rstrip(b"\0").split(b"\0"):
        if not one:
            continue
        head, *texts = one.split(b"\x14")
        time = _TIME.fullmatch(head)
        if time is None or len(texts) < 2 or texts[-1]:
            raise DataError("an annotation cannot be read", code="bad-annotation")
        yield _seconds(time[1]), _seconds(time[2]) if time[2] else None, texts[:-1]


def _seconds(text: bytes) -> Decimal:
    return Decimal(text.decode().replace(",", "."))


def _decoded(text: bytes, encoding: Encoding) -> str:
    try:
        return text.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            "the text of an annotation is no UTF-8",
            code="not-utf8",
            hint="`encoding: latin-1`, if it is that",
        ) from error


def stretches(
    begins: Sequence[Decimal | None], duration: Decimal, step: float, *, gaps: bool
) -> list[Segment]:
    """The stretches without a gap; onsets count from the first.

    Args:
        begins: of each record, when it begins; None where it does not tell.
        duration: of a record, in seconds.
        step: seconds between the samples of the fastest channel; what differs by less than half of
            it is the same time.
        gaps: whether the file says that it may have some.

    Raises:
        DataError: of a file with gaps a record does not tell when it begins ("no-times") or begins
            before the last has ended ("overlapping-records"); or records of a file without gaps
            tell of some ("times-disagree").
    """
    told = [(at, begin) for at, begin in enumerate(begins) if begin is not None]
    if gaps and len(told) < len(begins):
        raise DataError("a data record does not tell when it begins", code="no-times")
    if len(told) < 2:
        return [Segment(0.0, float(duration * len(begins)))]
    first = told[0][1] - duration * told[0][0]
    places = np.array([at for at, _ in told])
    # Exact before they are floats: times of many digits keep their differences.
    onsets = np.array([float(begin - first) for _, begin in told])
    late = np.diff(onsets) - np.diff(places) * float(duration)
    if not gaps and (np.abs(late) > max(step / 2, 1e-3)).any():
        raise DataError(
            "data records tell of gaps that the header does not know",
            code="times-disagree",
            hint="`times: header` goes by the header",
        )
    if (late < -step / 2).any():
        raise DataError(
            "a data record begins before the last has ended", code="overlapping-records"
        )
    cuts = (np.flatnonzero(late > step / 2) + 1).tolist() if gaps else []
    edges = [0, *cuts, len(begins)]
    return [
        Segment(float(onsets[start]), float(duration * (stop - start)))
        for start, stop in pairwise(edges)
    ]
