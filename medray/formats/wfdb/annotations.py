"""Annotation files in the MIT format: words of 16 bits, a code above an interval.

A file is taken apart into `Note`s and put together again. What a file says of itself by notes at
its start, its time resolution and symbols of its own, is no `Note` but part of `Notes`.
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from medray.errors import DataError

_SIGNS = ' NLRaVFJASEj/Q~\0|\0sT*D"=pB^t+u?![]en@xf()r'
SYMBOLS = {code: sign for code, sign in enumerate(_SIGNS) if sign != "\0"}
NOTE, LAST = 22, 49  # the code of a comment, and the greatest of an annotation
SKIP, NUMBER, SUBTYPE, CHANNEL, TEXT = 59, 60, 61, 62, 63
MAX_NOTES = 2**20
MAX_BYTES = 2**24
MAX_TICK = 2**53
_INTERVAL, _LONG = 2**10, 2**31 - 1
_RESOLUTION = re.compile(r"## time resolution: (\d+\.?\d*(?:[eE][-+]?\d+)?)")
_BEGIN, _END = "## annotation type definitions", "## end of definitions"
_DEFINED = re.compile(r"(\d{1,2}) (\S{1,32})(?: .*)?")
_BRACED = re.compile(r"\[(\d{1,2})\]")


class Note(NamedTuple):
    """One annotation.

    Args:
        tick: when, in ticks of the file's resolution since the start of the record.
        symbol: e.g. "N"; of a code without one the code in brackets, e.g. "[42]".
        subtype: -128 to 127, as `number` is.
        channel: 0 to 255.
        number: of its annotator.
        text: the auxiliary text, without a NUL at its end.
    """

    tick: int
    symbol: str
    subtype: int = 0
    channel: int = 0
    number: int = 0
    text: str = ""


@dataclass(frozen=True)
class Notes:
    """An annotation file.

    Args:
        notes: in the order of the file.
        resolution: ticks a second; None: as many as the record has frames.
        definitions: lines of symbols of its own, e.g. "42 X Crackle".
        terminated: texts end in a NUL, as C programs write them.
    """

    notes: tuple[Note, ...] = ()
    resolution: float | None = None
    definitions: tuple[str, ...] = ()
    terminated: bool = False

    @property
    def symbols(self) -> dict[int, str]:
        """By code, with those of the file's own."""
        found = (_DEFINED.fullmatch(line) for line in self.definitions)
        return SYMBOLS | {int(one[1]): one[2] for one in found if one}


@dataclass
class _Raw:
    tick: int
    code: int
    subtype: int = 0
    channel: int = 0
    number: int = 0
    text: bytes = b""


def decode(data: bytes) -> Notes:
    """A file's annotations.

    Raises:
        DataError: it is no such file, or breaks off (code "bad-annotations").
    """
    found = _taken(data)
    texts = [one.text for one in found if one.text]
    terminated = bool(texts) and all(text.endswith(b"\0") for text in texts)
    resolution, definitions, behind = _told(found)
    notes = Notes((), resolution, definitions, terminated)
    symbols = notes.symbols
    made = tuple(
        Note(
            one.tick,
            symbols.get(one.code) or f"[{one.code}]",
            one.subtype,
            one.channel,
            one.number,
            _text(one.text),
        )
        for one in found[behind:]
    )
    return Notes(made, resolution, definitions, terminated)


def _told(found: Sequence[_Raw]) -> tuple[float | None, tuple[str, ...], int]:
    """Resolution and definitions that a file begins with, and how many annotations say so."""
    resolution: float | None = None
    definitions = list[str]()
    behind, defining = 0, False
    for number, one in enumerate(found):
        text = _text(one.text)
        told = _RESOLUTION.fullmatch(text)
        if one.tick or one.code != NOTE:
            break
        if told is not None and float(told[1]) > 0:
            resolution = float(told[1])
        elif text == _BEGIN or (defining and text == _END):
            defining = text == _BEGIN
        elif defining and _DEFINED.fullmatch(text):
            definitions.append(text)
        else:
            break
        behind = number + 1
    # Definitions that never end are comments, as others are.
    return (None, (), 0) if defining else (resolution, tuple(definitions), behind)


