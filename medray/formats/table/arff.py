"""Weka's ARFF: a header that says what each column holds, and rows.

https://waikato.github.io/weka-wiki/formats_and_processing/arff_stable/
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from medray.errors import DataError
from medray.formats.table.features import Features
from medray.formats.table.sheets import Found, Record, Sheet, Start, Survey, bad_value, ragged
from medray.formats.tabular import delimited
from medray.formats.tabular.delimited import PIECE_ROWS

SUFFIXES = (".arff", ".arff.gz")
MAX_HEADER = 2**20  # lines
NUMBERS = ("numeric", "real", "integer")
_ATTRIBUTE = re.compile(
    r"@attribute\s+('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s{]+)\s*(.*)", re.IGNORECASE
)
_CELL = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|([^,'\"]*?))\s*(?:,|$)")


@dataclass(frozen=True)
class Header:
    """What stands before the rows.

    Args:
        names: of the columns.
        words: of nominal columns, by name, what they may hold.
        others: columns of neither numbers nor words: texts, dates.
        first: number of the first line of data, and its offset in unpacked bytes.
    """

    names: tuple[str, ...]
    words: dict[str, tuple[str, ...]]
    others: frozenset[str]
    first: tuple[int, int]


class Arff(Sheet):
    """A row per sample; columns of words make columns of 0 and 1."""

    def survey(self, key: str | None) -> Survey:
        """See Sheet."""
        head = header(self.path)
        features = self._features(head)
        at = head.names.index(key) if key in head.names else None
        starts, digests, keys, rows = list[Start](), list[str](), list[str](), 0
        hashed = blake3()
        for row, number, offset, line in lines(self.path, head.first):
            if row % PIECE_ROWS == 0:
                if row:
                    digests.append(hashed.hexdigest())
                starts.append((row, number, offset))
                hashed = blake3()
            hashed.update(line)
            rows = row + 1
            if at is not None:
                found = cells(line, number)
                keys.append(found[at].strip() if at < len(found) else "")
        if not rows:
            raise DataError("the table holds no row", code="empty-table")
        digests.append(hashed.hexdigest())
        about = delimited.fingerprint([*head.names, str(sorted(head.words.items()))])
        return Survey(
            columns=head.names,
            features=features.names,
            rows=rows,
            keys=tuple(keys),
            digests=tuple(delimited.fingerprint([about, one]) for one in digests),
            starts=tuple(starts),
            sequential=self.path.name.lower().endswith(".gz"),
        )

    def records(self, rows: Sequence[int], start: Start) -> Iterator[Found]:
        """See Sheet."""
        head = header(self.path)
        features = self._features(head)
        known = {name: at for at, name in enumerate(head.names) if name in self.known.columns}
        wanted = iter(rows)
        want = next(wanted, None)
        for row, number, _, line in lines(self.path, start[1:], start[0]):
            if want is None:
                return
            if row != want:
                continue
            want = next(wanted, None)
            place = f"line {number}"
            try:
                found = cells(line, number)
            except DataError as error:
                yield row, error
                continue
            if len(found) != len(head.names):
                yield row, ragged(place, len(found), len(head.names))
                continue
            try:
                values = features.of(found)
            except ValueError as error:
                yield row, bad_value(place, head.names[error.args[0]])
                continue
            told = {name: found[at].strip() for name, at in known.items()}
            yield row, Record(row, place, told, values)
        if want is not None:
            raise DataError("the table is shorter than when it was planned", code="changed")

    def _features(self, head: Header) -> Features:
        features = Features(head.names, self.known, head.words)
        for at in features.places:
            if head.names[at] in head.others - set(self.known.categories or ()):
                raise DataError(
                    f"column {at + 1} is of texts or dates",
                    code="not-a-number",
                    hint="`drop` it, keep it by `columns`, or say its words by `categories`",
                )
        return features


def header(path: Path) -> Header:
    """The columns of a file.

    Raises:
        DataError: it is no ARFF, or of a form that is not read ("bad-arff"), is no text
            ("not-text"), cannot be unpacked ("damaged-gzip"), or names a column twice
            ("duplicate-column").
    """
    names, words, others, offset = list[str](), dict[str, tuple[str, ...]](), set[str](), 0
    with delimited.opened(path) as (file, _):
        for number, raw in enumerate(delimited.lines(file), start=1):
            offset += len(raw)
            line = _text(raw, number).strip()
            if not line or line.startswith("%"):
                continue
            lower = line.lower()
            if lower.startswith("@data"):
                if not names:
                    break
                if len(set(names)) < len(names):
                    raise DataError("two columns have the same name", code="duplicate-column")
                return Header(tuple(names), words, frozenset(others), (number + 1, offset))
            if lower.startswith("@relation"):
                continue
            found = _ATTRIBUTE.fullmatch(line)
            if not found or number > MAX_HEADER:
                raise DataError(f"line {number} is none of an ARFF header", code="bad-arff")
            name, kind = _bare(found[1]), found[2].strip()
            names.append(name)
            if kind.startswith("{") and kind.endswith("}"):
                words[name] = tuple(cells(kind[1:-1].encode(), number))
            elif kind.split(maxsplit=1)[0].lower() not in NUMBERS if kind else True:
                others.add(name)
    raise DataError("the file has no @attribute, or no @data", code="bad-arff")


def lines(
    path: Path, first: tuple[int, int], row: int = 0
) -> Iterator[tuple[int, int, int, bytes]]:
    """Rows from a line on: number of the row and of its line, offset of that, and the line."""
    number, offset = first
    with delimited.opened(path) as (file, _):
        delimited.skip_to(file, offset)
        for at, line in enumerate(delimited.lines(file), start=number):
            begin, offset = offset, offset + len(line)
            bare = line.strip()
            if bare and not bare.startswith(b"%"):
                yield row, at, begin, line
                row += 1


def cells(line: bytes, number: int) -> list[str]:
    """The cells of a row, unquoted.

    Raises:
        DataError: quotes do not end, or the row is sparse or weighted ("bad-arff"); it is no UTF-8
            ("not-text").
    """
    text = _text(line, number).strip()
    if text.startswith("{"):
        raise DataError(
            f"line {number} is of the sparse form, which is not read",
            code="bad-arff",
            hint="write every value of a row",
        )
    found, at = list[str](), 0
    while True:
        match = _CELL.match(text, at)
        if match is None:
            raise DataError(f"line {number} has quotes that do not end", code="bad-arff")
        single, double, plain = match.groups()
        quoted = single if single is not None else double
        found.append(plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        at = match.end()
        if not match[0].endswith(","):
            return found


def _bare(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name[1:-1]) if name[:1] in ("'", '"') else name


def _text(line: bytes, number: int) -> str:
    try:
        text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"line {number} is no UTF-8", code="not-text") from error
    if "\0" in text:
        raise DataError(f"line {number} holds a NUL", code="not-text")
    return text
