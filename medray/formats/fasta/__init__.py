"""FASTA: a genome store, one sample a contig, its bases as codes; plain, gzipped or bgzipped."""

import csv
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from medray.errors import DataError, SpecError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.fasta.letters import Summary, around, slabs, summary
from medray.formats.fasta.records import Record, indexed, scanned
from medray.formats.files import (
    INDICES,
    File,
    is_empty,
    item,
    nothing_found,
    open_path,
    place,
    replacing,
    walk,
)
from medray.formats.genomics.alphabet import decode, encode, firsts
from medray.formats.genomics.nucleotides import ambiguous
from medray.formats.tabular.text import GZIP_RANGES, blocks, decoded, kind_of, lines, mind_the_end
from medray.ids import short
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays, ArraySpec, Axis

SUFFIXES = tuple(
    f".{name}{packed}"
    for name in ("fa", "fasta", "fna", "ffn", "fas")
    for packed in ("", ".gz", ".bgz", ".bgzf")
)
RUN_BYTES = 4 * 2**20  # smaller records are read together; a larger one in slabs
MAX_RUN_BYTES = 64 * 2**20
LINE = 60
_NO_UTF8 = re.compile("[\udc80-\udcff]")  # see `records.first_word`

__all__ = ["Fasta"]


class FastaOptions(FormatOptions):
    """How to read and write FASTA."""

    contig: str | None = Field(
        None, min_length=1, description="name of the only sequence of files without a header"
    )
    aliases: dict[str, tuple[str, ...]] = Field(
        {}, description="contig → other names; 1 and chr1, M and MT are known to be the same"
    )
    alias_table: str | None = Field(
        None, description="table below the source, names of one contig in each line, tab-separated"
    )
    offsets: dict[str, int] = Field(
        {}, description="contig → bases that lie before it, for a piece of a longer one"
    )
    one_file_per: Literal["sample", "unit"] = Field(
        "sample", description="write: `unit` puts many short sequences (rows) into each file"
    )


