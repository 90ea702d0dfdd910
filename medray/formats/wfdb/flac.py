"""Samples of compressed signal files, by libsndfile; see `samples`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.extras import need
from medray.formats.wfdb.header import Signal
from medray.formats.wfdb.packing import FLAC

_SUBTYPES = {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24"}
MAX_CHANNELS = 8
WHAT = "a compressed signal file"


class Compressed:
    """A FLAC file, a channel of which is a signal.

    Args:
        path: of the file.
        signals: in it.

    Raises:
        SpecError: the library is not there (code "missing-extra").
        DataError: it is no such file ("damaged-file"), or not as the header says ("bad-header").
    """

    def __init__(self, path: Path, signals: Sequence[Signal]) -> None:
        need("soundfile", what=WHAT)
        import soundfile

        self._faults: tuple[type[Exception], ...] = (
            soundfile.SoundFileError,
            RuntimeError,
            OSError,
            ValueError,
        )
        self._per_frame = signals[0].per_frame
        bits = FLAC[signals[0].coding][0]
        # Samples come left-aligned in the smallest type that libsndfile fills from them.
        self._dtype, width = ("int16", 16) if bits <= 16 else ("int32", 32)
        self._shift = width - bits
        if {one.per_frame for one in signals} != {self._per_frame} or len(signals) > MAX_CHANNELS:
            raise _unlike()
        with path.open("rb") as file:
            if file.read(4) != b"fLaC":
                raise _damaged()
        try:
            self._file = soundfile.SoundFile(path)
        except self._faults as error:
            raise _damaged() from error
        same = self._file.channels == len(signals) and self._file.subtype == _SUBTYPES[bits]
        self._length: int = max(0, self._file.frames - signals[0].offset) // self._per_frame
        try:
            if not same:
                raise _unlike()
            if signals[0].offset:
                self._file.seek(min(signals[0].offset, self._file.frames))
        except (*self._faults, DataError) as error:
            self._file.close()
            raise error if isinstance(error, DataError) else _damaged() from error

    def length(self) -> int:
        """See `samples.File`."""
        return self._length

    def read(self, frames: int) -> list[npt.NDArray[Any]]:
        """See `samples.File`."""
        count = frames * self._per_frame
        try:
            values = self._file.read(count, dtype=self._dtype, always_2d=True)
        except self._faults as error:
            raise _damaged() from error
        if len(values) < count:
            raise _damaged()
        values = np.ascontiguousarray(values.T)
        if self._shift:
            values >>= values.dtype.type(self._shift)
        return list(values)

    def close(self) -> None:
        """See `samples.File`."""
        self._file.close()


def _damaged() -> DataError:
    return DataError("a FLAC file is damaged, or none", code="damaged-file", hint="get it anew")


def _unlike() -> DataError:
    return DataError("a FLAC file has other channels than the header says", code="bad-header")
