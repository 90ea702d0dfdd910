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
        decode: whole units, uint8 (n * unit,), into samples (n * per_unit,).
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
    return lambda data: data.view(dtype).astype(np.dtype(dtype).newbyteorder("="), copy=False)


def _offset_8(data: Bytes) -> Values:
    return data.astype(np.int16) - np.int16(128)


def _offset_16(data: Bytes) -> Values:
    return (data.view("<u2").astype(np.uint16, copy=False) ^ np.uint16(0x8000)).view(np.int16)


def _bits_24(data: Bytes) -> Values:
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    wide[:, 1:] = data.reshape(-1, 3)
    return wide.view("<i4")[:, 0] >> np.int32(8)


def _bits_212(data: Bytes) -> Values:
    """Two samples in three bytes: the middle one has the upper bits of both."""
    middle = data[1::3].astype(np.uint16)
    made = np.empty((len(middle), 2), np.uint16)
    np.left_shift(middle, 12, out=made[:, 0])
    made[:, 0] |= data[0::3].astype(np.uint16) << np.uint16(4)
    np.left_shift(middle & np.uint16(0xF0), 8, out=made[:, 1])
    made[:, 1] |= data[2::3].astype(np.uint16) << np.uint16(4)
    return (made.view(np.int16) >> np.int16(4)).reshape(-1)


def _bits_310(data: Bytes) -> Values:
    """Three samples in two words: of each word ten bits above its lowest, and of the third sample
    the uppermost five of the first word, then of the second."""
    words = data.view("<u2").astype(np.uint16, copy=False).reshape(-1, 2)
    made = np.empty((len(words), 3), np.uint16)
    made[:, :2] = words << np.uint16(5)
    made[:, 2] = ((words[:, 0] >> np.uint16(11)) << np.uint16(6)) | (
        (words[:, 1] >> np.uint16(11)) << np.uint16(11)
    )
    return (made.view(np.int16) >> np.int16(6)).reshape(-1)


def _bits_311(data: Bytes) -> Values:
    """Three samples in 32 bits, from the lowest on."""
    words = data.view("<u4")
    made = np.empty((len(words), 3), np.uint16)
    for at in range(3):
        made[:, at] = (words >> np.uint32(10 * at)).astype(np.uint16) << np.uint16(6)
    return (made.view(np.int16) >> np.int16(6)).reshape(-1)


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
