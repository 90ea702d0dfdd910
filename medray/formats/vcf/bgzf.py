"""Text of VCF files, whole or a stretch of one: plain, gzip and BGZF (blocked gzip, SAM spec 4.1).

A stretch is a range of bytes of the file as it lies there. Its boundaries need not be known to be
those of blocks or lines: whoever reads finds the first block header at or after each boundary, so
that neighbours agree without looking at one another. A line belongs to the stretch that holds the
newline before it; so every line belongs to exactly one.
"""

import itertools
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from medray.errors import DataError

Kind = Literal["plain", "gzip", "bgzf", "bcf"]
BLOCK_BYTES = 4 * 2**20  # of text handed on at once: its index takes about as much again
READ_BYTES = 2**20
MAX_BLOCK = 2**16  # bytes of one BGZF block, by its specification
EOF_MARK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_MAGIC = b"\x1f\x8b\x08\x04"


def kind_of(path: Path) -> Kind:
    """What a file is, by its first bytes; a name proves nothing.

    Raises:
        DataError: it begins like a gzip file that is damaged (code "damaged-gzip").
    """
    with path.open("rb") as file:
        head = file.read(MAX_BLOCK)
    if head[:3] == b"BCF":
        return "bcf"
    if head[:2] != b"\x1f\x8b":
        return "plain"
    blocked = _block_size(head) is not None
    try:
        start = zlib.decompressobj(31).decompress(head, 8)
    except zlib.error as error:
        raise DataError("the gzip stream is damaged", code="damaged-gzip") from error
    if start[:3] == b"BCF":
        return "bcf"
    return "bgzf" if blocked else "gzip"


