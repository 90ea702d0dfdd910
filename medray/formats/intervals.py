"""Intervals: annotations of recordings, by people or by a model, as one table of a dataset."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from medray.formats.base import FormatOptions, Input, Source, WriteOnly
from medray.formats.files import replacing
from medray.formats.joined import Joined, Look, Piece, Share, in_one_file
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.records import Refusal

COLUMN = "annotations"
SCHEMA = pa.schema(
    [
        ("record", pa.string()),
        ("onset_s", pa.float64()),
        ("duration_s", pa.float64()),
        ("sample", pa.int64()),
        ("channel", pa.int64()),
        ("symbol", pa.string()),
        ("text", pa.string()),
        ("annotator", pa.string()),
        ("probability", pa.float64()),
    ]
)


class IntervalsOptions(FormatOptions):
    """How intervals are written."""

    file: Literal["csv", "parquet"] = Field("csv", description="kind of the file")
    annotators: tuple[str, ...] = Field((), description="only theirs; none given: all")


class Intervals(Joined, WriteOnly):
    """One row an annotation, in the order of recordings and of their annotations; written only."""

    name: ClassVar[str] = "intervals"
    Options: ClassVar[type[FormatOptions]] = IntervalsOptions
    instead: ClassVar[str] = "annotations are read with their recordings: `edf`, `wfdb`"
    options: IntervalsOptions

    def needs(self) -> Needs:
        """Annotations."""
        return Needs(columns=names(COLUMN), hint="of recordings, and of what was predicted of them")

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """No array: rows only."""
        return frozenset()

    def shares(
        self, about: dict[str, Any], look: Look, source: Source | None
    ) -> tuple[list[Share], list[Refusal]]:
        """All annotations in one file, named as the dataset is."""
        return in_one_file(f"{about['name']}.{self.options.file}", look), []

    def join(
        self,
        file: str,
        item: Input | None,
        source: Source,
        pieces: Sequence[Piece],
        target: Path,
        about: dict[str, Any],
    ) -> Iterator[Path]:
        """One file; the annotations of one piece are held at a time."""
        path = target / file
        with replacing(path) as temporary:
            if self.options.file == "parquet":
                with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
                    for piece in pieces:
                        writer.write_table(pa.Table.from_pylist(self._rows(piece), SCHEMA))
            else:
                with temporary.open("w", encoding="utf-8", newline="") as out:
                    table = csv.DictWriter(out, SCHEMA.names, lineterminator="\n")
                    table.writeheader()
                    for piece in pieces:
                        for row in self._rows(piece):
                            table.writerow({name: _cell(row[name]) for name in SCHEMA.names})
        yield path

    def _rows(self, piece: Piece) -> list[dict[str, Any]]:
        rows = piece.rows()
        if COLUMN not in rows.column_names:
            return []
        wanted = self.options.annotators
        return [
            {**dict.fromkeys(SCHEMA.names), **note, "record": row.get("record", row["sample_id"])}
            for row in rows.to_pylist()
            for note in row[COLUMN] or ()
            if not wanted or note["annotator"] in wanted
        ]


def _cell(value: object) -> object:
    # A spreadsheet would run a text that begins like a formula; symbols, "+" among them, are none.
    if isinstance(value, str) and len(value) > 1 and value[0] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