def encode(notes: Notes) -> bytes:
    """The file of some annotations, which are put in the order of their times.

    Raises:
        DataError: an annotation cannot stand in such a file (code "unwritable-annotation").
    """
    codes = {symbol: code for code, symbol in notes.symbols.items()}
    lines = []
    if notes.resolution is not None:
        lines.append(f"## time resolution: {notes.resolution:.15g}")
    if notes.definitions:
        lines += [_BEGIN, *notes.definitions, _END]
    head = [Note(0, SYMBOLS[NOTE], text=line) for line in lines]
    words = bytearray()
    before = channel = number = 0
    for one in (*head, *sorted(notes.notes, key=lambda note: note.tick)):
        code = codes.get(one.symbol, -1)
        if code < 0 and (braced := _BRACED.fullmatch(one.symbol)) and int(braced[1]) <= LAST:
            code = int(braced[1])
        step = one.tick - before
        text = one.text.encode() + b"\0" * (notes.terminated and bool(one.text))
        fits = -128 <= one.subtype < 128 and -128 <= one.number < 128 and 0 <= one.channel < 256
        if code < 0 or not fits or len(text) >= _INTERVAL or not 0 <= step + before < MAX_TICK:
            raise _unwritable("a symbol, a number or a text is none that the format has")
        while step >= _INTERVAL:
            far = min(step, _LONG)
            words += struct.pack("<3H", SKIP << 10, far >> 16, far & 0xFFFF)
            step -= far
        if code == step == 0:
            raise _unwritable("no annotation without a code stands where another one does")
        words += struct.pack("<H", code << 10 | step)
        if one.subtype:
            words += struct.pack("<H", SUBTYPE << 10 | one.subtype & 1023)
        if one.channel != channel:
            words += struct.pack("<H", CHANNEL << 10 | one.channel)
        if one.number != number:
            words += struct.pack("<H", NUMBER << 10 | one.number & 1023)
        if text:
            words += struct.pack("<H", TEXT << 10 | len(text)) + text + b"\0" * (len(text) % 2)
        before, channel, number = one.tick, one.channel, one.number
    return bytes(words) + b"\0\0"


def _taken(data: bytes) -> list[_Raw]:
    """Annotations as they stand in the file."""
    if len(data) % 2 or len(data) > MAX_BYTES:
        raise _bad("it has a length that no such file has")
    words: list[int] = np.frombuffer(data, "<u2").tolist()
    found: list[_Raw] = []
    tick = channel = number = at = 0
    end = len(words)
    while at < end:
        code, low = words[at] >> 10, words[at] & 1023
        at += 1
        if code == 0 and low == 0:
            if any(words[at:]):
                raise _bad("it goes on behind its end")
            return found
        if code <= LAST:
            tick += low
            if not 0 <= tick < MAX_TICK or len(found) == MAX_NOTES:
                raise _bad("an annotation lies beyond every record, or there are too many")
            found.append(_Raw(tick, code, 0, channel, number))
        elif code == SKIP and at + 2 <= end:
            far = words[at] << 16 | words[at + 1]
            tick += far - 2**32 if far >= 2**31 else far
            at += 2
        elif code <= SKIP or not found:
            raise _bad("it has a code that does not exist")
        elif code == SUBTYPE:
            found[-1].subtype = _signed(low)
        elif code == CHANNEL:
            found[-1].channel = channel = low & 255
        elif code == NUMBER:
            found[-1].number = number = _signed(low)
        else:
            found[-1].text = data[2 * at : 2 * at + low]
            at += (low + 1) // 2
    raise _bad("it breaks off before its end")


def _signed(low: int) -> int:
    return (low & 255) - 256 * (low >> 7 & 1)


def _text(data: bytes) -> str:
    """In UTF-8, else in Latin-1, as headers are."""
    data = data.rstrip(b"\0")
    if not data:
        return ""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _bad(why: str) -> DataError:
    reason = f"an annotation file cannot be read: {why}"
    hint = "get it anew, or leave it out by `annotators`"
    return DataError(reason, code="bad-annotations", hint=hint)


def _unwritable(why: str) -> DataError:
    return DataError(why, code="unwritable-annotation")
