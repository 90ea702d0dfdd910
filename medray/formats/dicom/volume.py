"""Slices to one volume, in the narrowest type that holds every value exactly."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.dicom.headers.headers import LIMITS, Limits


class Volume:
    """A stack of rescaled slices, integers for as long as they are exact.

    int16 where all values fit, else int32; float32 once a slope or an intercept is no integer.
    The type depends on the values alone, so every worker and every order gives the same.

    Args:
        shape: (C, Z, Y, X).
        limits: sizes to refuse.
    """

    def __init__(self, shape: tuple[int, int, int, int], limits: Limits = LIMITS) -> None:
        if math.prod(shape) * 4 > limits.sample_bytes:
            raise DataError(f"a volume of {shape}", code="too-large")
        self.array: npt.NDArray[Any] = np.empty(shape, np.int16)
        self._low, self._high = math.inf, -math.inf

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value of the slices that were set."""
        kind = self.array.dtype.type  # float32 may have rounded what came as an integer
        return float(kind(self._low)), float(kind(self._high))

    def put(self, index: int, stored: npt.NDArray[Any], slope: float, intercept: float) -> None:
        """Set slice `index` along Z to stored * slope + intercept; `stored` is (C, Y, X).

        Raises:
            DataError: "mixed-size" (another shape), "value-range" (beyond 32 bits).
        """
        if stored.shape != (self.array.shape[0], *self.array.shape[2:]):
            raise DataError("slices of one series differ in size", code="mixed-size")
        exact = stored.dtype.kind in "iu" and slope % 1 == 0 and intercept % 1 == 0
        if not exact:
            self._widen(np.dtype(np.float32))
            out = self.array[:, index]
            out[...] = stored * np.float64(slope) + intercept
            self._reach(float(out.min()), float(out.max()))
            return
        ends = [int(value) * int(slope) + int(intercept) for value in (stored.min(), stored.max())]
        low, high = min(ends), max(ends)
        self._reach(low, high)
        if low < -(2**31) or high >= 2**31:
            raise DataError("rescaled values need more than 32 bits", code="value-range")
        if low < -(2**15) or high >= 2**15:
            self._widen(np.dtype(np.int32))
        out = self.array[:, index]
        if slope == 1 and out.dtype == np.int16 and stored.dtype.itemsize == 2:
            # Addition modulo 2**16 is exact, since the sum is known to fit.
            np.add(stored.view(np.int16), np.int16(_wrapped(int(intercept))), out=out)
        else:
            out[...] = stored.astype(np.int64) * int(slope) + int(intercept)

    def _reach(self, low: float, high: float) -> None:
        self._low, self._high = min(self._low, low), max(self._high, high)

    def _widen(self, dtype: np.dtype[Any]) -> None:
        if self.array.dtype != np.float32 and self.array.dtype != dtype:
            self.array = self.array.astype(dtype)


def _wrapped(value: int) -> int:
    return (value + 2**15) % 2**16 - 2**15
