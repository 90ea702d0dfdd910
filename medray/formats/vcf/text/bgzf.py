"""Text of VCF files, whole or a stretch of one: plain, gzip and BGZF (blocked gzip, SAM spec 4.1).

A stretch is a range of bytes of the file as it lies there. Its boundaries need not be known to be
those of blocks or lines: whoever reads finds the first block header at or after each boundary, so
that neighbours agree without looking at one another. A line belongs to the stretch that holds the
newline before it; so every line belongs to exactly one.
"""

import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from medray.errors import DataError
from medray.formats.tabular.text import BOM
from medray.formats.vcf.text import bcf
from medray.formats.vcf.text.blocks import MAX_BLOCK, block_size, first_block, inflated

Kind = Literal["plain", "gzip", "bgzf", "bcf"]
BLOCK_BYTES = 4 * 2**20  # of text handed on at once: its index takes about as much again
READ_BYTES = 2**20
HEAD_BYTES = 2**16


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
    blocked = block_size(head) is not None
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


def lines_of(
    path: Path,
    kind: Kind,
    start: int,
    stop: int,
    *,
    max_line: int,
    lost: list[DataError] | None = None,
) -> Iterator[bytes]:
    """The text of a stretch, in blocks of whole lines; the last may lack its newline.

    Args:
        path: the file.
        kind: what it is; a BCF file is one stretch, and becomes the text that it stands for.
        start: first byte of the stretch; 0 is the file's first.
        stop: byte after its last; the file's size, or more, for its end.
        max_line: bytes that a line may have.
        lost: damaged blocks, or records of BCF, are written here and left out, with the lines that
            they cut; what stands before and behind them has checksums of its own.

    Raises:
        DataError: a block is damaged or cut off ("damaged-gzip", "truncated-gzip"), or a line is
            longer than any record ("line-too-long").
    """
    pending: list[bytes] = []
    held = 0
    begun = start == 0
    first = begun
    for text, inside in _texts(path, kind, start, stop, READ_BYTES):
        if isinstance(text, DataError):
            if lost is None:
                raise text
            whole = b"".join(pending)
            if cut := whole.rfind(b"\n") + 1:
                yield whole[:cut]
            if not inside:  # of the stretch behind, which tells of it
                return
            lost.append(text)
            pending, held, begun = [], 0, kind == "bcf"
            continue
        piece = text.removeprefix(BOM) if first else text
        first = False
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


def head_of(path: Path, kind: Kind) -> Iterator[bytes]:
    """The text of a file from its beginning, in pieces as small as a header may be.

    Raises:
        DataError: it is damaged, once that is reached.
    """
    for text, _ in _texts(path, kind, 0, path.stat().st_size, HEAD_BYTES):
        if isinstance(text, DataError):
            raise text
        yield text


Texts = Iterator[tuple[bytes | DataError, bool]]
"""Text, or a fault in the place of what is damaged; and whether it begins inside the stretch. What
follows the stretch's end is for its last line."""


def _texts(path: Path, kind: Kind, start: int, stop: int, size: int) -> Texts:
    """A stretch in pieces of about `size` bytes."""
    if kind == "bcf":
        for found in bcf.text_of(path, size):
            yield found, True
        return
    with path.open("rb") as file:
        if kind == "plain":
            yield from _plain(file, start, stop, size)
        elif kind == "gzip":
            for text in _gzip(file, size):
                yield text, True
        else:
            yield from _blocks(file, start, stop, size)


def _plain(file: BinaryIO, start: int, stop: int, size: int) -> Texts:
    file.seek(start)
    at = start
    while at < stop:
        text = file.read(min(size, stop - at))
        if not text:
            return
        yield text, True
        at += len(text)
    while text := file.read(size):
        yield text, False


def _gzip(file: BinaryIO, size: int) -> Iterator[bytes]:
    """One stream, or several after one another, in pieces of bounded size."""
    inflate = zlib.decompressobj(31)
    data = b""
    begun = False
    while True:
        data = data or file.read(size)
        if not data:
            break
        begun = True
        try:
            text = inflate.decompress(data, size)
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


def _blocks(file: BinaryIO, start: int, stop: int, size: int) -> Texts:
    at = 0 if start == 0 else first_block(file, start)
    end = first_block(file, stop)
    file.seek(at)
    texts: list[bytes] = []
    held = 0
    for place, text in inflated(file):
        fault = isinstance(text, DataError)
        if texts and (fault or held >= size or place >= end):
            yield b"".join(texts), True
            texts, held = [], 0
        if isinstance(text, DataError) or place >= end:
            yield text, place < end
        else:
            texts.append(text)
            held += len(text)
    if texts:
        yield b"".join(texts), True
