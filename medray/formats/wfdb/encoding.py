"""Samples as binary signal files hold them: what `packing` decodes, the other way."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
BLOCK = 2**18  # samples that are encoded together, about
STEP = 6  # frames in a block are a multiple of it, so that no unit is cut
LIMITS = {80: (-(2**7), 2**7 - 1), 310: (-(2**9), 2**9 - 1), 212: (-(2**11), 2**11 - 1)} | {
    16: (-(2**15), 2**15 - 1), 24: (-(2**23), 2**23 - 1), 32: (-(2**31), 2**31 - 1)
}  # fmt: skip
"""Least and greatest sample, of the storage formats that are written."""


def encode(coding: int, signals: Sequence[Values], widths: Sequence[int]) -> Iterator[bytes]:
    """The bytes of a signal file, in blocks.

    Args:
        coding: number of the storage format, of `LIMITS`.
        signals: samples of each, within the limits.
        widths: samples of each in a frame.
    """
    frames, width = len(signals[0]) // widths[0], sum(widths)
    step = max(1, BLOCK // width // STEP) * STEP
    for start in range(0, frames, step):
        stop = min(start + step, frames)
        block = [
            np.asarray(own[start * wide : stop * wide]).reshape(stop - start, wide)
            for own, wide in zip(signals, widths, strict=True)
        ]
        yield _ENCODERS[coding](np.concatenate(block, axis=1).reshape(-1))


def _bits_212(values: Values) -> bytes:
    count = len(values)
    pairs = np.zeros((-(-count // 2), 2), np.uint16)
    pairs.reshape(-1)[:count] = values.astype(np.int16).view(np.uint16) & 0xFFF
    made = np.empty((len(pairs), 3), np.uint8)
    made[:, 0] = pairs[:, 0] & 0xFF
    made[:, 1] = (pairs[:, 0] >> 8) | ((pairs[:, 1] >> 8) << 4)
    made[:, 2] = pairs[:, 1] & 0xFF
    return made.tobytes()[: len(made) * 3 - count % 2]


def _bits_310(values: Values) -> bytes:
    count = len(values)
    threes = np.zeros((-(-count // 3), 3), np.uint16)
    threes.reshape(-1)[:count] = values.astype(np.int16).view(np.uint16) & 0x3FF
    words = np.empty((len(threes), 2), "<u2")
    words[:, 0] = (threes[:, 0] << 1) | ((threes[:, 2] & 0x1F) << 11)
    words[:, 1] = (threes[:, 1] << 1) | ((threes[:, 2] >> 5) << 11)
    return words.tobytes()[: len(words) * 4 - (0, 2, 0)[count % 3]]


def _bits_24(values: Values) -> bytes:
    return values.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


_ENCODERS: dict[int, Callable[[Values], bytes]] = {
    16: lambda values: values.astype("<i2").tobytes(),
    24: _bits_24,
    32: lambda values: values.astype("<i4").tobytes(),
    80: lambda values: (values.astype(np.int16) + 128).astype(np.uint8).tobytes(),
    212: _bits_212,
    310: _bits_310,
}
