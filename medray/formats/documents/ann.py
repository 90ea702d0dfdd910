"""Stand-off annotations as BRAT writes them: entities and relations of a text, held against it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from medray.errors import DataError
from medray.formats.documents.columns import Relation, Span, checked

MARK = "\ufeff"
OTHERS = "EAMN#*"
"""First letters of annotations that are not read: events, attributes, normalisations, notes."""


@dataclass(frozen=True)
class Annotations:
    """What is marked in a text.

    Args:
        spans: entities, in the order of the file.
        relations: between them.
        others: how many annotations of other kinds there are.
    """

    spans: list[Span]
    relations: list[Relation]
    others: int


def read(annotations: str, text: str) -> Annotations:
    """The entities and relations of a text.

    Args:
        annotations: content of an .ann file.
        text: that it is of, with its line ends as they are: BRAT counts each character.

    Raises:
        DataError: a line is none ("bad-annotation"), two have one name ("duplicate-annotation"), a
            span lies outside of the text ("span-outside") or its text is another than there
            ("span-disagrees"), a relation names no entity ("unknown-annotation").
    """
    spans: list[Span] = []
    places: dict[str, int] = {}
    told: dict[str, tuple[int, str]] = {}
    others: Counter[str] = Counter()
    for number, line in _lines(annotations):
        kind = line[0]
        if kind in OTHERS:
            others[kind] += 1
            continue
        name, _, rest = line.partition("\t")
        what, _, quoted = rest.partition("\t")
        if name in places or name in told:
            raise DataError(f"line {number}: its name came before", code="duplicate-annotation")
        if kind == "T":
            places[name] = len(spans)
            spans.append(_span(number, what))
            checked(text, spans[-1:])
            if not _agree(quoted, _quoted(text, spans[-1]), spans[-1]):
                raise DataError(
                    f"line {number}: the text there is not what it says",
                    code="span-disagrees",
                    hint="offsets count characters; line ends of two characters count as two",
                )
        elif kind == "R":
            told[name] = number, what
        else:
            raise _bad(number)
    relations = [_relation(number, what, places) for number, what in told.values()]
    return Annotations(spans, relations, others.total())


def beside(annotations: str, text: str) -> tuple[str, Annotations]:
    """A text without the mark that some editors begin UTF-8 by, and what is marked in it.

    BRAT counts the mark as a character, other tools don't: the quotes tell which.

    Raises:
        DataError: as of `read`.
    """
    annotations, bare = annotations.removeprefix(MARK), text.removeprefix(MARK)
    if bare is not text:
        with suppress(DataError):
            counted = read(annotations, text)
            return bare, replace(counted, spans=[_back(span) for span in counted.spans])
    return bare, read(annotations, bare)


def _back(span: Span) -> Span:
    """One character nearer to the begin of the text."""
    parts = tuple(max(0, at - 1) for at in span.parts)
    return replace(span, begin=max(0, span.begin - 1), end=span.end - 1, parts=parts)


def write(spans: list[Span], relations: list[Relation], text: str) -> str:
    """The content of an .ann file; names are T1, T2, … and R1, R2, … in order."""
    made = []
    for at, span in enumerate(spans, start=1):
        ends = span.parts or (span.begin, span.end)
        where = ";".join(f"{one} {other}" for one, other in _pairs(ends))
        made.append(f"T{at}\t{span.type} {where}\t{_quoted(text, span)}\n")
    for at, one in enumerate(relations, start=1):
        made.append(f"R{at}\t{one.type} Arg1:T{one.first + 1} Arg2:T{one.second + 1}\n")
    return "".join(made)


def _lines(annotations: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(annotations.split("\n"), start=1):
        line = line.removesuffix("\r")
        if line.strip():
            yield number, line


def _span(number: int, what: str) -> Span:
    kind, _, where = what.partition(" ")
    try:
        pairs = [tuple(map(_offset, pair.split(" "))) for pair in where.split(";")]
    except ValueError:
        raise _bad(number) from None
    if not kind or not all(len(pair) == 2 for pair in pairs):
        raise _bad(number)
    ends = tuple(end for pair in pairs for end in pair)
    parts = ends if len(pairs) > 1 else ()
    return Span(ends[0], ends[-1], kind, parts)


def _offset(cell: str) -> int:
    if not (cell.isascii() and cell.isdecimal() and len(cell) < 10):
        raise ValueError
    return int(cell)


def _quoted(text: str, span: Span) -> str:
    """A span's text as a line can have it: parts joined by blanks, line ends as blanks."""
    ends = span.parts or (span.begin, span.end)
    joined = " ".join(text[begin:end] for begin, end in _pairs(ends))
    return joined.replace("\r", " ").replace("\n", " ")


def _agree(quoted: str, there: str, span: Span) -> bool:
    """Parts of a span with gaps are joined by blanks, or in some corpora by nothing."""
    return quoted == there or bool(
        span.parts and quoted.split() and _solid(quoted) == _solid(there)
    )


def _solid(text: str) -> str:
    return "".join(text.split())


def _pairs(ends: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    return zip(ends[::2], ends[1::2], strict=True)


def _relation(number: int, what: str, places: dict[str, int]) -> Relation:
    kind, *roles = what.split(" ")
    named = [role.partition(":")[2] for role in roles if role]
    if not kind or len(named) != 2 or not all(named):
        raise _bad(number)
    if not set(named) <= set(places):
        raise DataError(
            f"line {number}: it relates what is no entity of the file", code="unknown-annotation"
        )
    return Relation(kind, places[named[0]], places[named[1]])


def _bad(number: int) -> DataError:
    return DataError(
        f"line {number}: it is no annotation as BRAT writes it",
        code="bad-annotation",
        hint="`T1<tab>Drug 0 7<tab>aspirin`, `R1<tab>Effect Arg1:T1 Arg2:T2`",
    )
