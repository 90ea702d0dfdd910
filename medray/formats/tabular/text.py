"""Text files, plain or gzipped (bgzip's among them), in blocks: nothing is as large as the file.

An input is a range of the text: where it starts and how many bytes it has, counted uncompressed.
Plain files are read from there, bgzip's from the block that holds it; gzip has to be unpacked up to
there, so ranges of it are fewer.
"""

import bisect
import gzip
import logging
import os
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Literal

from medray.errors import DataError
from medray.log import event

Kind = Literal["plain", "gzip", "bgzip"]

BLOCK = 2**20
MAX_LINE = 2**20
RANGE_BYTES = 8 * 2**20
GZIP_RANGES = 16  # each unpacks all that lies before it: half of the file, on average
# Runs of N make a genome's text shrink a thousandfold in places, but never as a whole.
BOMB_BYTES, BOMB_RATIO = 2**30, 200

BOM = b"\xef\xbb\xbf"
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


@dataclass(frozen=True)
class Range:
    """A piece of a file's text.

    Args:
        start: bytes before it.
        size: bytes of it.
        first: how many lines, or records, lie before it.
    """

    start: int
    size: int
    first: int


def kind_of(path: Path) -> Kind:
    """How a file is packed, by its first bytes, whatever its name."""
    with path.open("rb") as file:
        head = file.read(18)
    if head[:3] != b"\x1f\x8b\x08":
        return "plain"
    return "bgzip" if _block_size(head) else "gzip"


def blocks(path: Path, start: int = 0, size: int | None = None) -> Iterator[bytes]:
    """The text from byte `start` on, at most `size` bytes of it, about a MiB at a time.

    Raises:
        DataError: "damaged-gzip" (checksums among what is checked), "truncated-bgzip",
            "compression-bomb".
    """
    kind = kind_of(path)
    with path.open("rb") as file:
        whole = os.fstat(file.fileno()).st_size
        skip = start
        if kind == "plain":
            file.seek(start)
            skip = 0
        elif kind == "bgzip":
            at, skip = _block_before(path, file, start)
            file.seek(at)
        stream = file if kind == "plain" else gzip.GzipFile(fileobj=file)
        given, left = 0, whole if size is None else size
        try:
            while size is None or left > 0:
                block = stream.read(BLOCK)
                if not block:
                    return
                given += len(block)
                if kind != "plain" and given > max(BOMB_BYTES, BOMB_RATIO * whole):
                    raise DataError(
                        f"the file grows more than {BOMB_RATIO}-fold", code="compression-bomb"
                    )
                if skip:
                    block, skip = block[skip:], max(0, skip - len(block))
                if size is not None:
                    block = block[:left]
                    left -= len(block)
                if block:
                    yield block
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError("the gzip stream is damaged", code="damaged-gzip") from error


def mind_the_end(path: Path, name: str) -> None:
    """Log, as a warning, that a plain file's last line has no end: it may have been cut midway.

    What is cut between cells lacks some and is refused; of a last cell that is shorter nobody can
    tell, and whole files that end so are about as well, so it is no reason to refuse the line.

    Args:
        path: of the file, all of which is there.
        name: of it, as the plan has it.
    """
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b" or not file.seek(0, os.SEEK_END):
            return
        file.seek(-1, os.SEEK_END)
        if file.read() not in (b"\n", b"\r"):
            event("no-final-newline", level=logging.WARNING, file=name)


def require_lines(begin: bytes | bytearray) -> None:
    """That lines end as they do today.

    Args:
        begin: of a text; of a MiB or all of it.

    Raises:
        DataError: they end in CR alone, so all of the text would be one line (code "cr-line-ends").
    """
    if b"\n" not in begin and b"\r" in begin[:-1]:  # behind its last byte a newline may come
        raise DataError(
            "its lines end in CR alone, as old programs of Macs write them",
            code="cr-line-ends",
            hint=r"convert it: tr '\r' '\n' < FILE > OTHER",
        )


