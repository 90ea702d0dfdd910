"""Apache Parquet as a table."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from blake3 import blake3

from medray.errors import DataError
from medray.formats.table.features import Features
from medray.formats.table.sheets import Found, Record, Sheet, Start, Survey, bad_value
from medray.formats.tabular.delimited import PIECE_ROWS

SUFFIXES = (".parquet",)


class Parquet(Sheet):
    """Apache Parquet."""

    damage: ClassVar[tuple[type[Exception], ...]] = (pa.ArrowException, OSError, ValueError)

    def survey(self, key: str | None) -> Survey:
        """See Sheet."""
        try:
            with pq.ParquetFile(self.path) as file:
                names, rows = tuple(file.schema_arrow.names), file.metadata.num_rows
                keys: list[str] = []
                if key is not None and key in names:
                    column = file.read([key], use_threads=False)[key].to_pylist()
                    keys = ["" if value is None else str(value) for value in column]
        except self.damage as error:
            raise _damaged() from error
        if not rows:
            raise DataError("the table holds no row", code="empty-table")
        if len(set(names)) < len(names):
            raise DataError("two columns have the same name", code="duplicate-column")
        digest = blake3(max_threads=1).update_mmap(self.path).hexdigest()
        pieces = -(-rows // PIECE_ROWS)
        starts = tuple((number * PIECE_ROWS, 0, 0) for number in range(pieces))
        features = Features(names, self.known).names
        digests = (digest,) * pieces
        return Survey(names, features, rows, tuple(keys), digests, starts, sequential=False)

    def records(self, rows: Sequence[int], start: Start) -> Iterator[Found]:
        """See Sheet."""
        wanted, number = set(rows), 0
        try:
            with pq.ParquetFile(self.path) as file:
                names = file.schema_arrow.names
                features = Features(names, self.known)
                for group in range(file.metadata.num_row_groups):
                    size = file.metadata.row_group(group).num_rows
                    if number + size <= rows[0] or number > rows[-1]:
                        number += size
                        continue
                    for batch in file.iter_batches(PIECE_ROWS, [group], use_threads=False):
                        if not wanted.isdisjoint(range(number, number + len(batch))):
                            yield from self._of(batch, number, wanted, names, features)
                        number += len(batch)
        except self.damage as error:
            raise _damaged() from error
        if number <= rows[-1]:
            raise DataError("the table is shorter than when it was planned", code="changed")

    def _of(
        self,
        batch: pa.RecordBatch,
        number: int,
        wanted: set[int],
        names: Sequence[str],
        features: Features,
    ) -> Iterator[Found]:
        matrix = np.empty((len(batch), len(features.names)), np.float32)
        bad: dict[int, int] = {}  # row of the batch → its first column that is none
        end = 0
        for place, words in zip(features.places, features.words, strict=True):
            first, end = end, end + features.width(words)
            if words is None:
                matrix[:, first] = self._numbers(batch, place)
            else:
                self._coded(batch, place, features, words, matrix[:, first:end], bad)
            for row in np.flatnonzero(np.isinf(matrix[:, first])).tolist():
                bad.setdefault(row, place)
        known = {
            name: batch.column(name).to_pylist() for name in names if name in self.known.columns
        }
        for at in range(len(batch)):
            row = number + at
            if row not in wanted:
                continue
            where = f"row {row + 1}"
            if at in bad:
                yield row, bad_value(where, names[bad[at]])
                continue
            told = {name: values[at] for name, values in known.items()}
            yield row, Record(row, where, told, matrix[at])

    @staticmethod
    def _numbers(batch: pa.RecordBatch, place: int) -> np.ndarray:
        kind, column = batch.schema.types[place], batch.column(place)
        if not (pa.types.is_boolean(kind) or pa.types.is_primitive(kind)) or (
            pa.types.is_temporal(kind)
        ):
            raise DataError(
                f"column {place + 1} holds no numbers",
                code="not-a-number",
                hint="`drop` it, or say its words by `categories`",
            )
        if pa.types.is_boolean(kind):
            column = column.cast(pa.uint8())
        values = pc.fill_null(column.cast(pa.float64(), safe=False), float("nan"))
        with np.errstate(over="ignore"):
            made: np.ndarray = values.to_numpy(zero_copy_only=False).astype(np.float32)
        return made

    @staticmethod
    def _coded(
        batch: pa.RecordBatch,
        place: int,
        features: Features,
        words: tuple[str, ...],
        out: np.ndarray,
        bad: dict[int, int],
    ) -> None:
        cells = batch.column(place).to_pylist()
        for at, cell in enumerate(cells):
            try:
                out[at] = features.coded("" if cell is None else str(cell), words)
            except ValueError:
                out[at] = 0
                bad.setdefault(at, place)


def _damaged() -> DataError:
    return DataError("the Parquet file cannot be read", code="damaged-table")
