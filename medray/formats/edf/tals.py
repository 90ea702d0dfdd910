"""Annotations of EDF+: lists of them with their times (TALs), read and held against the records.

The first list of a data record tells when the record begins. All others say what was noted, at an
onset from the time that the header says the file begins at, which need not be its first sample's.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from medray.errors import DataError
from medray.formats.signal.recording import Segment

MAX_ANNOTATIONS = 2**20
Encoding = Literal["utf-8", "latin-1"]
_TIME = re.compile(rb"([+-]\d{1,12}(?:[.,]\d*)?)(?:\x15(\d{1,12}(?:[.,]\d*)?)?)?", re.ASCII)
PLACES = 8  # behind the point, of times that are read by columns
MOST_DIGITS = 11  # before it, with a sign and a point: in 10 ns they fit into 64 bits
WIDEST, END = MOST_DIGITS + PLACES + 1, 0x14
Array = np.ndarray[Any, Any]


@dataclass
class Told:
    """What the annotations of a file say.

    Args:
        begins: (data record, when it begins) where that is not when the one before ends; None: it
            does not tell, and those behind it don't either until the next.
        notes: onset, duration and text of each annotation, in order.
        records: how many were taken.
    """

    begins: list[tuple[int, Decimal | None]] = field(default_factory=list)
    notes: list[tuple[Decimal, Decimal | None, str]] = field(default_factory=list)
    records: int = 0

    def take(self, fields: Sequence[Array], duration: Decimal, encoding: Encoding) -> None:
        """Take the annotations of some data records.

        Args:
            fields: what each of their signals of annotations holds, uint8 (records, bytes).
            duration: of a record, in seconds.
            encoding: of the texts.

        Raises:
            DataError: "bad-annotation", "not-utf8", "too-many-annotations".
        """
        first, count = self.records, len(fields[0])
        ticks, alone = clocks(fields[0]) if len(fields) == 1 else (None, np.zeros(count, bool))
        # Of records that tell when they begin and nothing else, those that go on from the last.
        going = np.zeros(count, bool)
        if ticks is not None and not (step := duration.scaleb(PLACES)) % 1:
            going[1:] = alone[1:] & alone[:-1] & (np.diff(ticks) == int(step))
        for at in np.flatnonzero(~going).tolist():
            if ticks is not None and alone[at]:
                begin: Decimal | None = Decimal(int(ticks[at])).scaleb(-PLACES)
            else:
                begin = self._noted([one[at].tobytes() for one in fields], encoding)
            self._begun(first + at, begin, duration)
        self.records += count

    def _begun(self, record: int, begin: Decimal | None, duration: Decimal) -> None:
        """Remember when a record begins, unless the ones before it say so already."""
        if self.begins:
            last, expected = self.begins[-1]
            if expected is not None:
                expected += duration * (record - last)
            if begin == expected:
                return
        self.begins.append((record, begin))

    def _noted(self, fields: Sequence[bytes], encoding: Encoding) -> Decimal | None:
        """Take the annotations of one record; when it begins, if it tells."""
        begin = None
        for number, data in enumerate(fields):
            for place, (onset, duration, texts) in enumerate(_lists(data)):
                if not texts[0] and place == number == 0:
                    begin, texts = onset, texts[1:]
                for text in filter(None, texts):
                    self.notes.append((onset, duration, _decoded(text, encoding)))
        if len(self.notes) > MAX_ANNOTATIONS:
            raise DataError("there are over a million annotations", code="too-many-annotations")
        return begin


def clocks(cells: Array) -> tuple[Array, Array]:
    """When records begin that tell that and nothing else, by columns: most do, and letter by letter
    of each they would take most of the time of reading a file.

    Args:
        cells: the annotations of each record, uint8 (records, bytes).

    Returns:
        int64 (records,), in 10 ns; and of which records it is true, the others tell more, or so
        many digits that one by one they are exact.
    """
    head = cells[:, :WIDEST]
    stops = (head == END).argmax(1)
    # Nothing but a time and two ends, and zeros behind them.
    alone = (stops > 1) & (np.count_nonzero(cells, 1) == stops + 2)
    alone[alone] = cells[alone, np.minimum(stops[alone] + 1, cells.shape[1] - 1)] == END
    alone &= (head[:, 0] == ord("+")) | (head[:, 0] == ord("-"))
    ticks, places = np.zeros(len(cells), np.int64), np.full(len(cells), -1)
    for column in range(1, int(stops[alone].max(initial=0))):
        letter, inside = head[:, column], column < stops
        digit = (letter >= ord("0")) & (letter <= ord("9"))
        point = ((letter == ord(".")) | (letter == ord(","))) & (places < 0) & (column > 1)
        alone &= digit | point | ~inside
        ticks = np.where(digit & inside, ticks * 10 + letter - ord("0"), ticks)
        places += inside & (point | (places >= 0))
    behind = np.maximum(places, 0)
    alone &= (behind <= PLACES) & (stops - behind <= MOST_DIGITS)
    ticks *= 10 ** np.where(alone, PLACES - behind, 0)
    return np.where(head[:, 0] == ord("-"), -ticks, ticks), alone


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
    begins: Sequence[tuple[int, Decimal | None]],
    count: int,
    duration: Decimal,
    step: float,
    *,
    gaps: bool,
) -> list[Segment]:
    """The stretches without a gap; onsets count from the first.

    Args:
        begins: see Told; none: no record tells.
        count: of records.
        duration: of a record, in seconds.
        step: seconds between the samples of the fastest channel; what differs by less than half of
            it is the same time.
        gaps: whether the file says that it may have some.

    Raises:
        DataError: of a file with gaps a record does not tell when it begins ("no-times") or begins
            before the last has ended ("overlapping-records"); or records of a file without gaps
            tell of some ("times-disagree").
    """
    told = [(at, begin) for at, begin in begins if begin is not None]
    if gaps and count and len(told) < max(1, len(begins)):
        raise DataError("a data record does not tell when it begins", code="no-times")
    if len(told) < 2:
        return [Segment(0.0, float(duration * count))]
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
    edges = [0, *(told[cut][0] for cut in cuts), count]
    return [
        Segment(float(onsets[at]), float(duration * (stop - start)))
        for at, (start, stop) in zip([0, *cuts], pairwise(edges), strict=True)
    ]