class Fasta(Format):
    """Sequences as codes (see `genomics.alphabet`); lower case, which masks repeats, is folded."""

    name: ClassVar[str] = "fasta"
    Options: ClassVar[type[FormatOptions]] = FastaOptions
    options: FastaOptions

    @property
    def many(self) -> bool:
        """Whether a file holds many samples; see medray.steps.export.operation."""
        return self.options.one_file_per == "unit"

    def arrays(self) -> Arrays:
        """Codes of the bases, and beside them letters that stand for several."""
        codes = ArraySpec((Axis("base", "base", "base"),), ("uint8",))
        return {"sequence": codes, "iupac": codes}

    def holds(self) -> Holds:
        """Contigs."""
        own = (
            "contig",
            "length",
            "sha256",
            "aliases",
            "offset",
            "bases",
            "ambiguous",
            "iupac_sha256",
        )
        return Holds(named(self.arrays()), names(own))

    def plan(self, source: Source) -> Found:
        """Records by name: from a .fai beside the file, or by a pass over it.

        An input is one record, or a run of small ones.
        """
        found, refused = walk(source, SUFFIXES, own=(*INDICES, self.options.alias_table or ""))
        if is_empty(found, refused):
            nothing_found(source, "FASTA file", f"they end in {', '.join(SUFFIXES[:3])} …")
        aliases, groups, known = self._aliases(source), [], set[str]()
        for file in found:
            source.fetch(file.path)
            try:
                records, packed = self._records(source, file)
                mind_the_end(open_path(source, file.path), file.path)
            except DataError as error:
                refused.append(Refusal.of(file.path, error))
                continue
            source.drop(file.path)
            kept = []
            for record in records:
                key = f"{file.path}:{record.number}"
                if not record.name:
                    refused.append(Refusal(key, "no-name", "the record has no name"))
                elif _NO_UTF8.search(record.name):
                    refused.append(Refusal(key, "not-utf8", "the record's name is no UTF-8"))
                elif record.name in known:
                    reason = "another record of the source has the same name"
                    refused.append(Refusal(key, "duplicate-id", reason))
                else:
                    kept.append(record)
                known.add(record.name)
            limit = RUN_BYTES
            if packed == "gzip":  # is unpacked up to each run's start
                whole = sum(record.size for record in records)
                limit = min(max(limit, whole // GZIP_RANGES), MAX_RUN_BYTES)
            groups += [[_input(file, run, aliases)] for run in _runs(kept, limit)]
        strange = sorted({*self.options.offsets} - known)
        if strange:
            raise SpecError(
                "`offsets` names a contig that the source lacks",
                code="unknown-contig",
                about=strange[0],
            )
        return Found(groups, refused)

    def named(self) -> list[tuple[str, str]]:
        """The table of aliases."""
        table = self.options.alias_table
        return [("alias_table", table)] if table else []

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """A sample each: `sequence` uint8 (L,) and what is known of the contig.

        Where letters name several bases, but not all, `iupac` uint8 (L,) has 1 + the code of the
        first of them, which is what a VCF's REF says there, and else 0.
        """
        path = open_path(source, item.paths[0])
        records = [Record(*fields) for fields in item.extra["records"]]
        if len(records) == 1 and records[0].size > RUN_BYTES:
            yield self._large(path, records[0], item.extra["aliases"])
            return
        start, end = around(records[0])[0], sum(around(records[-1]))
        text = b"".join(blocks(path, start, end - start))
        for record in records:
            at, size = around(record)
            own = [text[at - start : at - start + size]]
            try:
                known = summary(own, record)
                letters = b"".join(letters for letters, _ in slabs(own, record))
            except DataError as error:
                if len(records) == 1:
                    raise
                key = f"{item.paths[0]}:{record.number}"
                yield Refusal.of(item.key, error, sample=key)
                continue
            arrays: dict[str, np.ndarray | Slabs] = {"sequence": encode(letters)}
            if known.iupac:
                arrays["iupac"] = firsts(letters)
            row = self._row(record, known, item.extra["aliases"])
            yield Sample(record.name, row, arrays)

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>.fa` each, or one file named by the samples it holds; 60 letters a line.

        Raises:
            DataError: a sample has no `sequence`, as array or text ("no-such-array"), its id can't
                name a record ("unsafe-name"), or its letters are no nucleotides.
        """
        if not self.many:
            for sample in samples:
                path = place(target, sample.id, ".fa")
                with replacing(path) as temporary:
                    temporary.write_text(_record(sample), encoding="utf-8")
                yield path
            return
        whole = list(samples)
        path = target / f"sequences-{short([sample.id for sample in whole])[:12]}.fa"
        with replacing(path) as temporary:
            temporary.write_text("".join(map(_record, whole)), encoding="utf-8")
        yield path

    def needs(self) -> Needs:
        """A sequence, as array or as text."""
        return Needs(either="sequence")

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """The sequence."""
        return names & {"sequence"}

    def _records(self, source: Source, file: File) -> tuple[list[Record], str]:
        path = open_path(source, file.path)
        index = path.with_name(f"{path.name}.fai")
        packed = kind_of(path)
        if index.is_file() and packed != "gzip":
            source.fetch(f"{file.path}.fai")
            records = list(indexed(path, index))
            if records:
                return records, packed
        return list(scanned(path, self.options.contig)), packed

    def _large(self, path: Path, record: Record, aliases: dict[str, list[str]]) -> Sample:
        """Looked at twice: a shard's table wants the hash, and refusals come before its arrays."""
        known = summary(blocks(path, *around(record)), record)

        def parts(made: Callable[[bytes], np.ndarray], digest: str) -> Slabs:
            return Slabs((known.length,), np.dtype(np.uint8), 0, checked(made, digest))

        def checked(made: Callable[[bytes], np.ndarray], digest: str) -> Iterator[np.ndarray]:
            again = hashlib.sha256()
            for letters, _ in slabs(blocks(path, *around(record)), record):
                values = made(letters)
                again.update(values.data)
                yield values
            if again.hexdigest() != digest:
                raise DataError("the file changed while it was read", code="changed-file")

        arrays: dict[str, np.ndarray | Slabs] = {"sequence": parts(encode, known.sha256)}
        if known.iupac:
            arrays["iupac"] = parts(firsts, known.iupac)
        return Sample(record.name, self._row(record, known, aliases), arrays)

    def _row(self, record: Record, known: Summary, aliases: dict[str, list[str]]) -> dict[str, Any]:
        return {
            "contig": record.name,
            "length": known.length,
            "sha256": known.sha256,
            "aliases": sorted({*aliases.get(record.name, ()), *same_contig(record.name)}),
            "offset": self.options.offsets.get(record.name, 0),
            "bases": known.counts,
            "ambiguous": known.ambiguous,
            "iupac_sha256": known.iupac,
        }

    def _aliases(self, source: Source) -> dict[str, set[str]]:
        made: dict[str, set[str]] = defaultdict(set)
        for name, others in self.options.aliases.items():
            made[name] |= {*others}
        if self.options.alias_table is not None:
            source.fetch(self.options.alias_table)
            try:
                path = open_path(source, self.options.alias_table)
                table = [decoded(line) for line in lines(path)]
            except DataError as error:
                raise SpecError(
                    "the table of aliases cannot be read", code="bad-alias-table", about=error.code
                ) from error
            for row in csv.reader(table, "excel-tab"):
                names = {cell.strip() for cell in row if cell.strip()}
                for name in names if row and not row[0].startswith("#") else ():
                    made[name] |= names - {name}
        return made


def same_contig(name: str) -> tuple[str, ...]:
    """Other names that are in use for the contig: with and without `chr`, M and MT."""
    bare = name.removeprefix("chr")
    if bare in ("M", "MT"):
        return tuple(one for one in ("M", "MT", "chrM", "chrMT") if one != name)
    if bare != name:
        return (bare,) if bare else ()
    return (f"chr{name}",) if name.isdigit() or name in ("X", "Y", "Z", "W") else ()


def _runs(records: list[Record], limit: int) -> Iterator[list[Record]]:
    """Neighbouring small records together, at most `limit` bytes of text; large ones alone."""
    run: list[Record] = []
    for record in records:
        large = record.size > RUN_BYTES
        if run and (large or record.start + record.size - run[0].start > limit):
            yield run
            run = []
        run.append(record)
        if large:
            yield run
            run = []
    if run:
        yield run


def _input(file: File, run: list[Record], aliases: dict[str, set[str]]) -> Input:
    last = f"-{run[-1].number}" if len(run) > 1 else ""
    made = item(
        f"{file.path}:{run[0].number}{last}",
        [file],
        records=[list(astuple(record)) for record in run],
        aliases={one.name: sorted(aliases[one.name]) for one in run if one.name in aliases},
    )
    return made._replace(size=run[-1].start + run[-1].size - run[0].start)


def _record(sample: Sample) -> str:
    sequence: Any = sample.arrays.get("sequence", sample.row.get("sequence"))
    if isinstance(sequence, Slabs) or not isinstance(sequence, str | np.ndarray):
        raise DataError("the sample has no sequence", code="no-such-array", about=sample.id)
    if set(sample.id) & set(" \t\r\n") or not sample.id:
        raise DataError("the sample's id cannot be a record's name", code="unsafe-name")
    if isinstance(sequence, str):
        letters = sequence.upper()
        ambiguous(letters.encode("ascii", "replace"))
    else:
        letters = decode(sequence)
    cut = (letters[at : at + LINE] for at in range(0, len(letters), LINE))
    return "\n".join([f">{sample.id}", *cut, ""])
