"""One file or folder of cells x genes: surveyed while planning, read by ranges of cells."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.tabular.delimited import fingerprint

BLOCK_BYTES = 32 * 2**20  # of dense rows held at a time


@dataclass(frozen=True)
class Survey:
    """What a matrix is, without its values.

    Args:
        genes: their names.
        cells: their ids.
        digests: of each range of cells that `cut` gives.
        cut: ends of the ranges of cells that are read together, ascending; the last is all.
    """

    genes: tuple[str, ...]
    cells: tuple[str, ...]
    digests: tuple[str, ...]
    cut: tuple[int, ...]


Faults = dict[int, DataError]
"""Why a row of a block can't be taken, by its number in the block."""


@dataclass(frozen=True)
class Block:
    """Some cells.

    Args:
        cells: their ids.
        values: float32 (cells, genes).
        known: what is known of each.
        faults: of cells that can't be taken.
        lost: what is known of cells and could not be read, named by `about`.
    """

    cells: Sequence[str]
    values: np.ndarray
    known: Sequence[dict[str, Any]]
    faults: Faults = field(default_factory=dict)
    lost: Sequence[DataError] = ()


class Matrix(ABC):
    """Cells x genes in one file or folder."""

    @abstractmethod
    def survey(self) -> Survey:
        """Genes, cells and fingerprints.

        Raises:
            DataError: it is no such matrix, or damaged.
        """

    @abstractmethod
    def blocks(self, start: int, stop: int) -> Iterator[Block]:
        """Cells in order; no more of the file is read than it takes.

        Raises:
            DataError: it is damaged.
        """


def cuts(cells: int, step: int) -> tuple[int, ...]:
    """Ends of ranges of `step` cells."""
    return (*range(step, cells, step), cells)


def checked_names(names: Sequence[str], limit: int) -> tuple[str, ...]:
    """Names of genes, if there are some and not too many.

    Raises:
        DataError: "no-genes", "too-many-genes".
    """
    if not names or len(names) > limit:
        code = "too-many-genes" if names else "no-genes"
        raise DataError(f"the matrix has {len(names)} genes", code=code)
    return tuple(names)


def dense(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, genes: int, faults: Faults
) -> np.ndarray:
    """Compressed sparse rows as float32 (rows, genes); entries of one place add up.

    Args:
        data: values, of all rows.
        indices: column of each value.
        indptr: (rows + 1,), where each row's values begin, from 0.
        genes: columns.
        faults: of rows with values that are not finite ("nonfinite-values") are added here.

    Raises:
        DataError: indices are out of range ("damaged-matrix").
    """
    rows = len(indptr) - 1
    counts = np.diff(indptr)
    fits = len(data) == len(indices) == (indptr[-1] if rows else 0) and (counts >= 0).all()
    if not fits or (len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < genes):
        raise DataError("places of the matrix are out of its range", code="damaged-matrix")
    made = np.zeros((rows, genes), np.float32)
    place = np.repeat(np.arange(rows), counts), indices
    with np.errstate(invalid="ignore"):
        np.add.at(made, place, _single(data))
    return _checked(made, faults)


def finite(values: np.ndarray, faults: Faults) -> np.ndarray:
    """Rows as float32, (rows, genes).

    Args:
        values: of the file.
        faults: of rows with NaN, infinity or values beyond float32 ("nonfinite-values") are added
            here.

    Raises:
        DataError: they are no numbers ("not-numbers").
    """
    return _checked(_single(values), faults)


def _checked(values: np.ndarray, faults: Faults) -> np.ndarray:
    for row in np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
        reason = "the cell's values hold NaN, infinity or beyond"
        faults.setdefault(row, DataError(reason, code="nonfinite-values"))
    return values


def _single(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "biuf":
        raise DataError("the matrix holds no numbers", code="not-numbers")
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def strip_version(name: str) -> str:
    """An Ensembl id without its version (ENSG00000161896.6, ENST….2_PAR_Y keeps _PAR_Y)."""
    if not name.startswith("ENS"):
        return name
    base, dot, version = name.partition(".")
    number, mark, rest = version.partition("_")
    return base + mark + rest if dot and number.isdigit() else name


def unique_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names with `-1`, `-2` … after those that were there before, as scanpy does; and which were.

    Returns:
        All names, each once; and the names that occur more than once, sorted.
    """
    taken, counts = set(names), dict.fromkeys(names, 0)
    made, seen, twice = [], set(), set()
    for name in names:
        if name not in seen:
            seen.add(name)
            made.append(name)
            continue
        twice.add(name)
        while True:
            counts[name] += 1
            candidate = f"{name}-{counts[name]}"
            if candidate not in taken:
                break
        taken.add(candidate)
        made.append(candidate)
    return made, sorted(twice)


def digest_of(*parts: object) -> str:
    """A fingerprint of plain values."""
    return fingerprint([str(part) for part in parts])
