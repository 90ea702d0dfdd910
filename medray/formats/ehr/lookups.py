"""Tables that others are joined by: a row for each key, held whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medray.errors import DataError
from medray.formats.ehr.tables import MOST_JOINED, rounded, sheet


@dataclass(frozen=True)
class Lookup:
    """Columns of a table, by its key.

    Args:
        keys: of all its rows that have one, each once.
        columns: of the same rows, by name.
    """

    keys: pa.StringArray
    columns: dict[str, pa.StringArray]

    def of(self, cells: pa.StringArray) -> tuple[dict[str, pa.StringArray], np.ndarray]:
        """Its columns for the keys in cells, None where a cell is blank; and whose key it lacks,
        bool (rows,)."""
        at = pc.index_in(cells, value_set=self.keys)
        lacks = pc.and_(cells.is_valid(), at.is_null()).to_numpy(zero_copy_only=False)
        return {name: column.take(at) for name, column in self.columns.items()}, lacks


def lookup(
    path: Path, table: str, key: str, wanted: Sequence[str], missing: frozenset[str]
) -> Lookup:
    """A table to be joined by.

    Args:
        path: of its file.
        table: its name, for complaints.
        key: column with the key.
        wanted: other columns.
        missing: cells that hold nothing.

    Raises:
        DataError: two rows have the same key ("duplicate-key"), it has more rows than are held
            ("too-large"), keys are floats ("float-id"), or as of `Sheet.read`.
    """
    status = path.stat()
    seen = (status.st_size, status.st_mtime_ns)
    return _lookup(path, table, key, tuple(wanted), missing, seen)


@lru_cache(8)  # of the tables at hand: each stretch asks for the same
def _lookup(
    path: Path,
    table: str,
    key: str,
    wanted: tuple[str, ...],
    missing: frozenset[str],
    _seen: tuple[int, int],
) -> Lookup:
    file = sheet(path)
    if file.floats(key):
        raise DataError(f"the keys of table {table!r} are floats", code="float-id")
    stretches = file.stretches()
    if sum(one.rows for one in stretches) > MOST_JOINED:
        raise DataError(
            f"table {table!r} has more than {MOST_JOINED:,} rows to be joined by", code="too-large"
        )
    names = list(dict.fromkeys([key, *wanted]))
    parts = [file.read(one, names, missing).columns for one in stretches]
    columns = {name: pa.concat_arrays([part[name] for part in parts]) for name in names}
    known = columns[key].is_valid()
    if rounded(columns[key]).any():
        raise DataError(
            f"keys of table {table!r} were rounded (1.2E+15), so two may have become one",
            code="float-id",
            hint="export the table again, with ids as text",
        )
    columns = {name: column.filter(known) for name, column in columns.items()}
    keys = columns[key]
    twice = len(keys) - len(keys.unique())
    if twice:
        raise DataError(
            f"{twice} rows of table {table!r} have the {key!r} of an earlier one",
            code="duplicate-key",
            hint="join by a column whose values name one row each",
        )
    return Lookup(keys, columns)
