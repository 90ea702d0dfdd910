"""From what stands in a file and what RDKit made of it to rows and refusals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from medray.errors import DataError
from medray.formats.molecules.parsed import Parsed
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows


@dataclass(frozen=True)
class Asked:
    """Some rows of a file on their way to RDKit.

    Args:
        path: of the file.
        place: what is numbered in it: line, row, record.
        prefix: of names of rows, which end in their numbers.
        numbers: of the rows.
        texts: to be read.
        columns: of the rows, `sample_id` first.
        bad: rows that are none, by their place among these.
        lost: what makes no row at all, by number.
    """

    path: str
    place: str
    prefix: str
    numbers: Sequence[int]
    texts: Sequence[str]
    columns: Mapping[str, Any]
    bad: Mapping[int, DataError]
    lost: Mapping[int, DataError]

    def made(self, parsed: Parsed, key: str) -> Iterator[Rows | Refusal]:
        """Refusals in order, then all others as rows with arrays.

        Args:
            parsed: what was made of the texts.
            key: of the input.
        """
        refused = {row: DataError(text, code=code) for row, (code, text) in parsed.refused.items()}
        errors = {self.numbers[row]: error for row, error in {**refused, **self.bad}.items()}
        for number, error in sorted({**errors, **self.lost}.items()):
            where = f"{self.place} {number} of {self.path}"
            told = DataError(f"{where}: {error.message}", code=error.code)
            yield Refusal.of(key, told, sample=named(self.prefix, number))
        if parsed.taken:
            table = pa.table(dict(self.columns))
            if len(parsed.taken) < len(table):
                table = table.take(parsed.taken)
            for name, values in parsed.columns.items():
                table = table.append_column(name, pa.array(values, pa.string()))
            yield Rows(table, parsed.arrays)


def named(prefix: str, number: int) -> str:
    """The name of a row without an id."""
    return names_of(prefix, [number])[0]


def names_of(prefix: str, numbers: Sequence[int]) -> list[str]:
    """Names of rows without ids."""
    return [f"{prefix}-{number:07d}" for number in numbers]