def ranges(
    path: Path, mark: bytes = b"\n", *, until: tuple[bytes, ...] = (), size: int = RANGE_BYTES
) -> Iterator[Range]:
    """The text of a file cut behind lines, or before records, into pieces of about `size` bytes.

    Args:
        path: of the file.
        mark: a newline, or a newline and the character that begins a record.
        until: what a line begins with that is behind the last piece; none for all of the text.
        size: least bytes of a piece but the last.

    Raises:
        DataError: as `blocks`, and `require_lines`.
    """
    if kind_of(path) == "gzip":
        size = max(size, sum(map(len, blocks(path))) // GZIP_RANGES)
    end = _line(path, until) if until else None
    keep = len(mark) - 1
    start = held = marks = first = 0
    tail = b""
    for block in blocks(path, 0, end):
        if not start and not held:
            require_lines(block)
        text = tail + block
        marks += text.count(mark)
        held += len(block)
        if held >= size:
            at = text.rfind(mark)
            if at >= 0:
                rest = len(text) - at - 1
                yield Range(start, held - rest, first)
                start, first, held = start + held - rest, marks, rest
        tail = text[len(text) - keep :] if keep else b""
    if held:
        yield Range(start, held, first)


def lines(path: Path, piece: Range | None = None) -> Iterator[bytes]:
    """The lines of a piece, or of all the text, without their ends (LF or CR LF), the first without
    the mark that some editors begin UTF-8 by.

    Raises:
        DataError: as `blocks`, and `require_lines`; or a line of more than a MiB, as no table has
            ("long-line").
    """
    tail = b""
    begins = piece is None or piece.start == 0
    text = blocks(path) if piece is None else blocks(path, piece.start, piece.size)
    for block in text:
        if begins:
            require_lines(block)
            block, begins = block.removeprefix(BOM), False
        whole = (tail + block).split(b"\n")
        tail = whole.pop()
        for line in whole:
            yield line.removesuffix(b"\r")
        if len(tail) > MAX_LINE:
            raise DataError("a line has more than a MiB", code="long-line")
    if tail:
        yield tail.removesuffix(b"\r")


def decoded(raw: bytes) -> str:
    """UTF-8 as text: of two names in another encoding a guess would make one.

    Raises:
        DataError: it is none (code "not-utf8").
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            "the text is no UTF-8", code="not-utf8", hint="convert it: iconv -f latin1 -t utf-8"
        ) from error


def _line(path: Path, begins: tuple[bytes, ...]) -> int | None:
    """Where the first line that begins so is; None if there is none."""
    at, text = -1, b"\n"
    longest = max(map(len, begins))
    for block in blocks(path):
        text += block
        found = [place for one in begins if (place := text.find(b"\n" + one)) >= 0]
        if found:
            return at + min(found) + 1
        keep = min(len(text), longest)
        at, text = at + len(text) - keep, text[len(text) - keep :]
    return None


def _block_size(head: bytes) -> int:
    """Bytes of the bgzip block with this header; 0 if it is none (SAM specification, 4.1)."""
    if len(head) < 18 or head[:4] != b"\x1f\x8b\x08\x04":
        return 0
    length, mark, width, size = struct.unpack("<H2sHH", head[10:18])
    return size + 1 if length >= 6 and mark == b"BC" and width == 2 else 0


def _block_before(path: Path, file: BinaryIO, start: int) -> tuple[int, int]:
    """Where the block of byte `start` lies, and how many bytes of it come before that byte."""
    if not start:
        _ended(file)
        return 0, 0
    stat = os.fstat(file.fileno())
    places, before = _blocks_of(path, stat.st_size, stat.st_mtime_ns)
    at = bisect.bisect_right(before, start) - 1
    return places[at], start - before[at]


@lru_cache(maxsize=4)
def _blocks_of(path: Path, _size: int, _changed: int) -> "tuple[array[int], array[int]]":
    """Where each block lies, and how much text there is before it; then the end.

    Only headers and sizes are read, once for all pieces of a file.
    """
    places, before = array("q", [0]), array("q", [0])
    with path.open("rb") as file:
        end = _ended(file)
        at = text = 0
        while at < end:
            file.seek(at)
            block = _block_size(file.read(18))
            file.seek(at + block - 4)
            raw = file.read(4)
            if block < len(_BGZF_END) or len(raw) < 4:
                raise DataError("a bgzip block is damaged", code="damaged-gzip")
            at, text = at + block, text + int(struct.unpack("<I", raw)[0])
            places.append(at)
            before.append(text)
    return places, before


def _ended(file: BinaryIO) -> int:
    """Where the block that ends a bgzip file begins."""
    end = file.seek(-len(_BGZF_END), os.SEEK_END) if _longer(file) else -1
    if end < 0 or file.read() != _BGZF_END:
        raise DataError(
            "the bgzip file lacks the block that ends it",
            code="truncated-bgzip",
            hint="copy it again",
        )
    return end


def _longer(file: BinaryIO) -> bool:
    return os.fstat(file.fileno()).st_size >= len(_BGZF_END)
