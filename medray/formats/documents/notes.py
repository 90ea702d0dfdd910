"""Notes: a text a row of a table (CSV, TSV), a line of NDJSON, or a file of plain text."""

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.documents.columns import OURS, TEXT, Document, rows_of
from medray.formats.documents.options import DocumentOptions
from medray.formats.documents.phi.gate import Gate
from medray.formats.files import is_empty, item, nothing_found, open_path, stem, walk
from medray.formats.naming import Apart
from medray.formats.tabular.json_text import value_of
from medray.formats.tabular.text import BOM, blocks, decoded, lines
from medray.ids import Distinct
from medray.storage.shards.holds import Holds, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

TABLES = tuple(f".{one}{end}" for one in ("csv", "tsv") for end in ("", ".gz"))
LINES = tuple(f".{one}{end}" for one in ("ndjson", "jsonl") for end in ("", ".gz"))
PLAIN = (".txt", ".txt.gz")
SUFFIXES = (*TABLES, *LINES, *PLAIN)
MAX_BYTES = 256 * 2**20  # of a table, which is read whole: a quoted cell may hold line ends
MAX_REFUSED = 1000
OF = "of"  # which of several columns a text is
Cells = Mapping[str, Any]


class NotesOptions(DocumentOptions):
    """Where the text stands, and what stands beside it."""

    text: str | tuple[str, ...] = Field(
        TEXT,
        description="column of the text, or several, each of which makes a document, whose column "
        "`of` says which; a plain file is all text",
    )
    id: str | None = Field(
        None, description="column that names a note; null: its file and the number of its row do"
    )
    subject: str | None = Field(None, description="column of whose it is; null: the note's id")
    columns: tuple[str, ...] = Field((), description="other columns to keep, as texts")

    @model_validator(mode="after")
    def _not_ours(self) -> "NotesOptions":
        if set(self.columns) & {*OURS, OF}:
            raise ValueError(f"columns that have a meaning of their own: {', '.join((*OURS, OF))}")
        return self

    @property
    def texts(self) -> tuple[str, ...]:
        """Columns of texts."""
        return (self.text,) if isinstance(self.text, str) else self.text


class Notes(Format):
    """A document a note, with the columns that are kept of it."""

    name: ClassVar[str] = "notes"
    Options: ClassVar[type[FormatOptions]] = NotesOptions
    options: NotesOptions

    def holds(self) -> Holds:
        """Texts, and what stands beside them."""
        split = "split" if self.options.splits else None
        several = None if isinstance(self.options.text, str) else OF
        return Holds(names(), names("subject", TEXT, several, split, self.options.columns))

    def ready(self) -> None:
        """Look for the site's key.

        Raises:
            SpecError: it is missing or weak.
        """
        super().ready()
        Gate(self.options.phi)

    def plan(self, source: Source) -> Found:
        """An input a file."""
        gate = Gate(self.options.phi)
        found, refused = walk(source, SUFFIXES)
        if is_empty(found, refused):
            nothing_found(source, "file of notes", f"they end in {', '.join(SUFFIXES)}")
        made, apart, seen = [], Apart(), Distinct()
        for file in found:
            key, ending = gate.name("document", stem(file.path, SUFFIXES)), _ending(file.path)
            try:
                if file.size > MAX_BYTES:
                    raise DataError(f"it has {file.size} bytes", code="file-too-large")
                if ending in PLAIN or not self.options.id:
                    apart.require(f"{key}{'' if ending in PLAIN else '-'}")
                    twice = list[int]()
                else:
                    source.fetch(file.path)
                    twice = self._twice(open_path(source, file.path), seen, gate)
                    source.drop(file.path)
            except DataError as error:
                refused.append(Refusal.of(file.path, error, path=file.path))
            else:
                extra = {"hidden": gate.fingerprint, "twice": twice}
                made.append(item(f"{key}:{ending}", [file], **extra))
        return Found([[one] for one in made], [gate.refusal(one) for one in refused])

    def shown(self, item: Input) -> tuple[str, str]:
        """Its file, where the job says that paths name nobody."""
        return ("" if self.options.phi.method == "keyed" else item.paths[0]), ""

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """All notes of the file as rows; those that can't be used are refused by name."""
        gate, options, refused = Gate(self.options.phi), self.options, 0
        twice = frozenset(item.extra["twice"])
        path, split = open_path(source, item.paths[0]), options.split_of(item.paths[0])
        prefix = item.key.rpartition(":")[0].replace("/", "_")
        made = list[Document]()
        for number, cells in _rows(path):
            name = f"{prefix}-{number:07d}" if number else prefix
            try:
                if isinstance(cells, DataError):
                    raise cells
                several = self._documents(name, cells, split, gate, plain=not number)
                if number in twice:
                    raise DataError("an earlier note has the same id", code="duplicate-id")
                made += [gate.passed(one) for one in several]
            except DataError as error:
                refused += 1
                if refused > MAX_REFUSED:
                    raise DataError(
                        f"over {MAX_REFUSED} notes can't be used, the last one: {error.code}",
                        code="too-many-bad-rows",
                    ) from error
                yield Refusal.of(item.key, error, sample=name)
        if made:
            yield rows_of(made, spans=False)

    def _twice(self, path: Path, seen: Distinct, gate: Gate) -> list[int]:
        """Numbers of a file's notes whose ids are those of others before, in any file."""
        numbers = list[int]()
        with suppress(DataError):  # said when it is read
            for number, cells in _rows(path):
                with suppress(DataError):
                    if isinstance(cells, DataError):
                        continue
                    several = self._documents("", cells, None, gate, plain=False)
                    if not all(seen.add(one.id) for one in several):
                        numbers.append(number)
        return numbers

    def _documents(
        self, name: str, cells: Cells, split: str | None, gate: Gate, *, plain: bool
    ) -> list[Document]:
        options = self.options
        if options.id and not plain:
            name = gate.name("document", _cell(cells, options.id))
            if not name:
                raise DataError("the note has no id", code="no-id")
        subject = _cell(cells, options.subject) if options.subject and not plain else name
        kept = {one: "" if plain else _cell(cells, one) for one in options.columns}
        made = []
        for column in options.texts:
            text = _cell(cells, TEXT if plain else column)
            if len(text) > options.max_characters:
                raise DataError(f"it has {len(text)} characters", code="too-long")
            if not text.strip():
                raise DataError("the note has no text", code="no-text")
            several = not isinstance(options.text, str)
            own = f"{name}-{column}" if several and not plain else name
            told = {OF: column, **kept} if several else kept
            made.append(Document(own, text, subject or name, split, columns=told))
            if plain:
                break
        return made


