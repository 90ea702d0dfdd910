"""Safe reading of one DICOM file: everything is measured before it is allocated.

A file that cannot be read ends in a DataError with a code. Messages name no path and no value; who
asked knows which file it was.
"""

import os
import re
import zlib
from dataclasses import dataclass

import google_crc32c

from medray.errors import DataError
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Elements,
    Encoding,
    NeedMoreBytes,
    Walker,
    truncated,
)
from medray.formats.dicom.headers.forms import FORMS

IMPLICIT_VR_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG = "1.2.840.10008.1.2.2"
NATIVE = frozenset({IMPLICIT_VR_LITTLE, EXPLICIT_VR_LITTLE, DEFLATED, EXPLICIT_VR_BIG})
DICOMDIR = "1.2.840.10008.1.3.10"

# 128 KiB holds the header of nearly every CT and MR slice, Siemens' private CSA blocks included.
FIRST_READ = 128 * 1024
PEEK = 16 * 1024  # read first in a scan: few slices have private blocks
PREAMBLE = 128
INFLATED_HEADER = 2**20


@dataclass(frozen=True)
class Limits:
    """What one file or frame may cost.

    Args:
        file_bytes: refuse larger files.
        header_bytes: refuse headers that reach no pixels within this (enhanced series of 10,000
            frames need about 20 MiB).
        inflated_bytes: refuse deflated files that inflate beyond this.
        frame_pixels: refuse frames of more pixels (the largest detector has 6000 x 5000).
        sample_bytes: refuse decoded series of more bytes.
    """

    file_bytes: int = 2 * 2**30
    header_bytes: int = 32 * 2**20
    inflated_bytes: int = 128 * 2**20
    frame_pixels: int = 2**26
    sample_bytes: int = 4 * 2**30


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Header:
    """The wanted attributes of a file and where its pixels lie.

    Args:
        elements: values by tag.
        syntax: transfer syntax UID.
        size: bytes of the file, or of the inflated data set.
        pixels: (tag, offset, length, as bytes) of the pixel data, None where there is none. The
            length is `elements.UNDEFINED` for encapsulated frames; not as bytes (OB) is as words
            (OW), which matters in big endian.
        directory: the file is a DICOMDIR.
    """

    elements: Elements
    syntax: str
    size: int
    pixels: tuple[int, int, int, bool] | None
    directory: bool

    @property
    def frames(self) -> int:
        """Number of frames, at least 1."""
        return self.elements.integer(tags.NUMBER_OF_FRAMES, 1)


def scan(handle: int, size: int, limits: Limits = LIMITS) -> Header:
    """Read the header of an open file, and no more of the file than that takes.

    Raises:
        DataError: with the codes of `parse`, or "file-too-large".
    """
    if size > limits.file_bytes:
        raise DataError(f"the file has {size} bytes", code="file-too-large")
    take = PEEK
    while True:
        buffer = os.pread(handle, min(take, size), 0)
        try:
            return parse(buffer, size, limits, whole=False)[0]
        except NeedMoreBytes:
            if take >= size:
                raise truncated() from None
            if take >= limits.header_bytes:
                raise DataError(
                    f"no pixels within {limits.header_bytes} bytes", code="header-too-large"
                ) from None
            take = min(take * 8, limits.header_bytes)


def load(
    handle: int, size: int, limits: Limits = LIMITS, crc: int = 0
) -> tuple[Header, bytes, int]:
    """Read a whole file.

    Args:
        handle: of the open file.
        size: of the file.
        limits: sizes to refuse.
        crc: CRC-32C of what was read before.

    Returns:
        Its header, the bytes that `Header.pixels` points into, and the CRC-32C of what was read
        before and this file. (SHA-256 would take as long as all the rest of reading a slice.)

    Raises:
        DataError: with the codes of `parse`, or "file-too-large".
    """
    if size > limits.file_bytes:
        raise DataError(f"the file has {size} bytes", code="file-too-large")
    raw = os.pread(handle, size, 0)
    while len(raw) < size:
        # One pread returns at most 2 GiB - 4096 bytes; none at all means the file shrank.
        more = os.pread(handle, size - len(raw), len(raw))
        if not more:
            raise truncated()
        raw += more
    try:
        header, buffer = parse(raw, size, limits, whole=True)
    except NeedMoreBytes:
        raise truncated() from None
    return header, buffer, int(google_crc32c.extend(crc, raw))


