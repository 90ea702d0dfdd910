"""Compounds and proteins in pairs, and how strongly they bind: matrices in folders, long tables."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from medray.errors import DataError, SpecError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import (
    File,
    Files,
    is_empty,
    item,
    nothing_found,
    open_path,
    stem,
    walk,
)
from medray.formats.molecules import parquet, text
from medray.formats.molecules.reading import attributes_of
from medray.formats.naming import Apart
from medray.formats.pairs import matrices, tables
from medray.formats.pairs.measured import rows_of
from medray.formats.pairs.options import ARRAYS, PairsOptions
from medray.formats.tabular.text import mind_the_end
from medray.storage.shards.holds import TOLD, Holds, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays

__all__ = ["Pairs"]


class Pairs(Format):
    """A pair a row: the compound's graph, the protein's residues, and the affinity.

    A folder that has a file of compounds is read as a matrix; of all others every table is.
    """

    name: ClassVar[str] = "pairs"
    Options: ClassVar[type[FormatOptions]] = PairsOptions
    libraries: ClassVar[tuple[str, ...]] = ("rdkit",)
    suffixes: ClassVar[tuple[str, ...]] = (*text.TABLES, *parquet.SUFFIXES)
    options: PairsOptions

    def arrays(self) -> Arrays:
        """Atoms and bonds of the compound, residues of the protein."""
        return ARRAYS

    def holds(self) -> Holds:
        """Graphs, residues and columns; of the latter only the source knows all."""
        return Holds(names(ARRAYS), lacks=TOLD - names("fold", self.options.columns))

    def plan(self, source: Source) -> Found:
        """Matrices by rows, tables by slices, each a unit."""
        options = self.options
        several = (options.compounds, options.proteins, options.matrix)
        known = tuple(name.lower() for name in several if name)
        files, refused = walk(source, (*self.suffixes, *known))
        if is_empty(files, refused):
            nothing_found(source, "pairs", f"{options.compounds}, or {', '.join(self.suffixes)}")
        groups, told = list[list[Input]](), dict[str, Any]()
        (folders, loose), apart = self._folders(files), Apart()
        for home, own in folders.items():
            for file in own:
                source.fetch(file.path)
            try:
                apart.require(f"{home}pair")
                inputs, told[home], passed = matrices.planned(source, home, own, options)
            except DataError as error:
                refused.append(Refusal.of(f"{home}{options.compounds}", error, files=len(own)))
            else:
                groups += [[one] for one in inputs]
                refused += passed
            for file in own:
                source.drop(file.path)
        for file in loose:
            source.fetch(file.path)
            try:
                apart.require(stem(file.path, self.suffixes))
                groups += [[one] for one in self._slices(file, open_path(source, file.path))]
            except DataError as error:
                refused.append(Refusal.of(file.path, error))
            source.drop(file.path)
        attributes = attributes_of(options.reading)
        return Found(groups, refused, attributes | ({"matrices": told} if told else {}))

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """Rows of a matrix or of a table; a pair that can't be used is refused by its number."""
        if "compounds" in item.extra:
            pairs = matrices.cells(source, item)
        else:
            path, options = item.paths[0], self.options
            kind, opened = parquet if _is_parquet(path) else text, open_path(source, path)
            blocks = kind.blocks(opened, item.extra, tables.wanted(options))
            prefix = stem(path, self.suffixes).replace("/", "_")
            pairs = tables.measured(blocks, options, path, prefix)
        yield from rows_of(pairs, self.options, item.key)

    def _folders(self, files: Files) -> tuple[dict[str, list[File]], list[File]]:
        """Files of each folder with a matrix, by its path with a slash behind it; all others."""
        ours = [PurePosixPath(one.path) for one in files]
        ours = [path.parent for path in ours if path.name == self.options.compounds]
        homes = {"" if path == PurePosixPath() else f"{path}/": list[File]() for path in ours}
        loose = list[File]()
        for file in files:
            home = max((one for one in homes if file.path.startswith(one)), key=len, default=None)
            (loose if home is None else homes[home]).append(file)
        return homes, loose

    def _slices(self, file: File, path: Path) -> Iterator[Input]:
        options = self.options
        if options.value is not None and options.scale == "auto":
            raise SpecError(
                "a table does not say on which scale its values are",
                code="no-scale",
                about=file.path,
                hint="say `scale: nM` or `scale: p`",
            )
        if _is_parquet(file.path):
            known, slices = parquet.survey(path)
        else:
            mind_the_end(path, path.name)
            known, slices = text.survey(path, options.smiles)
        for name in tables.wanted(options):
            if name not in known:
                raise DataError(
                    f"there is no column {name!r}",
                    code="no-such-column",
                    hint=f"columns: {', '.join(known)}",
                )
        for one in slices:
            made = item(f"{file.path}:{one.first}", [file], **one.extra)
            yield made._replace(size=one.size)


def _is_parquet(path: str) -> bool:
    return path.lower().endswith(parquet.SUFFIXES)
