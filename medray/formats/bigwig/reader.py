"""bigWig files by pybigtools, whose panics become errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pybigtools

from medray.errors import DataError
from medray.formats.bigwig.trees import check

SLAB_BINS = 2**18


class BigWig:
    """One file, opened for each use: readers must not cross processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def contigs(self) -> dict[str, int]:
        """The contigs and their bases.

        Raises:
            DataError: "not-bigwig", "damaged-bigwig", "compression-bomb".
        """
        with self._opened() as file:
            lengths = {str(name): int(length) for name, length in file.chroms().items()}
            if not all(lengths.values()):
                raise DataError("a contig has no bases", code="damaged-bigwig")
            if not all(name.isprintable() and name for name in lengths):
                raise DataError("a contig has no name that can be read", code="damaged-bigwig")
            return lengths

    def bins(self, contig: str, length: int, width: int, empty: float) -> Iterator[np.ndarray]:
        """Means of the values in each bin, float32 (bins,), in slabs; none are of zoom levels.

        Args:
            contig: asked for.
            length: its bases, as in the file.
            width: bases of a bin; the last may have fewer.
            empty: of bases without a value: NaN leaves them out of the means, 0 counts them as 0.

        Raises:
            DataError: as `contigs`.
        """
        uncovered = None if np.isnan(empty) else empty
        whole = length - length % width
        step = SLAB_BINS * width
        edges = [(at, min(whole, at + step), width) for at in range(0, whole, step)]
        if whole < length:
            edges.append((whole, length, length - whole))
        if not check(self._path):
            for start, end, bases in edges:
                yield np.full((end - start) // bases, empty, np.float32)
            return
        with self._opened() as file:
            for start, end, bases in edges:
                values = file.values(
                    contig,
                    start,
                    end,
                    bins=(end - start) // bases,
                    exact=True,
                    uncovered=uncovered,
                    fillna=None,
                )
                yield np.asarray(values).astype(np.float32)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        check(self._path)
        try:
            with pybigtools.open(str(self._path)) as file:
                yield file
        except DataError:
            raise
        except Exception as error:
            raise DataError("the bigWig file is damaged", code="damaged-bigwig") from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise DataError("the bigWig file is damaged", code="damaged-bigwig") from error
