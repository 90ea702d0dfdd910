"""Groups of HDF5 files as tables: each array is a column, or several; its first axis is samples."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from medray.errors import DataError
from medray.formats.table.features import Features, Known
from medray.formats.table.sheets import Found, Record, Sheet, Start, Survey, bad_value
from medray.formats.tabular.delimited import PIECE_ROWS
from medray.formats.tabular.hdf5 import examine, member, opened, texts

SUFFIXES = (".h5", ".hdf5")
MAX_COLUMNS = 4096  # cells pass as texts; what is wider are matrices, which `expression` reads
TEXTS = "SOU"


class Hdf5(Sheet):
    """One group of a file. Of an array (samples, k) the columns are <name>_0 … <name>_<k - 1>.

    Args:
        path: of the file.
        known: see Sheet.
        group: path in the file; "": all of it.
    """

    def __init__(self, path: Path, known: Known, group: str) -> None:
        super().__init__(path, known, header=True)
        self._group = group

    def survey(self, key: str | None) -> Survey:
        """See Sheet."""
        examine(self.path)
        with opened(self.path) as file:
            columns, rows = self._columns(file)
            names = [name for name, _, _ in columns]
            keys: list[str] = []
            if key in names:
                keys = self._cells(file, [columns[names.index(key)]], 0, rows)[0]
        if not rows:
            raise DataError("the table holds no row", code="empty-table")
        digest = blake3(max_threads=1).update_mmap(self.path).hexdigest()
        pieces = -(-rows // PIECE_ROWS)
        return Survey(
            columns=tuple(names),
            features=Features(names, self.known).names,
            rows=rows,
            keys=tuple(keys),
            digests=(digest,) * pieces,
            starts=tuple((number * PIECE_ROWS, 0, 0) for number in range(pieces)),
            sequential=False,
        )

    def records(self, rows: Sequence[int], start: Start) -> Iterator[Found]:
        """See Sheet."""
        first, last = rows[0], rows[-1] + 1
        with opened(self.path) as file:
            columns, count = self._columns(file)
            if last > count:
                raise DataError("the table is shorter than when it was planned", code="changed")
            cells = self._cells(file, columns, first, last)
        names = [name for name, _, _ in columns]
        features = Features(names, self.known)
        known = {name: at for at, name in enumerate(names) if name in self.known.columns}
        for row in rows:
            found = [column[row - first] for column in cells]
            place = f"row {row + 1}"
            try:
                values = features.of(found)
            except ValueError as error:
                yield row, bad_value(place, names[error.args[0]])
                continue
            yield row, Record(row, place, {name: found[at] for name, at in known.items()}, values)

    def _columns(self, file: Any) -> tuple[list[tuple[str, str, int | None]], int]:
        """(column, path of its array, place in it) of each, and how many rows there are.

        Raises:
            DataError: arrays have several lengths ("uneven-arrays"), are too many
                ("too-many-features"), or cannot be columns ("not-a-table").
        """
        group = member(file, self._group) if self._group else file
        if not hasattr(group, "keys"):
            raise DataError(f"{self._group!r} is no group", code="not-a-table")
        made: list[tuple[str, str, int | None]] = []
        lengths: set[int] = set()
        for name in group:
            path = f"{self._group}/{name}" if self._group else name
            array = member(file, path)
            if hasattr(array, "keys"):
                continue
            if array.ndim not in (1, 2) or array.dtype.kind not in "biuf" + TEXTS:
                raise DataError(
                    f"{path!r} is no array of numbers or texts with one or two axes",
                    code="not-a-table",
                    hint="tables of PyTables and of pandas are not read; write each column apart",
                )
            lengths.add(array.shape[0])
            if array.ndim == 1:
                made.append((name, path, None))
                continue
            if array.dtype.kind in TEXTS:
                raise DataError(f"{path!r} has texts with two axes", code="not-a-table")
            if len(made) + array.shape[1] > MAX_COLUMNS:
                raise DataError(
                    f"more than {MAX_COLUMNS} columns",
                    code="too-many-features",
                    hint="write it as Parquet",
                )
            made += [(f"{name}_{at}", path, at) for at in range(array.shape[1])]
        if len(lengths) > 1:
            raise DataError(
                f"arrays have {', '.join(map(str, sorted(lengths)))} rows", code="uneven-arrays"
            )
        if not made:
            raise DataError(
                "the group holds no array",
                code="not-a-table",
                hint="`parts` names the groups that are tables, and their splits",
            )
        return made, lengths.pop()

    def _cells(
        self, file: Any, columns: Sequence[tuple[str, str, int | None]], first: int, last: int
    ) -> list[list[str]]:
        """Cells of columns as texts that say them exactly, "" where there is none."""
        held: dict[str, Any] = {}
        made = []
        for _, path, at in columns:
            if path not in held:
                held[path] = member(file, path)[first:last]
            values = held[path] if at is None else held[path][:, at]
            made.append(texts(values) if values.dtype.kind in TEXTS else _written(values))
        return made


def _written(values: np.ndarray) -> list[str]:
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    return ["" if one != one else repr(one) for one in values.tolist()]
