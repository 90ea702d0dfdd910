"""Lookup tables: from stored values to the modality's unit, or from indices to colours.

A window (VOI LUT) is how to show values and never applied here (PS3.3, C.11.1 and C.7.6.3.1.5).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import Elements, bad_value

MOST_ENTRIES = 2**16
DOUBLE = 8  # bytes of a number of VR FD


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """Values by index.

    Args:
        first: stored value of the first entry; what lies below takes it, what lies beyond the last
            entry takes that.
        values: the entries, uint16.
        bits: of an entry, 8 to 16.
    """

    first: int
    values: npt.NDArray[np.uint16]
    bits: int

    def __call__(self, stored: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
        """The values of an array of stored ones."""
        return self.values[np.clip(stored.astype(np.int64) - self.first, 0, len(self.values) - 1)]


def modality_lookup(top: Elements) -> Lookup | None:
    """The Modality LUT of a file, None where it has none.

    Raises:
        DataError: "bad-value"; "ambiguous-rescale" (a slope or intercept beside the table).
    """
    item = top.first(tags.MODALITY_LUT_SEQUENCE)
    if item is None:
        return None
    if (top.number(tags.RESCALE_SLOPE, 1), top.number(tags.RESCALE_INTERCEPT, 0)) != (1, 0):
        raise DataError(
            "a Modality LUT and a rescale slope or intercept: which one holds is not said",
            code="ambiguous-rescale",
            hint="remove one of the two",
        )
    signed = top.unsigned(tags.PIXEL_REPRESENTATION, 0) == 1
    return _lookup(item, tags.LUT_DESCRIPTOR, tags.LUT_DATA, signed)


def drawn_scale(top: Elements) -> tuple[float, float] | None:
    """Slope and intercept of a drawn image (Synthetic Data is YES) by its Real World Value Mapping,
    as captures allow no rescaling; None where it has none, or one that is a table.

    Raises:
        DataError: "bad-value".
    """
    item = top.first(tags.REAL_WORLD_VALUE_MAPPING_SEQUENCE)
    if item is None or top.text(tags.SYNTHETIC_DATA).upper() != "YES":
        return None
    found = []
    for tag in (tags.REAL_WORLD_VALUE_SLOPE, tags.REAL_WORLD_VALUE_INTERCEPT):
        raw = item.raw.get(tag)
        if not raw:
            return None
        if len(raw) != DOUBLE:
            raise bad_value(tag)
        found.append(float(np.frombuffer(raw, "<f8" if item.little else ">f8")[0]))
    slope, intercept = found
    if not slope or not np.isfinite(found).all():
        raise bad_value(tags.REAL_WORLD_VALUE_SLOPE)
    return slope, intercept


def palette(top: Elements) -> tuple[Lookup, Lookup, Lookup]:
    """The tables of red, green and blue.

    Raises:
        DataError: "bad-value"; "unsupported-pixels" (the tables are absent, or segmented).
    """
    if any(tag not in top.raw for tag in (*tags.PALETTE_DESCRIPTORS, *tags.PALETTE_DATA)):
        raise DataError("a palette that is absent, or segmented", code="unsupported-pixels")
    signed = top.unsigned(tags.PIXEL_REPRESENTATION, 0) == 1
    red, green, blue = (
        _lookup(top, descriptor, data, signed)
        for descriptor, data in zip(tags.PALETTE_DESCRIPTORS, tags.PALETTE_DATA, strict=True)
    )
    return red, green, blue


def _lookup(item: Elements, descriptor: int, data: int, signed: bool) -> Lookup:
    numbers = _words(item, descriptor, 3)
    if numbers is None:
        raise bad_value(descriptor)
    # 65,536 does not fit in 16 bits and is written as 0.
    entries, first, bits = int(numbers[0]) or MOST_ENTRIES, int(numbers[1]), int(numbers[2])
    # Whatever the descriptor's own representation says, the first value is of the pixels' sign.
    if signed and first >= 2**15:
        first -= 2**16
    values = _words(item, data, entries)
    if values is None or not 8 <= bits <= 16:
        raise bad_value(data if values is None else descriptor)
    return Lookup(first, values & np.uint16((1 << bits) - 1), bits)


def _words(item: Elements, tag: int, count: int) -> npt.NDArray[np.uint16] | None:
    """`count` numbers of 16 bits, which may be packed in 8; None when absent."""
    value = item.raw.get(tag)
    if not value:
        return None
    if len(value) == count + count % 2:
        return np.frombuffer(value, np.uint8, count).astype(np.uint16)
    if len(value) < 2 * count:
        raise bad_value(tag)
    return np.frombuffer(value, "<u2" if item.little else ">u2", count).astype(np.uint16)
