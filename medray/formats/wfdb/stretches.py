"""Stretches of a recording as WFDB tells them, which knows no durations: each change is a note.

A rhythm lasts until the next one, so where a stretch of one ends and no other begins, a rhythm that
holds otherwise is noted. What is no rhythm is noted where it begins, "(text", and ends, "text)".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from medray.formats.signal.rhythms import RHYTHM
from medray.formats.wfdb.annotations import NOTE, SYMBOLS, Note

RHYTHMS = frozenset(
    {"(AB", "(AFIB", "(AFL", "(AT", "(ASYS", "(B", "(BI", "(BII", "(HGEA", "(IVR", "(J", "(N"}
    | {"(NOD", "(NOISE", "(NSR", "(P", "(PM", "(PREX", "(SAB", "(SBR", "(SVT", "(SVTA", "(T"}
    | {"(VER", "(VF", "(VFL", "(VT"}
)
"""Texts that rhythms are told by."""


class Stretch(NamedTuple):
    """What lasts from one tick to another, which is the first behind it."""

    start: int
    stop: int
    text: str
    subtype: int = 0
    channel: int = 0
    number: int = 0


@dataclass(frozen=True)
class Rhythms:
    """Which texts are rhythms.

    Args:
        codes: a text and its code, e.g. {"bigeminy": "(B"}; one without a code is no rhythm.
        otherwise: the rhythm where no stretch tells of one; "(N" in the MIT-BIH databases.
    """

    codes: Mapping[str, str] = field(default_factory=dict)
    otherwise: str = "(N"

    def code(self, text: str) -> str:
        """The code of a text, or nothing. A single letter needs its "(", or to be among `codes`:
        P and T are paced rhythm and trigeminy, but waves as well."""
        if text in self.codes:
            return self.codes[text]
        code = text if text.startswith("(") else f"({text}" if len(text) > 1 else ""
        return code if code in RHYTHMS else ""

    def notes(self, stretches: Sequence[Stretch], end: int | None) -> list[Note]:
        """What is noted of some stretches, in any order.

        Args:
            stretches: of one recording.
            end: its ticks; nothing is noted behind it. None: not known.
        """
        made, rhythms = list[Note](), list[tuple[int, int, str]]()
        for one in stretches:
            code = self.code(one.text)
            if code:
                rhythms.append((one.start, one.stop, code))
                continue
            told = one.subtype, one.channel, one.number
            if one.stop <= one.start:
                made.append(Note(one.start, SYMBOLS[NOTE], *told, one.text))
                continue
            made.append(Note(one.start, SYMBOLS[NOTE], *told, f"({one.text}"))
            made.append(Note(one.stop, SYMBOLS[NOTE], *told, f"{one.text})"))
        return made + self._changes(rhythms, end)

    def _changes(self, rhythms: Iterable[tuple[int, int, str]], end: int | None) -> list[Note]:
        """A note where another rhythm holds than before; of several at once the last to begin."""
        ordered = sorted((start, stop, code) for start, stop, code in rhythms if stop > start)
        if not ordered:
            return []
        made = list[Note]()
        going = list[tuple[int, int, str]]()
        places = sorted({0, *(at for start, stop, _ in ordered for at in (start, stop))})
        before, coming = "", 0
        for at in places:
            while coming < len(ordered) and ordered[coming][0] <= at:
                going.append(ordered[coming])
                coming += 1
            while going and going[-1][1] <= at:
                going.pop()
            now = going[-1][2] if going else self.otherwise
            if now != before and (end is None or at < end):
                made.append(Note(at, RHYTHM, text=now))
                before = now
        return made
