"""Annotation files in the MIT format: words of 16 bits, a code above an interval.

A file is taken apart by columns (`Taken`), or into `Note`s (`Notes`), of which it is put together
again. What a file says of itself by notes at its start, its time resolution and symbols of its own,
is no note but told beside them.
"""

import re
import struct
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

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
_AHA = 16, b"NVFREPQUO[]"  # bytes of an annotation in the AHA form, and its codes
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


Words = npt.NDArray[Any]


@dataclass(frozen=True)
class Taken:
    """An annotation file by columns, each (annotations,) in the order of the file.

    Args:
        ticks: int64, see Note.
        codes: which symbols stand for, see `Notes.symbols`.
        subtypes: as of Note, as `channels` and `numbers` are.
        texts: by the position of their annotation; all others have none.
        about: the file without its annotations.
    """

    ticks: Words
    codes: Words
    subtypes: Words
    channels: Words
    numbers: Words
    texts: dict[int, str]
    about: Notes

    @property
    def symbols(self) -> list[str]:
        """Of every code there may be; in brackets where none is known."""
        known = self.about.symbols
        return [known.get(code) or f"[{code}]" for code in range(LAST + 1)]


def decode(data: bytes) -> Notes:
    """A file's annotations, one by one; raises as `take` does."""
    taken = take(data)
    symbols = taken.symbols
    columns = (taken.ticks, taken.codes, taken.subtypes, taken.channels, taken.numbers)
    made = tuple(
        Note(tick, symbols[code], subtype, channel, number, taken.texts.get(at, ""))
        for at, (tick, code, subtype, channel, number) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    )
    return replace(taken.about, notes=made)


def take(data: bytes) -> Taken:
    """A file's annotations by columns.

    Raises:
        DataError: it is no such file, or breaks off (code "bad-annotations"); or is one in the AHA
            form ("aha-annotations").
    """
    try:
        columns, found = _columns(data)
    except DataError as error:
        raise (_aha() if _looks_aha(data) else error) from None
    terminated = bool(found) and all(text.endswith(b"\0") for text in found.values())
    texts = {at: text for at, raw in found.items() if (text := _text(raw))}
    ticks, codes = (columns[name] for name in ("ticks", "codes"))
    resolution, definitions, behind = _told(ticks, codes, texts)
    return Taken(
        **{name: column[behind:] for name, column in columns.items()},
        texts={at - behind: text for at, text in texts.items() if at >= behind},
        about=Notes((), resolution, definitions, terminated),
    )


def _told(
    ticks: Words, codes: Words, texts: dict[int, str]
) -> tuple[float | None, tuple[str, ...], int]:
    """Resolution and definitions that a file begins with, and how many annotations say so."""
    resolution: float | None = None
    definitions = list[str]()
    behind, defining = 0, False
    for at in range(len(ticks)):
        text = texts.get(at, "")
        told = _RESOLUTION.fullmatch(text)
        if ticks[at] or codes[at] != NOTE:
            break
        if told is not None and float(told[1]) > 0:
            resolution = float(told[1])
        elif text == _BEGIN or (defining and text == _END):
            defining = text == _BEGIN
        elif defining and _DEFINED.fullmatch(text):
            definitions.append(text)
        else:
            break
        behind = at + 1
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


def _columns(data: bytes) -> tuple[dict[str, Words], dict[int, bytes]]:
    """Columns of `Taken` as they stand in the file, and texts by their annotation's position."""
    if len(data) % 2 or len(data) > MAX_BYTES:
        raise bad("it has a length that no such file has")
    words = np.frombuffer(data, "<u2")
    at = _heads(words)
    codes, low = words[at] >> 10, (words[at] & 1023).astype(np.int64)
    if ((codes > LAST) & (codes < SKIP)).any():
        raise bad("it has a code that does not exist")
    own = codes <= LAST
    owner = np.cumsum(own) - 1  # of each word the annotation that it is, or that it tells more of
    if owner[codes > SKIP].min(initial=0) < 0:
        raise bad("it has a code that does not exist")
    steps = np.where(own, low, 0)
    skips = at[codes == SKIP]
    steps[codes == SKIP] = (words[skips + 1].astype(np.int32) << 16) | words[skips + 2]
    ticks = np.cumsum(steps)[own]
    if len(ticks) > MAX_NOTES or (ticks < 0).any() or (ticks >= MAX_TICK).any():
        raise bad("an annotation lies beyond every record, or there are too many")
    signed = (low & 255) - 256 * (low >> 7 & 1)
    subtypes = np.zeros(len(ticks), np.int64)
    subtypes[owner[codes == SUBTYPE]] = signed[codes == SUBTYPE]  # of several the last
    made = {"ticks": ticks, "codes": codes[own], "subtypes": subtypes}
    for name, code, values in (("channels", CHANNEL, low & 255), ("numbers", NUMBER, signed)):
        made[name] = _kept(len(ticks), owner[codes == code], values[codes == code])
    texts = {
        int(owner[n]): data[(start := 2 * int(at[n]) + 2) : start + int(low[n])]
        for n in np.flatnonzero(codes == TEXT).tolist()
    }
    return made, {number: text for number, text in texts.items() if text}


def _heads(words: Words) -> Words:
    """Where words lie that are no part of a text and of no far step, up to the end of the file."""
    inside = np.zeros(len(words), bool)
    codes, free = words >> 10, 0
    for at in np.flatnonzero((codes == SKIP) | (codes == TEXT)).tolist():
        if at >= free:  # else it is itself part of a text
            free = at + 3 if codes[at] == SKIP else at + 1 + (int(words[at] & 1023) + 1) // 2
            inside[at + 1 : free] = True
    ends = np.flatnonzero(~inside & (words == 0))
    if not len(ends):
        raise bad("it breaks off before its end")
    if words[ends[0] :].any():
        raise bad("it goes on behind its end")
    return np.flatnonzero(~inside[: ends[0]])


def _kept(count: int, owners: Words, values: Words) -> Words:
    """What holds from the annotation on that says it, until another does; 0 before."""
    told = np.full(count, -1, np.int64)
    told[owners] = np.arange(len(owners))  # of several the last
    latest = np.maximum.accumulate(told)
    return np.where(latest < 0, 0, values[latest] if len(values) else 0)


def _looks_aha(data: bytes) -> bool:
    """Whether a file that is none of the MIT format is one in the AHA form: 16 bytes an annotation,
    the second of which is a letter (annot(5) of the WFDB Applications Guide)."""
    size, letters = _AHA
    return len(data) >= size and not len(data) % size and not data[1::size].strip(letters)


def _aha() -> DataError:
    return DataError(
        "an annotation file is in the AHA form, which does not say what its times count",
        code="aha-annotations",
        hint="bring it to the MIT format, as `a2m` of the WFDB tools does, or leave it out by "
        "`annotators`",
    )


def _text(data: bytes) -> str:
    """In UTF-8, else in Latin-1, as headers are."""
    data = data.rstrip(b"\0")
    if not data:
        return ""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def bad(why: str) -> DataError:
    """The error for a file that cannot be read."""
    reason = f"an annotation file cannot be read: {why}"
    hint = "get it anew, or leave it out by `annotators`"
    return DataError(reason, code="bad-annotations", hint=hint)


def _unwritable(why: str) -> DataError:
    return DataError(why, code="unwritable-annotation")
