"""Compounds as SDF: a molfile and its data items a record, V2000 or V3000, packed or not."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from medray.errors import DataError
from medray.formats.base import FormatOptions
from medray.formats.molecules.block import Block, Slice
from medray.formats.molecules.compounds import Compounds
from medray.formats.molecules.graph import ARRAYS, COORDINATES
from medray.formats.molecules.options import MoleculeOptions
from medray.formats.tabular.text import Range, decoded, lines, ranges
from medray.storage.shards.schema import Arrays

END = b"$$$$"
GIVEN = ""  # the molfile, among the names of data items
TITLE = "title"
ROWS = 64  # of some KiB each
SLICE_BYTES = 32 * 2**20  # about 10,000 records
MOST_BYTES = 2**20  # of a record
_NAME = re.compile(r"<([^>]*)>")


class SdfOptions(MoleculeOptions):
    """What is taken of records."""

    max_characters: int = Field(200_000, gt=0, description="refuse longer molfiles")
    coordinates: bool = Field(False, description="add the array `coordinates`, in angstrom")

    @model_validator(mode="after")
    def _as_drawn(self) -> Self:
        if self.coordinates and self.standardise:
            raise ValueError("a standard form has no coordinates: leave one of both out")
        return self


class Sdf(Compounds):
    """A record a row; its data items are columns, text unless they are said to be numbers.

    The first line of a record is its column `title`. Hydrogens that are drawn are counted, and are
    no atoms.
    """

    name: ClassVar[str] = "sdf"
    Options: ClassVar[type[FormatOptions]] = SdfOptions
    suffixes: ClassVar[tuple[str, ...]] = tuple(
        f".{one}{end}" for one in ("sdf", "sd") for end in ("", ".gz", ".bgz")
    )
    reader: ClassVar[str] = "medray.formats.molecules.records:Records"
    keeps: ClassVar[bool] = False
    options: SdfOptions

    @property
    def given(self) -> str:
        """The molfile."""
        return GIVEN

    def arrays(self) -> Arrays:
        """Atoms and bonds, and what else is asked for."""
        more = {COORDINATES: ARRAYS[COORDINATES]} if self.options.coordinates else {}
        return {**super().arrays(), **more}

    def survey(self, path: Path) -> tuple[Sequence[str] | None, list[Slice]]:
        """Slices of whole records.

        Raises:
            DataError: "empty-file", and as `medray.formats.tabular.text`.
        """
        slices = [
            Slice(one.first + 1, one.size, {"range": list(astuple(one))})
            for one in ranges(path, b"\n" + END, size=SLICE_BYTES)
        ]
        if not slices:
            raise DataError("the file is empty", code="empty-file")
        return None, slices

    def blocks(
        self, path: Path, extra: Mapping[str, Any], wanted: Sequence[str] | None
    ) -> Iterator[Block]:
        """Records, some at a time."""
        numbers, rows = list[int](), list[dict[str, str]]()
        bad: dict[int, DataError] = {}
        for number, record in enumerate(_records(path, Range(*extra["range"])), extra["range"][2]):
            try:
                rows.append(_items(record))
                numbers.append(number + 1)
            except DataError as error:
                bad[number + 1] = error
            if len(rows) + len(bad) >= ROWS:
                yield _block(numbers, rows, bad, wanted)
                numbers, rows, bad = [], [], {}
        if rows or bad:
            yield _block(numbers, rows, bad, wanted)


def _block(
    numbers: list[int],
    rows: list[dict[str, str]],
    bad: dict[int, DataError],
    wanted: Sequence[str] | None,
) -> Block:
    found = dict.fromkeys(name for row in rows for name in row) | dict.fromkeys(wanted or ())
    columns = {
        name: [row.get(name, "") for row in rows]
        for name in found
        if wanted is None or name in wanted
    }
    return Block("record", numbers, columns, bad)


def _records(path: Path, piece: Range) -> Iterator[list[bytes] | None]:
    """The lines of each record; None: it is too large."""
    record, size = list[bytes](), 0
    closes = piece.start > 0  # then it begins with the line that ends the record before it
    for line in lines(path, piece):
        if line.startswith(END):
            if not closes:
                yield record if size <= MOST_BYTES else None
            record, size = [], 0
        else:
            size += len(line) + 1
            if size <= MOST_BYTES:
                record.append(line)
        closes = False
    if any(line.strip() for line in record):
        yield record if size <= MOST_BYTES else None


def _items(record: list[bytes] | None) -> dict[str, str]:
    """The molfile of a record and its data items by name.

    Raises:
        DataError: it is too large ("too-long"), no UTF-8 ("not-utf8"), has no end of a molfile
            ("bad-record"), or names an item twice ("duplicate-item").
    """
    if record is None:
        raise DataError(f"the record has over {MOST_BYTES} bytes", code="too-long")
    texts = decoded(b"\n".join(record)).split("\n")
    ends = [at for at, line in enumerate(texts) if line.startswith("M  END")]
    if not ends:
        raise DataError("the molfile has no end", code="bad-record")
    found = {GIVEN: "\n".join(texts[: ends[0] + 1]), TITLE: texts[0].strip()}
    name, values = "", list[str]()
    for line in [*texts[ends[0] + 1 :], ""]:
        if name and line.strip():
            values.append(line.strip())
        elif name:
            found[name] = "\n".join(values)
            name, values = "", []
        elif line.startswith(">"):
            told = _NAME.search(line[1:])
            name = told[1].strip() if told else ""
            if name in found:
                raise DataError("a data item comes twice", code="duplicate-item")
    return found
