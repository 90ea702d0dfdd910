"""An array of a stored sample, to be sliced, however it lies in its shard."""

from types import EllipsisType
from typing import Any

import numpy as np

from medray.storage.shards.array_reader import ArrayReader


class SampleArray:
    """One sample's array: whole, one row of a stack, or some rows of what is ragged.

    Slices read only what they touch.

    Args:
        reader: of what is stored.
        where: None: all of it is the sample's; a number: the row; or where its rows begin and end.
    """

    def __init__(self, reader: ArrayReader, where: int | tuple[int, int] | None) -> None:
        self._reader, self._where = reader, where

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the sample's array."""
        if isinstance(self._where, tuple):
            return self._where[1] - self._where[0], *self._reader.shape[1:]
        return self._reader.shape if self._where is None else self._reader.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its data type."""
        return self._reader.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def chunk(self) -> tuple[int, ...]:
        """Inner chunk, the least that a read decodes."""
        chunk = self._reader.meta.chunk
        return chunk[1:] if isinstance(self._where, int) else chunk

    def __getitem__(self, window: tuple[slice, ...] | slice | EllipsisType) -> np.ndarray:
        """Values of the window; `[...]` is all of it."""
        if isinstance(window, EllipsisType):
            window = ()
        window = window if isinstance(window, tuple) else (window,)
        if self._where is None:
            return self._reader[window]
        if isinstance(self._where, tuple):
            first, *rest = window or (slice(None),)
            low, high, _ = first.indices(self.shape[0])
            start = self._where[0]
            return self._reader[(slice(start + low, start + max(low, high)), *rest)]
        values: np.ndarray = self._reader[(slice(self._where, self._where + 1), *window)][0]
        return values

    def windows(self, starts: np.ndarray, length: int) -> np.ndarray:
        """See `ArrayReader.windows`; of a small array, which lies in a stack, all of it is read."""
        if self._where is None:
            return self._reader.windows(starts, length)
        whole = self[...]
        out = np.zeros((len(starts), *self.shape[:-1], length), self.dtype)
        for window, start in zip(out, starts.tolist(), strict=True):
            low, high = max(0, start), max(0, min(start + length, self.shape[-1]))
            if high > low:
                window[..., low - start : high - start] = whole[..., low:high]
        return out
