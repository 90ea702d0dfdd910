"""Compressed frames before they are decoded: where they end, and how large they say they are."""

import struct

from medray.errors import DataError

# (FFFE,E000) and (FFFE,E0DD) as little-endian numbers of 32 bits.
FRAGMENT, FRAGMENTS_END = 0xE000FFFE, 0xE0DDFFFE
# .90 to .93, and high-throughput JPEG 2000: .201 to .203.
JPEG_2000 = ("1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.20")
RLE = "1.2.840.10008.1.2.5"
JPEG_FAMILY = "1.2.840.10008.1.2.4."
END_OF_IMAGE = b"\xff\xd9"  # of all of the family; no coded data hold it
TRAILING_BYTES = 256  # of padding that may follow

# Third-party decoders raise all of these on damaged frames; the message may quote the file.
DECODER_FAULTS = (
    ArithmeticError,
    AttributeError,
    BufferError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)


def fragments_end(buffer: bytes, at: int) -> int:
    """Offset behind the encapsulated fragments that begin at `at` (PS3.5, A.4).

    Raises:
        DataError: "truncated-pixels", or "undecodable" where something else than fragments follows.
    """
    while at + 8 <= len(buffer):
        tag, length = struct.unpack_from("<LL", buffer, at)
        at += 8
        if tag == FRAGMENTS_END:
            return at
        if tag != FRAGMENT:
            raise DataError("the fragments of the pixels are damaged", code="undecodable")
        at += length
    raise DataError(
        "the file ends within its compressed pixels",
        code="truncated-pixels",
        hint="fetch the file again",
    )


def check_codestreams(
    source: bytes, syntax: str, frames: int, frame_bytes: int, size: tuple[int, int, int]
) -> None:
    """Hold what each compressed frame claims for itself against the header.

    Args:
        source: the fragments of all frames.
        syntax: transfer syntax UID.
        frames: how many there must be.
        frame_bytes: of a decoded frame.
        size: (rows, columns, samples) of each.

    Raises:
        DataError: "undecodable", "truncated-pixels", "codestream-mismatch".
    """
    from pydicom.encaps import generate_frames

    try:
        encoded = list(generate_frames(source, number_of_frames=frames))
    except DECODER_FAULTS as error:
        raise DataError(
            f"the fragments of the pixels are damaged ({type(error).__name__})",
            code="undecodable",
        ) from None
    if len(encoded) != frames:
        raise DataError(f"{len(encoded)} of {frames} frames are there", code="truncated-pixels")
    for frame in encoded:
        if syntax == RLE:
            # PackBits grows by 1/128 at worst; a run of 2 bytes can become 128, so an oversized
            # frame could fill memory.
            if len(frame) > 2 * frame_bytes + 1024:
                raise DataError("an RLE frame larger than its pixels", code="codestream-mismatch")
        elif syntax.startswith(JPEG_FAMILY):
            if _claimed_size(frame, syntax) != size:
                raise DataError(
                    "a compressed frame is of another size than the header says",
                    code="codestream-mismatch",
                )
            # Decoders fill up what is missing with grey, some without a word.
            if frame.rfind(END_OF_IMAGE, -TRAILING_BYTES) < 0:
                raise DataError("a compressed frame breaks off", code="truncated-pixels")


def _claimed_size(frame: bytes, syntax: str) -> tuple[int, int, int] | None:
    """Rows, columns and samples that a JPEG, JPEG-LS or JPEG 2000 codestream claims."""
    if syntax.startswith(JPEG_2000):
        # The SIZ marker follows the start of the codestream (ISO 15444-1, A.5.1), which JP2 boxes
        # may precede.
        at = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
        if at < 0 or at + 42 > len(frame):
            return None
        x1, y1, x0, y0 = struct.unpack_from(">4L", frame, at + 8)
        return y1 - y0, x1 - x0, int.from_bytes(frame[at + 40 : at + 42], "big")
    at = 2
    while at + 10 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker == 0xFF:
            at += 1
            continue
        # Start of frame: SOF0..SOF15 without DHT, JPG and DAC; SOF55 is JPEG-LS.
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns, samples = struct.unpack_from(">HHB", frame, at + 5)
            return rows, columns, samples
        at += 2 + length
    return None