def stretches(kind: Kind, size: int, wanted: int) -> list[tuple[int, int]]:
    """Cut a file of `size` bytes into stretches of about `wanted`; one where it can't be cut."""
    if kind in ("gzip", "bcf") or size <= wanted:
        return [(0, size)]
    count = max(1, round(size / wanted))
    cuts = [size * number // count for number in range(count + 1)]
    return list(itertools.pairwise(cuts))


def lines_of(path: Path, kind: Kind, start: int, stop: int, *, max_line: int) -> Iterator[bytes]:
    """The text of a stretch, in blocks of whole lines; the last may lack its newline.

    Args:
        path: the file.
        kind: what it is; a BCF file is one stretch, and becomes the text that it stands for.
        start: first byte of the stretch; 0 is the file's first.
        stop: byte after its last; the file's size, or more, for its end.
        max_line: bytes that a line may have.

    Raises:
        DataError: a block is damaged or cut off ("damaged-gzip", "truncated-gzip"), or a line is
            longer than any record ("line-too-long").
    """
    pending: list[bytes] = []
    held = 0
    begun = start == 0
    for text, inside in _texts(path, kind, start, stop):
        piece = text
        if not begun:
            # Of the line that lies across the start, the stretch before takes the whole.
            cut = piece.find(b"\n")
            if not inside:
                return
            if cut < 0:
                continue
            piece, begun = piece[cut + 1 :], True
        if not inside:
            cut = piece.find(b"\n")
            pending.append(piece if cut < 0 else piece[: cut + 1])
            held += len(pending[-1])
            if cut >= 0:
                break
        else:
            pending.append(piece)
            held += len(piece)
        if held >= BLOCK_BYTES and b"\n" in pending[-1]:
            whole = b"".join(pending)
            cut = whole.rfind(b"\n") + 1
            yield whole[:cut]
            pending, held = [whole[cut:]], len(whole) - cut
        elif held > max(max_line, 2 * BLOCK_BYTES):
            raise DataError("a line is longer than any record", code="line-too-long")
    rest = b"".join(pending)
    if rest:
        yield rest


def ends_marked(path: Path) -> bool:
    """Whether a BGZF file ends with the empty block that says that nothing is missing."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(EOF_MARK)))
        return file.read() == EOF_MARK


def _texts(path: Path, kind: Kind, start: int, stop: int) -> Iterator[tuple[bytes, bool]]:
    """Text, and whether it begins inside the stretch; what follows its end is for the last line."""
    if kind == "bcf":
        for text in _bcf(path):
            yield text, True
        return
    with path.open("rb") as file:
        if kind == "plain":
            yield from _plain(file, start, stop)
        elif kind == "gzip":
            for text in _gzip(file):
                yield text, True
        else:
            yield from _blocks(file, start, stop)


def _bcf(path: Path) -> Iterator[bytes]:
    import pysam

    pysam.set_verbosity(0)  # htslib would quote what it chokes on
    held: list[str] = []
    size = 0
    try:
        with pysam.VariantFile(str(path), "rb") as records:
            held.append(str(records.header))
            for record in records:
                held.append(str(record))
                size += len(held[-1])
                if size >= READ_BYTES:
                    yield "".join(held).encode()
                    held, size = [], 0
    except (OSError, ValueError, UnicodeError) as error:
        raise DataError("the BCF file is damaged or cut off", code="damaged-bcf") from error
    yield "".join(held).encode()


def _plain(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, bool]]:
    file.seek(start)
    at = start
    while at < stop:
        text = file.read(min(READ_BYTES, stop - at))
        if not text:
            return
        yield text, True
        at += len(text)
    while text := file.read(READ_BYTES):
        yield text, False


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    """One stream, or several after one another, in pieces of bounded size."""
    inflate = zlib.decompressobj(31)
    data = b""
    begun = False
    while True:
        data = data or file.read(READ_BYTES)
        if not data:
            break
        begun = True
        try:
            text = inflate.decompress(data, READ_BYTES)
        except zlib.error as error:
            raise DataError("the gzip stream is damaged", code="damaged-gzip") from error
        if text:
            yield text
        data = inflate.unconsumed_tail
        if inflate.eof:
            data = inflate.unused_data.lstrip(b"\0")  # padding of tapes and block devices
            inflate, begun = zlib.decompressobj(31), bool(data)
    if begun and not inflate.eof:
        raise DataError("the gzip stream is cut off", code="truncated-gzip")


def _blocks(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, bool]]:
    at = 0 if start == 0 else _first_block(file, start)
    end = _first_block(file, stop)
    file.seek(at)
    texts: list[bytes] = []
    held = 0
    for data in _raw_blocks(file):
        if texts and (held >= READ_BYTES or at == end):
            yield b"".join(texts), True
            texts, held = [], 0
        text = _inflated(data)
        if at >= end:
            yield text, False
        else:
            texts.append(text)
            held += len(text)
        at += len(data)
    if texts:
        yield b"".join(texts), True


def _raw_blocks(file: BinaryIO) -> Iterator[bytes]:
    buffer = b""
    at = 0
    while True:
        if len(buffer) - at < MAX_BLOCK:
            buffer = buffer[at:] + file.read(READ_BYTES)
            at = 0
            if not buffer:
                return
        size = _block_size(buffer[at : at + 512] if len(buffer) - at > 512 else buffer[at:])
        if size is None:
            raise DataError("a BGZF block is damaged", code="damaged-gzip")
        if len(buffer) - at < size:
            raise DataError("a BGZF block is cut off", code="truncated-gzip")
        yield buffer[at : at + size]
        at += size


def _inflated(block: bytes) -> bytes:
    extra = int.from_bytes(block[10:12], "little")
    checksum, size = struct.unpack("<II", block[-8:])
    inflate = zlib.decompressobj(-15)
    try:
        # The size is bounded first, so that a false one can't make it fill the memory.
        text = inflate.decompress(block[12 + extra : -8], min(size, MAX_BLOCK) + 1)
    except zlib.error as error:
        raise DataError("a BGZF block is damaged", code="damaged-gzip") from error
    if len(text) != size or zlib.crc32(text) != checksum:
        raise DataError("a BGZF block fails its checksum", code="damaged-gzip")
    return text


def _block_size(head: bytes) -> int | None:
    """Bytes of the BGZF block that begins here, by its header; None where none does."""
    if head[:4] != _MAGIC or len(head) < 18:
        return None
    end = 12 + int.from_bytes(head[10:12], "little")
    at = 12
    while at + 4 <= min(end, len(head)):
        length = int.from_bytes(head[at + 2 : at + 4], "little")
        if head[at : at + 2] == b"BC" and length == 2:
            size = int.from_bytes(head[at + 4 : at + 6], "little") + 1
            return size if size > end + 8 - 1 else None
        at += 4 + length
    return None


def _first_block(file: BinaryIO, start: int) -> int:
    """Where the first block at or after `start` begins; the file's size where none does.

    Bytes that look like a header can stand inside of a block, so the next two headers must stand
    where this one and its successor say.
    """
    size = file.seek(0, 2)
    if start >= size:
        return size
    file.seek(start)
    window = file.read(4 * MAX_BLOCK)
    at = window.find(_MAGIC)
    while 0 <= at < MAX_BLOCK:
        place, seen = at, 0
        while seen < 3 and start + place < size:
            length = _block_size(window[place : place + 512])
            if length is None:
                break
            place, seen = place + length, seen + 1
        if seen == 3 or start + place == size:
            return start + at
        at = window.find(_MAGIC, at + 1)
    if start + len(window) >= size and at < 0:
        return size
    raise DataError("no BGZF block where one must begin", code="damaged-gzip")
