"""Short sequences with what is known of them: tables (CSV, TSV) and FASTA files, packed or not."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from medray.errors import DataError, SpecError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import File, is_empty, item, nothing_found, open_path, stem, walk
from medray.formats.genomics.nucleotides import ambiguous
from medray.formats.naming import Apart
from medray.formats.sequences.cells import MISSING, Kind, Value, kind_of, passes, value_of
from medray.formats.sequences.table import Records, Survey, Table, table_at
from medray.formats.tabular.text import Range, mind_the_end, ranges
from medray.storage.shards.holds import Holds, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

_PACKED = ("", ".gz", ".bgz")
FASTA = tuple(f".{one}{end}" for one in ("fa", "fasta", "fna", "fas") for end in _PACKED)
TABLES = tuple(f".{one}{end}" for one in ("csv", "tsv", "txt", "tab", "data") for end in _PACKED)
COMMAS = tuple(f".{one}{end}" for one in ("csv", "data") for end in _PACKED)
OURS = ("sample_id", "sequence", "length", "target", "class_name", "value")
MAX_REFUSED = 1000  # rows of one input that are listed one by one

__all__ = ["Sequences"]


class SequencesOptions(FormatOptions):
    """Where sequences stand, and what stands beside them."""

    sequence: tuple[str, ...] = Field(
        ("sequence",), min_length=1, description="column, or columns that are joined in this order"
    )
    header: tuple[str, ...] | None = Field(
        None, description="names of the columns of tables whose first line is a row already"
    )
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="null: a comma in .csv and .data, else a tab"
    )
    id: str | None = Field(
        None, description="column that names a sample; null: its file and line or record do"
    )
    target: str | None = Field(None, description="column of the class: becomes `target`")
    classes: tuple[str, ...] = Field((), description="names of classes 0, 1, …")
    value: str | None = Field(None, description="column of a number: becomes `value`")
    columns: dict[str, Kind] | None = Field(
        None, description="other columns to keep, and their types; null: all, as their values are"
    )
    where: dict[str, Value | tuple[Value, ...]] = Field(
        {}, description="only rows whose columns have these values"
    )
    known: tuple[str, ...] = Field((), description="only rows in which these columns say something")
    files: dict[str, str] = Field(
        {}, description="file below the source → class of all its sequences; only these are read"
    )
    max_bases: PositiveInt = Field(10_000, description="refuse longer ones: `fasta` is for them")


class Sequences(Format):
    """Rows with a text `sequence` in upper case, U as T, and labels or values beside it."""

    name: ClassVar[str] = "sequences"
    Options: ClassVar[type[FormatOptions]] = SequencesOptions
    options: SequencesOptions

    def holds(self) -> Holds:
        """Sequences, and the columns that stay beside them where the options name these."""
        options = self.options
        target = ("target", "class_name") if options.target or options.files else None
        ours = names("sequence", "length", target, "value" if options.value else None)
        kept = None if options.columns is None else ours | names(options.columns)
        lacks = names("target", "value") - ours
        return Holds(names(), kept, lacks, classes=options.classes or None)

    def plan(self, source: Source) -> Found:
        """Files in ranges of lines or records; columns' types come from a pass over all rows."""
        found, refused = self._found(source)
        survey, items, apart = Survey(), [], Apart()
        for file in found:
            source.fetch(file.path)
            try:
                if self.options.id is None:
                    apart.require(stem(file.path, (*FASTA, *TABLES)))
                items += self._inputs(file, open_path(source, file.path), survey)
                mind_the_end(open_path(source, file.path), file.path)
            except DataError as error:
                refused.append(Refusal.of(file.path, error))
            source.drop(file.path)
        target = self.options.target or ""
        for one in items:
            # Only now: all files have a say in a column's type.
            columns = self.options.columns or survey.kinds
            kept = self._kept(one.extra["table"]["names"])
            one.extra["kinds"] = {name: columns.get(name) for name in kept}
            one.extra["target_kind"] = survey.kinds.get(target)
        return Found([[one] for one in items], refused)

    def named(self) -> list[tuple[str, str]]:
        """The files that are read."""
        return [("files", path) for path in self.options.files]

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """A row each, named by file and line or record; those that can't be used are refused."""
        path, piece = open_path(source, item.paths[0]), Range(*item.extra["range"])
        table, refused = _table(item.extra["table"]), 0
        twice = frozenset(item.extra["twice"])
        for number, cells in table.rows(path, piece):
            name = f"{item.extra['id']}-{number:07d}"
            try:
                if isinstance(cells, DataError):
                    raise cells
                if number in twice:
                    raise DataError("another row has the same id", code="duplicate-id")
                if passes(cells, self.options.where) and self._known(cells):
                    yield self._sample(name, cells, item)
            except DataError as error:
                refused += 1
                if refused > MAX_REFUSED:
                    raise DataError(
                        f"over {MAX_REFUSED} rows can't be used, the last one: {error.code}",
                        code="too-many-bad-rows",
                    ) from error
                yield Refusal.of(item.key, error, sample=name)

    def _known(self, cells: dict[str, str]) -> bool:
        return all(cells[name].lower() not in MISSING for name in self.options.known)

    def _found(self, source: Source) -> tuple[Sequence[File], list[Refusal]]:
        found, refused = walk(source, (*FASTA, *TABLES))
        if is_empty(found, refused):
            nothing_found(source, "table or FASTA file", "they end in .csv, .tsv, .txt, .fa …")
        wanted = self.options.files
        if wanted:
            by_path = {file.path: file for file in found}
            lacking = sorted({*wanted} - {*by_path})
            if lacking:
                raise SpecError("a file is not there", code="no-such-file", about=lacking[0])
            return [by_path[path] for path in wanted], refused
        return found, refused

    def _inputs(self, file: File, path: Path, survey: Survey) -> list[Input]:
        options, fasta = self.options, file.path.lower().endswith(FASTA)
        named = (options.id, options.target, options.value, *(options.columns or ()))
        table: Table | Records = Records()
        if not fasta:
            delimiter = options.delimiter or ("," if file.path.lower().endswith(COMMAS) else "\t")
            table = table_at(path, options.header, delimiter)
        table.require([*options.sequence, *filter(None, named), *options.where, *options.known])
        twice: list[int] = []
        if options.columns is None or options.id or (options.target and not options.classes):
            twice = survey.take(path, table, options.where, options.id)
        pieces = list(ranges(path, b"\n>" if fasta else b"\n"))
        if not pieces:
            raise DataError("the file is empty", code="empty-file")
        ends = [piece.first for piece in pieces[1:]] + [2**62]
        made = []
        for piece, end in zip(pieces, ends, strict=True):
            one = item(
                f"{file.path}:{piece.first + 1}",
                [file],
                id=stem(file.path, (*FASTA, *TABLES)).replace("/", "_"),
                range=list(astuple(piece)),
                table=asdict(table) if isinstance(table, Table) else {},
                twice=[number for number in twice if piece.first < number <= end],
            )
            one.extra["table"]["names"] = list(table.names)
            made.append(one._replace(size=piece.size))
        return made

    def _kept(self, names: list[str]) -> list[str]:
        """Columns that stay beside the sequence."""
        options = self.options
        if options.columns is not None:
            kept = list(options.columns)
        else:
            ours = {*options.sequence, options.id, options.target, options.value}
            kept = [name for name in names if name not in ours]
        clash = [name for name in kept if name in OURS]
        if clash:
            raise SpecError(
                f"the column {clash[0]!r} would stand where medray puts its own",
                code="reserved-column",
                hint="leave it out: `columns` names those to keep",
            )
        return kept

    def _sample(self, name: str, cells: dict[str, str], item: Input) -> Sample:
        options = self.options
        letters = "".join(cells[column] for column in options.sequence)
        row: dict[str, Any] = {"sequence": self._nucleotides(letters)}
        row["length"] = len(row["sequence"])
        if item.paths[0] in options.files:
            row.update(self._target(options.files[item.paths[0]], self._files_kind()))
        elif options.target:
            row.update(self._target(cells[options.target], item.extra["target_kind"]))
        if options.value:
            row["value"] = value_of(cells[options.value], "float")
            if row["value"] is None:
                raise DataError("the row has no value", code="no-value")
        for column, kind in item.extra["kinds"].items():
            row[column] = value_of(cells[column], kind)
        if options.id:
            name = cells[options.id]
            if not name:
                raise DataError("the row has no id", code="no-id")
        return Sample(name, row)

    def _nucleotides(self, text: str) -> str:
        letters = "".join(text.split()).upper().replace("U", "T")
        if not letters:
            raise DataError("the sequence is empty", code="empty-sequence")
        if len(letters) > self.options.max_bases:
            raise DataError(
                f"the sequence has over {self.options.max_bases} bases", code="too-long"
            )
        ambiguous(letters.encode("ascii", "replace"))
        return letters

    def _target(self, label: str, kind: Kind | None) -> dict[str, Any]:
        if not label:
            raise DataError("the row has no class", code="no-class")
        if self.options.classes:
            if label not in self.options.classes:
                raise DataError("the row's class is none of `classes`", code="unknown-class")
            return {"target": self.options.classes.index(label), "class_name": label}
        return {"target": value_of(label, "int" if kind == "int" else "str")}

    def _files_kind(self) -> Kind | None:
        kinds = {kind_of(label) for label in self.options.files.values()}
        return "int" if kinds == {"int"} else "str"


def _table(fields: dict[str, Any]) -> Table | Records:
    if "delimiter" not in fields:
        return Records()
    return Table(**{**fields, "names": tuple(fields["names"])})
