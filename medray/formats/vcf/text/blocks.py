"""Blocks of BGZF (blocked gzip, SAM specification, 4.1), each held against its checksum."""

import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from medray.errors import DataError

MAX_BLOCK = 2**16  # bytes of one block, by the specification
EOF_MARK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
COPY_AGAIN = "copy the file again from where it came; `gzip -t` tells whether a copy is whole"
_READ_BYTES = 2**20
_MAGIC = b"\x1f\x8b\x08\x04"


def ends_marked(path: Path) -> bool:
    """Whether a BGZF file ends with the empty block that says that nothing is missing."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(EOF_MARK)))
        return file.read() == EOF_MARK


def inflated(file: BinaryIO) -> Iterator[tuple[int, bytes | DataError]]:
    """Where each block from here on begins, and its text; or what is wrong with it.

    Raises:
        DataError: the file ends within a block (code "truncated-gzip").
    """
    at = file.tell()
    buffer, used = b"", 0
    while True:
        if len(buffer) - used < MAX_BLOCK:
            buffer, used = buffer[used:] + file.read(_READ_BYTES), 0
            if not buffer:
                return
        size = block_size(buffer[used : used + 512])
        whole = size is not None and used + size <= len(buffer)
        read = _text_of if at else _first_text
        text = read(buffer[used : used + size], at) if size and whole else _bad_block(at)
        if isinstance(text, DataError):
            # Its size may be what is damaged.
            following = first_block(file, at + 1)
            if not whole and size is not None and following == file.seek(0, 2):
                raise DataError("a BGZF block is cut off", code="truncated-gzip", hint=COPY_AGAIN)
            yield at, text
            at, buffer, used = file.seek(following), b"", 0
        elif size is not None:
            yield at, text
            at, used = at + size, used + size


@lru_cache(maxsize=1)
def _first_text(block: bytes, at: int) -> bytes | DataError:
    """As `_text_of`, of a file's first block: it is read for the header, and for the records."""
    return _text_of(block, at)


def _text_of(block: bytes, at: int) -> bytes | DataError:
    extra = int.from_bytes(block[10:12], "little")
    checksum, size = struct.unpack("<II", block[-8:])
    inflate = zlib.decompressobj(-15)
    try:
        # The size is bounded first, so that a false one can't make it fill the memory.
        text = inflate.decompress(block[12 + extra : -8], min(size, MAX_BLOCK) + 1)
    except zlib.error:
        return _bad_block(at)
    return text if len(text) == size and zlib.crc32(text) == checksum else _bad_block(at)


def _bad_block(at: int) -> DataError:
    reason = "a BGZF block is damaged: the records in it are lost, and those that it cuts"
    return DataError(reason, code="damaged-gzip", about=f"block at byte {at}", hint=COPY_AGAIN)


def block_size(head: bytes) -> int | None:
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


def first_block(file: BinaryIO, start: int) -> int:
    """Where the first block at or after `start` begins; the file's size where none does.

    Bytes that look like a header can stand inside of a block, so the next two headers must stand
    where this one and its successor say.
    """
    size = file.seek(0, 2)
    if start >= size:
        return size
    file.seek(start)
    window = file.read(8 * MAX_BLOCK)
    at = window.find(_MAGIC)
    while 0 <= at < 4 * MAX_BLOCK:  # damaged ones between are passed over
        place, seen = at, 0
        while seen < 3 and start + place < size:
            length = block_size(window[place : place + 512])
            if length is None:
                break
            place, seen = place + length, seen + 1
        if seen == 3 or start + place == size:
            return start + at
        at = window.find(_MAGIC, at + 1)
    if start + len(window) >= size and at < 0:
        return size
    raise DataError("no BGZF block where one must begin", code="damaged-gzip")
