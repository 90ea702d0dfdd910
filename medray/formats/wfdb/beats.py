"""Beats or windows, a row each, as one annotation file a record: rows of many units are joined."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from medray.errors import DataError, SpecError
from medray.formats.base import FormatOptions, Input, Source, WriteOnly
from medray.formats.files import place, replacing
from medray.formats.joined import Joined, Look, Piece, Share
from medray.formats.wfdb.annotations import SYMBOLS, Note, Notes, encode
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.records import Refusal

PLACES = ("sample", "start_sample")  # columns that say where; the first that is there

__all__ = ["WfdbAnnotations"]


class WfdbAnnotationsOptions(FormatOptions):
    """What of rows becomes annotations."""

    annotator: str = Field(
        "med", pattern=r"^[A-Za-z0-9_]{1,20}$", description="ending of the files"
    )
    column: str = Field("predicted", description="what is noted: a symbol, or another text")
    symbols: dict[str, str] = Field(
        {}, description="value → symbol; others that are no symbols become comments"
    )


class WfdbAnnotations(WriteOnly, Joined):
    """`<record>.<annotator>`: an annotation where each row of the record lies.

    It is put at the column `sample`, in frames of the record, or else at `start_sample`, in samples
    of `rate`, which the file then states as its time resolution.
    """

    name: ClassVar[str] = "wfdb-annotations"
    Options: ClassVar[type[FormatOptions]] = WfdbAnnotationsOptions
    options: WfdbAnnotationsOptions
    instead: ClassVar[str] = "`format: wfdb` reads records with their annotations"

    def needs(self) -> Needs:
        """Rows of records."""
        return Needs(columns=names("record", self.options.column))

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """No array: rows only."""
        return frozenset()

    def shares(
        self, about: dict[str, Any], look: Look, source: Source | None
    ) -> tuple[list[Share], list[Refusal]]:
        """The rows of each record in each shard; records whose names can't be files' are refused.

        Raises:
            SpecError: a column is missing (code "no-such-column").
        """
        shares: list[Share] = []
        refused: dict[str, Refusal] = {}
        files: dict[str, str] = {}  # of records by name
        for number, table in enumerate(look(["record", self.options.column, *PLACES])):
            if table is None:
                continue
            self._check(table)
            ranges: dict[str, list[tuple[int, int, int]]] = {}
            for row, record in enumerate(map(str, table["record"].to_pylist())):
                runs = ranges.setdefault(record, [])
                if runs and runs[-1][2] == row:
                    runs[-1] = (number, runs[-1][1], row + 1)
                else:
                    runs.append((number, row, row + 1))
            for record, runs in ranges.items():
                try:
                    file = files.setdefault(record, self._file(record))
                except DataError as error:
                    refused[record] = Refusal.of(record, error)
                    continue
                shares.append(Share(file, f"{record}, shard {number}", tuple(runs)))
        twice = {file for file, count in Counter(files.values()).items() if count > 1}
        for record, file in files.items():
            if file in twice:
                fault = DataError("two records have one file's name", code="duplicate-id")
                refused[record] = Refusal.of(record, fault)
        return [one for one in shares if one.file not in twice], list(refused.values())

    def join(
        self,
        file: str,
        item: Input | None,
        source: Source,
        pieces: Sequence[Piece],
        target: Path,
        about: dict[str, Any],
    ) -> Iterator[Path]:
        """The annotations of a record, in the order of their times."""
        notes: list[Note] = []
        rates: set[float] = set()
        for piece in pieces:
            rows = piece.rows()
            where = next(name for name in PLACES if name in rows.column_names)
            if where != PLACES[0] and "rate" in rows.column_names:
                rates.update(map(float, rows["rate"].to_pylist()))
            values = rows[self.options.column].to_pylist()
            notes += map(self._note, rows[where].to_pylist(), values)
        if len(rates) > 1:
            raise DataError("rows of a record have several rates", code="mixed-rates")
        data = encode(Notes(tuple(notes), rates.pop() if rates else None))
        with replacing(target / file) as temporary:
            temporary.write_bytes(data)
        yield target / file

    def _check(self, table: pa.Table) -> None:
        lacking = {"record", self.options.column} - set(table.column_names)
        if not set(PLACES) & set(table.column_names):
            lacking.add(" or ".join(PLACES))
        if lacking:
            raise SpecError(
                f"the rows have no column {min(lacking)}", code="no-such-column", about=self.name
            )

    def _file(self, record: str) -> str:
        return place(Path(), record.replace("/", "_"), f".{self.options.annotator}").name

    def _note(self, at: int, value: Any) -> Note:
        told = "" if value is None else str(value)
        symbol = self.options.symbols.get(told, told)
        if symbol in SYMBOLS.values():
            return Note(int(at), symbol)
        return Note(int(at), SYMBOLS[22], text=told)
