"""A bounded reader of DICOM data elements: it steps over what medray does not use.

pydicom's own parser has no limits (a 97 kB deflated file inflates to 100 MB before the first tag,
nesting is bound by Python's stack) and takes 1 to 2 ms a header. This one is linear in the bytes it
is given, allocates only the values on the allow-list in `tags`, and takes about 0.1 ms. pydicom
still decodes compressed pixels. Encoding rules: DICOM PS3.5, section 7.
"""

import itertools
import string
import struct
from dataclasses import dataclass
from functools import lru_cache

from medray.errors import DataError
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.texts import told

ITEM = 0xFFFEE000
ITEM_END = 0xFFFEE00D
SEQUENCE_END = 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF

# Value representations whose length stands in four bytes after two reserved ones.
LONG = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)

SEQUENCES = frozenset(
    {
        tags.REFERENCED_SERIES_SEQUENCE,
        tags.REFERENCED_INSTANCE_SEQUENCE,
        tags.OTHER_STUDIES_SEQUENCE,
        *tags.ABOUT_SEQUENCES,
        tags.DERIVATION_IMAGE_SEQUENCE,
        tags.PLANE_POSITION_SEQUENCE,
        tags.PLANE_ORIENTATION_SEQUENCE,
        tags.PIXEL_MEASURES_SEQUENCE,
        tags.PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
        tags.MODALITY_LUT_SEQUENCE,
        tags.SEGMENT_IDENTIFICATION_SEQUENCE,
        tags.SHARED_FUNCTIONAL_GROUPS,
        tags.PER_FRAME_FUNCTIONAL_GROUPS,
        *tags.MARKED_SEQUENCES,
    }
)

# Any two capital letters: a representation that is not known has a short length.
REPRESENTATIONS = frozenset(
    bytes(pair) for pair in itertools.product(string.ascii_uppercase.encode(), repeat=2)
)

MAX_DEPTH = 16
LARGEST = 1e12  # of a number: no length or HU is larger
MAX_VALUE_BYTES = 64 * 1024
TABLES = frozenset({tags.LUT_DATA, *tags.PALETTE_DATA})  # 65,536 entries of two bytes
KNOWN_BYTES = 128  # of values whose numbers are kept: six numbers of 16 characters, and more


class NeedMoreBytes(Exception):
    """The buffer ends before the header does: read more of the file, or call it truncated."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How elements are laid out.

    Args:
        explicit: the value representation stands in each element.
        little: little-endian byte order.
    """

    explicit: bool
    little: bool


IMPLICIT_LITTLE = Encoding(explicit=False, little=True)
EXPLICIT_LITTLE = Encoding(explicit=True, little=True)
EXPLICIT_BIG = Encoding(explicit=True, little=False)


class Elements:
    """Values by tag, decoded when asked for. An empty or absent value gives the default.

    Raises (all readers): DataError "bad-value" when a value is not of its type; the message names
    the tag and never the value.
    """

    __slots__ = ("items", "little", "raw")

    def __init__(self, little: bool) -> None:
        self.little = little
        self.raw: dict[int, bytes] = {}
        self.items: dict[int, list[Elements]] = {}

    def text(self, tag: int) -> str:
        """A string without padding; "" when absent."""
        return told(self.raw.get(tag, b""), self.raw.get(tags.SPECIFIC_CHARACTER_SET))

    def texts(self, tag: int) -> tuple[str, ...]:
        """A multi-valued string, e.g. ImageType."""
        value = self.text(tag)
        return tuple(part.strip() for part in value.split("\\")) if value else ()

    def floats(self, tag: int, count: int) -> tuple[float, ...]:
        """`count` finite decimal numbers (DS); () when absent."""
        value = self.raw.get(tag)
        if not value:
            return ()
        numbers = (_known_floats if len(value) <= KNOWN_BYTES else _floats)(value)
        if numbers and len(numbers) != count and count == 1 and len(set(numbers)) == 1:
            return numbers[:1]  # one number, said more than once
        if numbers is None or (numbers and len(numbers) != count):
            raise bad_value(tag)
        return numbers

    def number(self, tag: int, default: float) -> float:
        """One decimal number (DS)."""
        numbers = self.floats(tag, 1)
        return numbers[0] if numbers else default

    def integer(self, tag: int, default: int) -> int:
        """One integer string (IS); 1.0 and 1e0, which scanners write, are 1."""
        number = self.number(tag, default)
        if number % 1:
            raise bad_value(tag)
        return int(number)

    def unsigned(self, tag: int, default: int) -> int:
        """One binary 16-bit number (US)."""
        value = self.raw.get(tag)
        if not value:
            return default
        if len(value) != 2:
            raise bad_value(tag)
        return int.from_bytes(value, "little" if self.little else "big")

    def first(self, sequence: int) -> "Elements | None":
        """The first item of a sequence, None when it is absent or empty."""
        found = self.items.get(sequence)
        return found[0] if found else None