def parse(buffer: bytes, size: int, limits: Limits, *, whole: bool) -> tuple[Header, bytes]:
    """Parse the start of a file, or all of it.

    Args:
        buffer: its first bytes.
        size: how many it has in all.
        limits: for deflated files.
        whole: the pixels are wanted too; else a deflated file is inflated for its header only.

    Returns:
        The header and the buffer its offsets count in (inflated where the file is deflated).

    Raises:
        NeedMoreBytes: the header goes on beyond `buffer`.
        DataError: "not-dicom", "no-preamble", "no-transfer-syntax", "unknown-transfer-syntax",
            "deflate-bomb", "bad-deflate", or a code of `elements.Walker`.
    """
    if alike := FORMS.recall(buffer):
        return Header(alike.elements, alike.form.syntax, size, alike.form.pixels, False), buffer
    if buffer[PREAMBLE : PREAMBLE + 4] != b"DICM":
        raise _not_part10(buffer)
    at = PREAMBLE + 4
    walker = Walker(buffer, size)
    meta, at = walker.meta(at)
    syntax = meta.text(tags.TRANSFER_SYNTAX_UID)
    if not syntax:
        raise DataError(
            "the file does not say its transfer syntax",
            code="no-transfer-syntax",
            hint="write the file meta information again, e.g. by dcmconv",
        )
    encoding = _encoding(syntax)
    if syntax == DEFLATED:
        buffer = _inflate(buffer[at:], limits.inflated_bytes, whole)
        size, at = (len(buffer) if whole else limits.inflated_bytes), 0
        walker = Walker(buffer, size)
    elements, _ = walker.dataset(at, size, _as_written(encoding, buffer[at : at + 6]))
    directory = meta.text(tags.MEDIA_STORAGE_SOP_CLASS_UID) == DICOMDIR
    if not directory and syntax != DEFLATED:
        FORMS.keep(walker, elements, syntax)
    return Header(elements, syntax, size, walker.pixels, directory), buffer


def _inflate(deflated: bytes, cap: int, whole: bool) -> bytes:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = stream.decompress(deflated, cap if whole else INFLATED_HEADER)
    except zlib.error:
        raise DataError("the deflated data set is damaged", code="bad-deflate") from None
    if whole and stream.unconsumed_tail:
        raise DataError(f"the file inflates beyond {cap} bytes", code="deflate-bomb")
    if whole and not stream.eof:
        raise truncated()
    return inflated


def _encoding(syntax: str) -> Encoding:
    if syntax == IMPLICIT_VR_LITTLE:
        return IMPLICIT_LITTLE
    if syntax == EXPLICIT_VR_BIG:
        return EXPLICIT_BIG
    if re.fullmatch(r"1\.2\.840\.10008\.1\.2(\.[0-9]+)+", syntax):
        return EXPLICIT_LITTLE
    raise DataError("the transfer syntax is not DICOM's", code="unknown-transfer-syntax")


def _as_written(declared: Encoding, start: bytes) -> Encoding:
    # Some writers declare explicit and write implicit, or the reverse; the first element tells: its
    # representation, or else the low half of its length, which is below 16,705 bytes ("AA").
    if not declared.little or len(start) < 6:
        return declared
    written = start[4:6].isalpha() and start[4:6].isupper()
    return EXPLICIT_LITTLE if written else IMPLICIT_LITTLE


def _not_part10(buffer: bytes) -> DataError:
    # A data set without preamble begins with group 2 or 8; nothing says how it is encoded, and a
    # wrong guess would give wrong voxels.
    if buffer[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08") and len(buffer) >= PREAMBLE:
        return DataError(
            "a data set without preamble and file meta information",
            code="no-preamble",
            hint="rewrite it as a DICOM file, e.g. by dcmconv",
        )
    return DataError("not a DICOM file", code="not-dicom")
