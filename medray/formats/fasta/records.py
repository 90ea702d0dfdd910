"""Where the records of a FASTA file lie: by its .fai index, or by a pass over its text."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medray.errors import DataError
from medray.formats.tabular.text import BLOCK, BOM, blocks, kind_of, lines, require_lines

BEFORE = BOM + b" \t\r\n"  # what may stand before the first header
MAX_HEADER = 2**16
MAX_RECORDS = 2**22


@dataclass(frozen=True)
class Record:
    """One record of a file.

    Args:
        number: its place in the file, from 1.
        name: first word of its header.
        start: bytes of text before its letters, headers and all.
        size: bytes of its letters, ends of lines among them.
        length: of the sequence where an index says so, else -1.
    """

    number: int
    name: str
    start: int
    size: int
    length: int = -1


def indexed(path: Path, index: Path) -> Iterator[Record]:
    """The records that a .fai index names (SAMtools: name, length, offset, bases and bytes a line).

    Raises:
        DataError: the index is damaged or longer than the file (code "bad-index").
    """
    most, end = path.stat().st_size if kind_of(path) == "plain" else 2**48, 0
    rows = (line.split() for line in lines(index) if line.strip())
    for number, (name, *cells) in enumerate(rows, start=1):
        if len(cells) not in (4, 5) or not all(cell.isdigit() for cell in cells):
            raise _bad_index()
        length, start, bases, width = (int(cell) for cell in cells[:4])
        if length and not 0 < bases < width:
            raise _bad_index()
        size = 0
        if length:
            size = (length - 1) // bases * width + (length - 1) % bases + 1
        if start < end or start + size > most or number > MAX_RECORDS:
            raise _bad_index()
        end = start + size
        yield Record(number, first_word(name), start, size, length)


def scanned(path: Path, contig: str | None) -> Iterator[Record]:
    """The records of a file, by a pass over its text.

    Args:
        path: of the file.
        contig: name of the one record of a file without a header; None refuses such files.

    Raises:
        DataError: "no-header", "long-header", "too-many-records", and as
            `medray.formats.tabular.text`.
    """
    first = next(filter(None, (block.lstrip(BEFORE) for block in blocks(path))), b"")
    if not first:
        raise DataError("the file is empty", code="empty-file")
    require_lines(first)
    if not first.startswith(b">"):
        if contig is None:
            raise DataError(
                "the file does not begin with a header",
                code="no-header",
                hint="`contig: NAME` names the only sequence of a file without one",
            )
        yield Record(1, contig, 0, sum(map(len, blocks(path))))
        return
    number, name, start = 0, "", 0
    for mark, header, after in _headers(path):
        if number:
            yield Record(number, name, start, mark - start)
        if header is not None:
            number, name, start = number + 1, first_word(header), after
        if number > MAX_RECORDS:
            raise DataError(f"the file has over {MAX_RECORDS} records", code="too-many-records")


def _headers(path: Path) -> Iterator[tuple[int, bytes | None, int]]:
    """Each header: where its mark is, its text, where its record's letters begin; then the end of
    the file, and None.

    A sequence may be one line of 250 MB, so lines are not put together: only headers are.
    """
    at, text, fresh = 0, b"", True  # text begins at byte `at`; fresh: a line begins there
    opening = True  # nothing but blanks so far
    for block in blocks(path):
        text += block
        mark, rest = text.find(b">"), 0
        while mark >= 0:
            begins = fresh if mark == 0 else text[mark - 1] == ord("\n")
            begins |= opening and not text[:mark].strip(BEFORE)
            opening = False
            end = text.find(b"\n", mark) if begins else mark
            if end < 0:
                break
            if begins:
                yield at + mark, text[mark + 1 : end], at + end + 1
            rest = end + 1
            mark = text.find(b">", rest)
        opening = opening and not text.strip(BEFORE)
        if mark >= 0:  # a header whose end is in the next block
            if len(text) - mark > MAX_HEADER + BLOCK:
                raise DataError("a header has more than 64 KiB", code="long-header")
            at, text, fresh = at + mark, text[mark:], True
        else:
            at, text, fresh = at + len(text), b"", text.endswith(b"\n")
    if text:
        yield at, text[1:], at + len(text)
    yield at + len(text), None, 0


def first_word(header: bytes) -> str:
    """Of a header: the name. Bytes that are no UTF-8 stay apart in it, and make it no name."""
    words = header.split()
    return words[0].decode("utf-8", "surrogateescape") if words else ""


def _bad_index() -> DataError:
    return DataError(
        "the .fai index does not fit the file",
        code="bad-index",
        hint="remove it, or make it again: samtools faidx",
    )
