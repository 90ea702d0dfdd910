"""Compounds as SMILES in tables, a row each: CSV, TSV, .smi and Parquet."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import File, is_empty, item, nothing_found, open_path, stem, walk
from medray.formats.molecules.cells import columns_of
from medray.formats.molecules.graph import ARRAYS
from medray.formats.molecules.guard import Guard
from medray.formats.molecules.options import Kind, MoleculeOptions
from medray.formats.molecules.reading import attributes_of
from medray.formats.molecules.rows import Asked, named
from medray.formats.smiles import parquet, text
from medray.formats.smiles.block import Block
from medray.formats.tabular.text import mind_the_end
from medray.storage.shards.holds import Holds, names
from medray.storage.shards.holds import named as names_of
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays

SUFFIXES = (*text.SUFFIXES, *parquet.SUFFIXES)
READER = "medray.formats.molecules.reading:Reader"

__all__ = ["Smiles"]


class SmilesOptions(MoleculeOptions):
    """Where SMILES stand, and what stands beside them."""

    smiles: str = Field("smiles", description="column of the SMILES")
    max_characters: int = Field(1000, gt=0, description="refuse longer SMILES")


class Smiles(Format):
    """A compound a row: its SMILES as it stands there, what RDKit makes of it, and its graph."""

    name: ClassVar[str] = "smiles"
    Options: ClassVar[type[FormatOptions]] = SmilesOptions
    libraries: ClassVar[tuple[str, ...]] = ("rdkit",)
    options: SmilesOptions

    def arrays(self) -> Arrays:
        """Atoms and bonds, and what else is asked for."""
        return {name: spec for name, spec in ARRAYS.items() if name in self.options.arrays}

    def holds(self) -> Holds:
        """Graphs, and the columns that stay beside them."""
        options = self.options
        made = names("smiles", options.made)
        kept = None if options.columns is None else made | names(options.targets, options.columns)
        return Holds(names_of(self.arrays()), kept)

    def plan(self, source: Source) -> Found:
        """Slices of files, each a unit."""
        options = self.options
        files, refused = walk(source, SUFFIXES)
        if is_empty(files, refused):
            nothing_found(source, "table of SMILES", "they end in .csv, .tsv, .smi, .parquet …")
        groups: list[list[Input]] = []
        for file in files:
            source.fetch(file.path)
            try:
                groups += [[one] for one in self._inputs(file, open_path(source, file.path))]
            except DataError as error:
                refused.append(Refusal.of(file.path, error))
            source.drop(file.path)
        return Found(groups, refused, attributes_of(options))

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """Rows with their graphs; a row that is no compound is refused by its number."""
        options, held, path = self.options, deque[Asked](), item.paths[0]
        kind = parquet if path.lower().endswith(parquet.SUFFIXES) else text

        def texts() -> Iterator[Sequence[str]]:
            for block in kind.blocks(open_path(source, path), item.extra, self._wanted()):
                held.append(self._asked(block, path))
                yield held[-1].texts

        guard = Guard(READER, options.model_dump(), options.row_seconds)
        for parsed in guard.read(texts()):
            yield from held.popleft().made(parsed, item.key)

    def _wanted(self) -> list[str] | None:
        """The columns that are read; None: all."""
        options = self.options
        if options.columns is None:
            return None
        several = [options.smiles, options.id, *options.targets, *options.columns]
        return [name for name in dict.fromkeys(several) if name is not None]

    def _inputs(self, file: File, path: Path) -> Iterator[Input]:
        options = self.options
        if file.path.lower().endswith(parquet.SUFFIXES):
            known, slices = parquet.survey(path)
        else:
            known, slices = text.survey(path, options.smiles)
            mind_the_end(path, file.path)
        for name in (options.smiles, options.id, *options.targets, *(options.columns or ())):
            if name is not None and name not in known:
                raise DataError(
                    f"there is no column {name!r}",
                    code="no-such-column",
                    hint=f"columns: {', '.join(known)}",
                )
        for one in slices:
            made = item(f"{file.path}:{one.first}", [file], **one.extra)
            yield made._replace(size=one.size)

    def _kinds(self, known: Sequence[str]) -> dict[str, Kind]:
        """What the columns hold that stay beside a compound."""
        options = self.options
        kinds: dict[str, Kind] = dict.fromkeys(options.targets, "number")
        ours = {options.smiles, options.id, *options.targets}
        if options.columns is None:
            return kinds | {name: "as it is" for name in known if name not in ours}
        return kinds | options.columns

    def _asked(self, block: Block, path: str) -> Asked:
        options, prefix = self.options, stem(path, SUFFIXES).replace("/", "_")
        columns, bad = columns_of(block.columns, self._kinds([*block.columns]))
        smiles = block.texts(options.smiles)
        for row, one in enumerate(smiles):
            if len(one) > options.max_characters:
                bad[row] = DataError(f"the SMILES has {len(one)} characters", code="too-long")
        ids = [named(prefix, number) for number in block.numbers]
        if options.id is not None:
            ids = block.texts(options.id)
            for row in [row for row, one in enumerate(ids) if not one]:
                bad.setdefault(row, DataError("the row has no id", code="no-id"))
        return Asked(
            path,
            block.place,
            prefix,
            block.numbers,
            ["" if row in bad else one for row, one in enumerate(smiles)],
            {"sample_id": ids, "smiles": smiles, **columns},
            bad,
            block.bad,
        )
