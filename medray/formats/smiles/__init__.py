"""Compounds as SMILES in tables, a row each: CSV, TSV and .smi, packed or not."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import File, is_empty, item, nothing_found, open_path, stem, walk
from medray.formats.molecules.cells import columns_of
from medray.formats.molecules.graph import GRAPH
from medray.formats.molecules.options import Kind, MoleculeOptions
from medray.formats.molecules.reading import DERIVED, Reader
from medray.formats.smiles.table import Block, Layout, blocks, layout_of
from medray.formats.tabular.text import Range, mind_the_end, ranges
from medray.storage.shards.holds import Holds, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays

_PACKED = ("", ".gz", ".bgz")
SMI = tuple(f".{one}{end}" for one in ("smi", "smiles", "ism") for end in _PACKED)
TABLES = tuple(f".{one}{end}" for one in ("csv", "tsv", "txt", "tab") for end in _PACKED)
SLICE_BYTES = 4 * 2**20  # of text, about 90,000 rows: a minute of one core

__all__ = ["Smiles"]


class SmilesOptions(MoleculeOptions):
    """Where SMILES stand, and what stands beside them."""

    smiles: str = Field("smiles", description="column of the SMILES")


class Smiles(Format):
    """A compound a row: its SMILES as it stands there, what RDKit makes of it, and its graph."""

    name: ClassVar[str] = "smiles"
    Options: ClassVar[type[FormatOptions]] = SmilesOptions
    libraries: ClassVar[tuple[str, ...]] = ("rdkit",)
    options: SmilesOptions

    def arrays(self) -> Arrays:
        """Atoms and bonds."""
        return GRAPH

    def holds(self) -> Holds:
        """Graphs, and the columns that stay beside them."""
        options = self.options
        made = names("smiles", [name for name in DERIVED if getattr(options, name)])
        kept = None if options.columns is None else made | names(options.targets, options.columns)
        return Holds(named(self.arrays()), kept)

    def plan(self, source: Source) -> Found:
        """Files in ranges of lines."""
        files, refused = walk(source, (*SMI, *TABLES))
        if is_empty(files, refused):
            nothing_found(source, "table of SMILES", "they end in .csv, .tsv, .smi …")
        groups: list[list[Input]] = []
        for file in files:
            source.fetch(file.path)
            try:
                groups += [[one] for one in self._inputs(file, open_path(source, file.path))]
                mind_the_end(open_path(source, file.path), file.path)
            except DataError as error:
                refused.append(Refusal.of(file.path, error))
            source.drop(file.path)
        return Found(groups, refused)

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """Rows with their graphs; a row that is no compound is refused by its line."""
        path, piece = open_path(source, item.paths[0]), Range(*item.extra["range"])
        layout = Layout(**{**item.extra["layout"], "names": tuple(item.extra["layout"]["names"])})
        reader = Reader(self.options.model_dump())
        for block in blocks(path, piece, layout):
            yield from self._made(block, reader, item)

    def _inputs(self, file: File, path: Path) -> Iterator[Input]:
        options = self.options
        layout = layout_of(path, smi=file.path.lower().endswith(SMI), smiles=options.smiles)
        wanted = [options.smiles, options.id, *options.targets, *(options.columns or ())]
        layout.require([name for name in wanted if name is not None])
        for piece in ranges(path, size=SLICE_BYTES):
            key = f"{file.path}:{piece.first + 1}"
            told = {"names": list(layout.names), "delimiter": layout.delimiter}
            one = item(
                key, [file], range=list(astuple(piece)), layout={**told, "headed": layout.headed}
            )
            yield one._replace(size=piece.size)

    def _kinds(self, names: Sequence[str]) -> dict[str, Kind]:
        """What the columns hold that stay beside a compound."""
        options = self.options
        kinds: dict[str, Kind] = dict.fromkeys(options.targets, "number")
        ours = {options.smiles, options.id, *options.targets}
        if options.columns is None:
            return kinds | {name: "text" for name in names if name not in ours}
        return kinds | options.columns

    def _made(self, block: Block, reader: Reader, item: Input) -> Iterator[Sample | Refusal]:
        options, path = self.options, item.paths[0]
        name = stem(path, (*SMI, *TABLES)).replace("/", "_")
        ids = [f"{name}-{number:07d}" for number in block.numbers]
        columns, bad = columns_of(block.columns, self._kinds([*block.columns]))
        texts = [
            "" if row in bad else text for row, text in enumerate(block.columns[options.smiles])
        ]
        parsed = reader.read(texts)
        refused = {row: DataError(text, code=code) for row, (code, text) in parsed.refused.items()}
        lines = {block.numbers[row]: error for row, error in {**refused, **bad}.items()}
        for number, error in sorted({**lines, **block.bad}.items()):
            about = DataError(f"line {number} of {path}: {error.message}", code=error.code)
            yield Refusal.of(item.key, about, sample=f"{name}-{number:07d}")
        if parsed.taken:
            table = pa.table(
                {
                    "sample_id": ids if options.id is None else block.columns[options.id],
                    "smiles": block.columns[options.smiles],
                    **columns,
                }
            ).take(parsed.taken)
            for column, made in parsed.texts.items():
                table = table.append_column(column, pa.array(made, pa.string()))
            yield Rows(table, parsed.arrays)
