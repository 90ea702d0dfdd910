"""Folders as those of Davis and KIBA: compounds and proteins in JSON, a matrix of values, folds.

Rows and columns of the matrix are in the order of the JSON files' keys, and a value that is not
there was not measured. Of folds there are lists of positions in the matrix, row by row: of all its
cells, or of those with a value, which makes a difference where some have none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from medray.errors import DataError
from medray.formats.pairs.options import Scale
from medray.formats.tabular.json_text import value_of
from medray.formats.tabular.numbers import MISSING

MOST_BYTES = 2**28  # of a file
LARGEST = 30  # no affinity on a logarithmic scale comes near it: avidin's pKd is 15
CELLS = 2**17  # of a slice, about

Numbering = Literal["measured", "matrix"]


@dataclass(frozen=True)
class Matrix:
    """Compounds, proteins, and what was measured.

    Args:
        compounds: id → SMILES, in the order of rows.
        proteins: id → sequence, in the order of columns.
        values: float64 (compounds, proteins), NaN where nothing was measured or a cell is bad.
        bad: bool (compounds, proteins), where a cell holds no number.
    """

    compounds: dict[str, str]
    proteins: dict[str, str]
    values: np.ndarray
    bad: np.ndarray

    @cached_property
    def measured(self) -> np.ndarray:
        """Which cells hold something, bool (compounds, proteins)."""
        there: np.ndarray = ~np.isnan(self.values) | self.bad
        return there

    @property
    def scale(self) -> Scale:
        """What the values tell: nM where one is too large for a logarithm."""
        return "nM" if (self.values > LARGEST).any() else "p"

    @property
    def slices(self) -> list[tuple[int, int]]:
        """Rows that are read together, from and to."""
        rows = max(1, CELLS // max(1, len(self.proteins)))
        count = len(self.compounds)
        return [(start, min(start + rows, count)) for start in range(0, count, rows)]


def texts(path: Path) -> dict[str, str]:
    """A JSON object of texts, in its order.

    Raises:
        DataError: it is none (code "bad-json"), an id comes twice ("duplicate-id"), or it is too
            large ("too-large").
    """
    found = _json(path, _distinct)
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise DataError("the file is no JSON object of texts", code="bad-json")
    return found


def load(compounds: dict[str, str], proteins: dict[str, str], path: Path) -> Matrix:
    """The matrix of these compounds and proteins.

    Raises:
        DataError: it has not as many rows and columns (code "wrong-shape"), or is no text.
    """
    lines = [line for line in _text(path).replace(",", " ").splitlines() if line.strip()]
    if len(lines) != len(compounds):
        raise _wrong(f"{len(lines)} rows for {len(compounds)} compounds")
    cells: list[str] = []
    for line in lines:
        cells += (row := line.split())
        if len(row) != len(proteins):
            raise _wrong(f"{len(row)} columns for {len(proteins)} proteins")
    values = np.empty(len(cells))
    bad = np.zeros(len(cells), bool)
    for at, cell in enumerate(cells):
        try:
            values[at] = np.nan if cell in MISSING else float(cell)
        except ValueError:
            values[at] = np.inf
        if np.isinf(values[at]) or "_" in cell:
            values[at], bad[at] = np.nan, True
    shape = len(compounds), len(proteins)
    return Matrix(compounds, proteins, values.reshape(shape), bad.reshape(shape))


def lists(path: Path) -> list[np.ndarray]:
    """Positions of a list, or of each of several: int64.

    Raises:
        DataError: they are none (code "bad-folds").
    """
    found = _json(path)
    nested = isinstance(found, list) and all(isinstance(one, list) for one in found)
    several = found if nested else [found]
    for one in several:
        if not isinstance(one, list) or not all(type(n) is int and 0 <= n < 2**62 for n in one):
            raise DataError("the file is no list of positions", code="bad-folds")
    return [np.array(one, np.int64) for one in several]


def numbered(
    matrix: Matrix, folds: Sequence[Sequence[np.ndarray]], asked: Literal["auto"] | Numbering
) -> Numbering:
    """What positions count.

    Args:
        matrix: that they are of.
        folds: of the train list or lists, of the test list.
        asked: by the job.

    Raises:
        DataError: they are beyond it (code "bad-folds"), come twice ("overlapping-folds"), or
            may count either ("ambiguous-folds").
    """
    found = np.concatenate([one for several in folds for one in several])
    count = int(matrix.measured.sum())
    last = int(found.max(initial=-1))
    if last >= (count if asked == "measured" else matrix.measured.size):
        raise DataError("a position lies beyond the matrix", code="bad-folds")
    if len(np.unique(found)) < len(found):
        raise DataError("a position is in two lists, or twice in one", code="overlapping-folds")
    if asked != "auto":
        return asked
    if last >= count or count == matrix.measured.size:
        return "matrix"
    if len(found) == count or not matrix.measured.ravel()[found].all():
        return "measured"
    raise DataError(
        "positions of folds may count cells, or values that are measured",
        code="ambiguous-folds",
        hint="say `numbering: matrix` or `numbering: measured`",
    )


@dataclass(frozen=True)
class Folds:
    """Where each cell of a matrix belongs.

    Args:
        part: int8 (cells,): 0 train, 1 test, -1 neither.
        fold: int16 (cells,): which of the train lists, -1 where none, or there is one alone.
    """

    part: np.ndarray
    fold: np.ndarray

    @classmethod
    def of(
        cls, matrix: Matrix, folds: Sequence[Sequence[np.ndarray]], numbering: Numbering
    ) -> Self:
        """Of lists of positions; see `numbered`."""
        part = np.full(matrix.measured.size, -1, np.int8)
        fold = np.full(matrix.measured.size, -1, np.int16)
        cells = np.arange(len(part))
        if numbering == "measured":
            cells = np.flatnonzero(matrix.measured)
        for number, several in enumerate(folds):
            for at, positions in enumerate(several):
                part[cells[positions]] = number
                if len(several) > 1:
                    fold[cells[positions]] = at
        return cls(part, fold)


def _wrong(what: str) -> DataError:
    return DataError(f"the matrix has {what}", code="wrong-shape")


def _text(path: Path) -> str:
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"the file has more than {MOST_BYTES} bytes", code="too-large")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("the text is no UTF-8", code="not-utf8") from error


def _json(path: Path, pairs: Any = None) -> Any:
    try:
        return value_of(_text(path), pairs)
    except (ValueError, RecursionError) as error:
        raise DataError("the file is no JSON", code="bad-json") from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise DataError("an id comes twice in a JSON object", code="duplicate-id")
    return found