def _cell(cells: Cells, name: str) -> str:
    """A cell as text.

    Raises:
        DataError: there is no such column (code "no-such-column"), or it holds no text ("no-text").
    """
    if name not in cells:
        raise DataError(
            f"there is no column {name!r}",
            code="no-such-column",
            hint="`text`, `id`, `subject` and `columns` of the format name columns",
        )
    value = cells[name]
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise DataError(f"the column {name!r} holds no text", code="no-text")
    return "" if value is None else str(value)


def _ending(path: str) -> str:
    return next(
        one for one in sorted(SUFFIXES, key=len, reverse=True) if path.lower().endswith(one)
    )


def _rows(path: Path) -> Iterator[tuple[int, Cells | DataError]]:
    """Number, from 1, and cells of each note; 0 of a plain text."""
    name = path.name.lower()
    if name.endswith(LINES):
        yield from _of_lines(path)
        return
    text = decoded(b"".join(blocks(path, size=MAX_BYTES + 1)).removeprefix(BOM))
    if len(text) > MAX_BYTES:
        raise DataError("unpacked it is too large", code="file-too-large")
    if name.endswith(PLAIN):
        yield 0, {TEXT: text}
    else:
        yield from _of_table(text)


def _of_lines(path: Path) -> Iterator[tuple[int, Cells | DataError]]:
    for number, raw in enumerate(lines(path), start=1):
        if not raw.strip():
            continue
        try:
            value = value_of(decoded(raw))
        except (ValueError, RecursionError):
            value = None
        except DataError as error:
            yield number, error
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            yield number, DataError("the line is no object of JSON", code="bad-json")


def _of_table(text: str) -> Iterator[tuple[int, Cells | DataError]]:
    head = text.partition("\n")[0]
    before = csv.field_size_limit(MAX_BYTES)
    try:
        rows = csv.reader(
            io.StringIO(text, newline=""), delimiter=max(",\t;", key=head.count), strict=True
        )
        columns = [cell.strip() for cell in next(rows, [])]
        if not any(columns) or len(set(columns)) < len(columns):
            raise DataError("the first line names no columns, or one twice", code="bad-header")
        for number, cells in enumerate(rows, start=1):
            if len(cells) == len(columns):
                yield number, dict(zip(columns, cells, strict=True))
            elif cells:
                yield (
                    number,
                    DataError(
                        f"the row has {len(cells)} cells, the table {len(columns)} columns",
                        code="uneven-row",
                    ),
                )
    except csv.Error as error:
        raise DataError(
            "a quoted cell does not end, or goes on behind its quotes", code="bad-line"
        ) from error
    finally:
        csv.field_size_limit(before)