def _floats(value: bytes) -> tuple[float, ...] | None:
    """Decimal numbers, None where they are not all numbers."""
    value = value.strip(b" \0")
    if not value:
        return ()
    if b"_" in value:  # which Python reads between digits
        return None
    try:
        numbers = tuple(map(float, value.split(b"\\")))
    except ValueError:
        return None
    # NaN and infinity are out of range too.
    return numbers if all(-LARGEST < number < LARGEST for number in numbers) else None


_known_floats = lru_cache(4096)(_floats)  # most are those of the slice before


def bad_value(tag: int) -> DataError:
    """The error for a value that is not of its type."""
    return DataError(
        f"element ({tag >> 16:04X},{tag & 0xFFFF:04X}) holds a value of the wrong form",
        code="bad-value",
        hint="repair the header at its source",
    )


_LAYOUTS = {
    encoding: (
        struct.Struct(order + ("HH2sH" if encoding.explicit else "HHL")).unpack_from,
        struct.Struct(order + "L").unpack_from,
        struct.Struct(order + "HHL").unpack_from,
    )
    for encoding, order in ((IMPLICIT_LITTLE, "<"), (EXPLICIT_LITTLE, "<"), (EXPLICIT_BIG, ">"))
}


class Walker:
    """Steps through elements of one buffer, collecting the wanted ones.

    Args:
        buffer: the start of a file, or all of it.
        size: bytes of the whole file; elements that pass beyond it are a truncation.
    """

    def __init__(self, buffer: bytes, size: int) -> None:
        self.buffer = buffer
        self.size = size
        # Set when the walk reaches the pixels: (tag, start, length, as bytes).
        self.pixels: tuple[int, int, int, bool] | None = None
        # Of the top level, for `forms`: bytes that told where elements lie, and wanted values.
        self.steps: list[slice] = []
        self.values: dict[int, slice] = {}

    def meta(self, at: int) -> tuple[Elements, int]:
        """Walk the file meta information (group 2, always explicit little endian) from `at`.

        Its group length is not trusted: the group ends where another one begins.

        Raises:
            NeedMoreBytes, DataError: as for `dataset`.
        """
        head, long, _ = _LAYOUTS[EXPLICIT_LITTLE]
        found = Elements(little=True)
        while at + 8 <= self.size:
            if at + 12 > len(self.buffer):
                if len(self.buffer) < self.size:
                    raise NeedMoreBytes
                raise truncated()
            group, element, vr, length = head(self.buffer, at)
            if group != 2:
                break
            head_at, start = at, at + 8
            if vr in LONG:
                length = long(self.buffer, start)[0]
                start = at + 12
            at = start + length
            if at > self.size:
                raise truncated()
            if at > len(self.buffer):
                raise NeedMoreBytes
            tag = group << 16 | element
            wanted = tag in tags.WANTED
            self.steps.append(slice(head_at, at if wanted else start))
            if wanted:
                found.raw[tag] = self.buffer[start:at]
        return found, at

    def dataset(
        self, at: int, end: int, encoding: Encoding, depth: int = 0, keep: bool = True
    ) -> tuple[Elements, int]:
        """Walk elements from `at` to `end`, to the end of an item, or to the pixels.

        Returns:
            The wanted values, and the offset behind the last element walked.

        Raises:
            NeedMoreBytes: the buffer ended inside an element that the file may still hold.
            DataError: "malformed-element", "too-deep", "truncated-header".
        """
        found = Elements(encoding.little)
        buffer, have = self.buffer, len(self.buffer)
        head, long, _ = _LAYOUTS[encoding]
        explicit, raw = encoding.explicit, found.raw
        while at + 8 <= end:
            if at + 8 > have:
                raise NeedMoreBytes
            if explicit:
                group, element, vr, length = head(buffer, at)
            else:
                group, element, length = head(buffer, at)
                vr = b""
            tag = group << 16 | element
            start = at + 8
            if group == 0xFFFE:
                if tag == ITEM_END and depth:
                    return found, start
                raise malformed()
            if explicit:
                if vr in LONG:
                    if at + 12 > have:
                        raise NeedMoreBytes
                    length = long(buffer, start)[0]
                    start = at + 12
                elif vr not in REPRESENTATIONS:
                    raise malformed()
            if not depth:
                self.steps.append(slice(at, start))
            if group == 0x7FE0 and depth == 0 and element in (0x8, 0x9, 0x10):
                self.pixels = (tag, start, length, vr == b"OB")
                return found, start
            wanted = keep and tag in tags.WANTED
            if length == UNDEFINED or vr == b"SQ" or (wanted and tag in SEQUENCES):
                # An UN of undefined length is a sequence in implicit little endian (PS3.5 6.2.2).
                inner = IMPLICIT_LITTLE if vr == b"UN" else encoding
                if wanted or length == UNDEFINED:
                    items, at = self._sequence(start, end, length, inner, depth + 1, wanted)
                    if not depth:
                        self.steps.append(slice(start, at))
                    if wanted:
                        found.items[tag] = items
                    continue
            at = start + length
            if at > end:
                raise truncated()
            if wanted:
                if length > (2 * MAX_VALUE_BYTES if tag in TABLES else MAX_VALUE_BYTES):
                    raise malformed()
                if at > have:
                    raise NeedMoreBytes
                raw[tag] = buffer[start:at]
                if not depth:
                    self.values[tag] = slice(start, at)
        if end - at > 0 and buffer[at:end].strip(b"\0"):
            raise truncated()
        return found, end

    def _sequence(
        self, at: int, end: int, length: int, encoding: Encoding, depth: int, keep: bool
    ) -> tuple[list[Elements], int]:
        if depth > MAX_DEPTH:
            raise DataError(f"sequences nest deeper than {MAX_DEPTH}", code="too-deep")
        stop = end if length == UNDEFINED else at + length
        if stop > end:
            raise truncated()
        _, _, unpack = _LAYOUTS[encoding]
        found: list[Elements] = []
        while at < stop:
            if at + 8 > len(self.buffer):
                raise NeedMoreBytes
            group, element, item_length = unpack(self.buffer, at)
            tag = group << 16 | element
            at += 8
            if tag == SEQUENCE_END:
                return found, at
            if tag != ITEM:
                raise malformed()
            item_end = stop if item_length == UNDEFINED else at + item_length
            if item_end > stop:
                raise truncated()
            if keep or item_length == UNDEFINED:
                item, at = self.dataset(at, item_end, encoding, depth, keep)
                if keep:
                    found.append(item)
            else:
                at = item_end
        if length == UNDEFINED:
            raise truncated()
        return found, stop


def malformed() -> DataError:
    """The error for bytes that are no data element."""
    return DataError(
        "the header holds bytes that are no data element",
        code="malformed-element",
        hint="rewrite the file with its transfer syntax, e.g. by dcmconv",
    )


def truncated() -> DataError:
    """The error for an element that reaches beyond the end of the file or its sequence."""
    return DataError(
        "an element reaches beyond the end of the file",
        code="truncated-header",
        hint="fetch the file again",
    )
