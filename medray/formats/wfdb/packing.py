"""How binary signal files hold samples: bytes to integers, by the WFDB signal formats."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError

Bytes = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Coding:
    """One storage format.

    Args:
        bits: of a sample.
        dtype: that holds the samples.
        missing: the sample that stands for none; None: there is no such.
        per_unit: samples in what is decoded together, the unit.
        unit: bytes of it.
        tails: bytes that the first samples of a unit take, where a file ends so.
        decode: whole units, uint8 (n * unit,), into samples (per_unit, n): the first of each unit,
            then the second of each, …
    """

    bits: int
    dtype: str
    missing: int | None
    per_unit: int
    unit: int
    tails: tuple[int, ...]
    decode: Callable[[Bytes], Values]

    def size(self, samples: int) -> int:
        """Bytes of so many samples."""
        return samples // self.per_unit * self.unit + self.tails[samples % self.per_unit]

    def samples(self, size: int) -> int:
        """Samples in so many bytes, which may end inside of a unit."""
        whole, rest = divmod(size, self.unit)
        return whole * self.per_unit + sum(tail <= rest for tail in self.tails[1:])


def _plain(dtype: str) -> Callable[[Bytes], Values]:
    native = np.dtype(dtype).newbyteorder("=")
    return lambda data: data.view(dtype).astype(native, copy=False)[None]


def _offset_8(data: Bytes) -> Values:
    return (data.astype(np.int16) - np.int16(128))[None]


def _offset_16(data: Bytes) -> Values:
    words = data.view("<u2").astype(np.uint16, copy=False)
    return (words ^ np.uint16(0x8000)).view(np.int16)[None]


def _bits_24(data: Bytes) -> Values:
    cells = data.reshape(-1, 3)
    made = cells[:, 2].view(np.int8).astype(np.int32)
    made <<= 16
    made |= cells[:, :2].view("<u2")[:, 0]
    return made[None]


def _bits_212(data: Bytes) -> Values:
    """Two samples in three bytes: the middle one has the upper bits of both.

    Each is brought to the upper twelve of 16 bits by passes over words as they lie across bytes,
    a third of the time that bytes taken one by one need.
    """
    units = len(data) // 3
    made = np.empty((2, units), np.uint16)
    first, second = made
    np.left_shift(np.ndarray(units, "<u2", data, 0, 3), 4, out=first)
    second[...] = np.ndarray(units, "<u2", data, 1, 3)
    upper = second << np.uint16(8)
    upper &= np.uint16(0xF000)
    second >>= np.uint16(4)
    second |= upper
    return _signed(made, 4)


def _bits_310(data: Bytes) -> Values:
    """Three samples in two words: of each word ten bits above its lowest, and of the third sample
    the uppermost five of the first word, then of the second."""
    first, second = data.view("<u2").astype(np.uint16, copy=False).reshape(-1, 2).T
    made = np.empty((3, len(first)), np.uint16)
    np.left_shift(first, 5, out=made[0])
    np.left_shift(second, 5, out=made[1])
    made[2] = (first >> np.uint16(11)) << np.uint16(6)
    made[2] |= (second >> np.uint16(11)) << np.uint16(11)
    return _signed(made, 6)


def _bits_311(data: Bytes) -> Values:
    """Three samples in 32 bits, from the lowest on."""
    words = data.view("<u4")
    made = np.empty((3, len(words)), np.uint16)
    for at in range(3):
        made[at] = words >> np.uint32(10 * at)
    made <<= np.uint16(6)
    return _signed(made, 6)


def _signed(made: Values, spare: int) -> Values:
    """Samples that lie above so many spare bits of 16, as the numbers that they are."""
    found = made.view(np.int16)
    found >>= np.int16(spare)
    return found


CODINGS = {
    8: Coding(8, "int16", None, 1, 1, (0,), _plain("i1")),  # differences: see `samples`
    16: Coding(16, "int16", -(2**15), 1, 2, (0,), _plain("<i2")),
    24: Coding(24, "int32", -(2**23), 1, 3, (0,), _bits_24),
    32: Coding(32, "int32", -(2**31), 1, 4, (0,), _plain("<i4")),
    61: Coding(16, "int16", -(2**15), 1, 2, (0,), _plain(">i2")),
    80: Coding(8, "int16", -(2**7), 1, 1, (0,), _offset_8),
    160: Coding(16, "int16", -(2**15), 1, 2, (0,), _offset_16),
    212: Coding(12, "int16", -(2**11), 2, 3, (0, 2), _bits_212),
    310: Coding(10, "int16", -(2**9), 3, 4, (0, 2, 4), _bits_310),
    311: Coding(10, "int16", -(2**9), 3, 4, (0, 2, 3), _bits_311),
}
DIFFERENCES = 8
FLAC = {508: (8, -(2**7)), 516: (16, -(2**15)), 524: (24, -(2**23))}
"""Bits of a sample, and the one that stands for none, of the formats of compressed files."""
WIDE = frozenset({24, 32, 524})


def missing_of(coding: int) -> int | None:
    """The sample that stands for none in a storage format, compressed ones and 0 included.

    Raises:
        DataError: there is no such format (code "unknown-coding").
    """
    if coding in FLAC:
        return FLAC[coding][1]
    if coding == 0:
        return -(2**15)
    return coding_of(coding).missing


def coding_of(number: int) -> Coding:
    """The storage format of a number.

    Raises:
        DataError: there is none (code "unknown-coding").
    """
    if number not in CODINGS:
        raise DataError(
            "a signal has a storage format that does not exist",
            code="unknown-coding",
            hint="8, 16, 24, 32, 61, 80, 160, 212, 310, 311, 508, 516 and 524 are read",
        )
    return CODINGS[number]
