"""Expression matrices: CSV and TSV, 10x folders and HDF5, h5ad; cells (or samples) x genes."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source, joined
from medray.formats.expression.anndata_zarr import write_anndata
from medray.formats.expression.h5ad import H5ad
from medray.formats.expression.matrices import (
    Matrix,
    checked_names,
    digest_of,
    strip_version,
    unique_names,
)
from medray.formats.expression.members import MTX, matrices
from medray.formats.expression.options import FEATURES, ExpressionOptions
from medray.formats.expression.tenx import File, Folder
from medray.formats.expression.text import CellLines, GeneLines
from medray.formats.files import is_empty, nothing_found, open_path, stem, walk
from medray.formats.naming import Apart
from medray.formats.packed import grouped
from medray.formats.tabular.delimited import SUFFIXES as TEXT
from medray.storage.shards.holds import TOLD, Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis

SUFFIXES = (*TEXT, *MTX, ".h5", ".h5ad")
RESERVED = frozenset({"sample_id", "subject", "split", "fold", "target", "class_name", "has_label"})
GROUP = 2  # ranges of cells in a unit

__all__ = ["Expression", "ExpressionOptions"]


class Expression(Format):
    """A cell is a sample: its values are the array `features`, what is known of it its row.

    Names of genes stand once, in the dataset's attributes: `features` (array → names),
    `duplicate_features` (names that occurred more than once, and were numbered).
    """

    name: ClassVar[str] = "expression"
    Options: ClassVar[type[FormatOptions]] = ExpressionOptions
    options: ExpressionOptions
    many: ClassVar[bool] = True

    def arrays(self) -> Arrays:
        """Expression of genes."""
        return {FEATURES: ArraySpec((Axis("feature"),))}

    def holds(self) -> Holds:
        """Expression of genes; which observations there are, only the data know."""
        told = names("target", "class_name") if self.options.target else names()
        return Holds(named(self.arrays()), lacks=TOLD - told, classes=self.options.classes or None)

    def needs(self) -> Needs:
        """Features."""
        return Needs((names(FEATURES),))

    def plan(self, source: Source) -> Found:
        """Genes and cells of every matrix."""
        files, refused = walk(source, SUFFIXES)
        if is_empty(files, refused):
            nothing_found(source, "expression matrix", f"files end in {', '.join(SUFFIXES)}")
        items: list[Input] = []
        genes: list[str] | None = None
        twice: list[str] = []
        apart = Apart()
        found, lone = matrices(files)
        refused += lone
        for key, members in found.items():
            for file in members:
                source.fetch(file.path)
            try:
                apart.require(stem(key, SUFFIXES))
                paths = [file.path for file in members]
                survey = self._matrix(source, paths).survey()
                names, repeated = self._names(survey.genes)
                if genes is None:
                    genes, twice = names, repeated
                if names != genes:
                    raise DataError(
                        "the genes are not those of the matrix before it",
                        code="other-genes",
                        hint="matrices of one dataset have the same genes in the same order",
                    )
            except DataError as error:
                refused.append(Refusal.of(key, error, files=len(members)))
                continue
            finally:
                for file in members:
                    source.drop(file.path)
            prefix = "" if len(found) == 1 else f"{stem(key, SUFFIXES).replace('/', '_')}-"
            start = 0
            again = _twice(survey.cells)
            for stop, digest in zip(survey.cut, survey.digests, strict=True):
                items.append(
                    Input(
                        key=f"{key}:{start}",
                        paths=tuple(paths),
                        fingerprint=digest_of(digest, start, stop),
                        size=4 * (stop - start) * len(names),
                        stamp=joined([file.stamp for file in members]),
                        extra={
                            "start": start,
                            "stop": stop,
                            "prefix": prefix,
                            "twice": again[bisect_left(again, start) : bisect_left(again, stop)],
                        },
                    )
                )
                start = stop
        attributes: dict[str, Any] = {}
        if genes is not None:
            attributes = {FEATURES: {FEATURES: genes}, "duplicate_features": twice}
        return Found(grouped(items, samples=GROUP), refused, attributes)

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """Cells in order. One that can't be read, or whose id was there before, is refused; so is a
        column of `obs` that nobody named."""
        start, stop, row = item.extra["start"], item.extra["stop"], item.extra["start"]
        twice = set(item.extra["twice"])
        for block in self._matrix(source, list(item.paths)).blocks(start, stop):
            for error in block.lost:
                yield Refusal.of(item.key, error, sample=error.about)
            every = zip(block.cells, block.values, block.known, strict=True)
            for at, (cell, values, known) in enumerate(every):
                row += 1
                try:
                    if at in block.faults:
                        raise block.faults[at]
                    if not cell or row - 1 in twice:
                        code = "duplicate-id" if cell else "no-id"
                        raise DataError("the cell has no id of its own", code=code)
                    sample_id = f"{item.extra['prefix']}{cell}"
                    yield Sample(sample_id, self._row(sample_id, known), {FEATURES: values})
                except DataError as error:
                    yield Refusal.of(item.key, error, sample=f"cell {row}")
        if row < stop:
            raise DataError("the matrix has fewer cells than when it was planned", code="changed")

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """The features."""
        return names & {FEATURES}

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """An AnnData-Zarr store of the samples, named by them.

        Raises:
            DataError: samples have no features, or not equally many (code "uneven-features").
        """
        yield write_anndata(list(samples), target)

    def _matrix(self, source: Source, paths: list[str]) -> Matrix:
        options = self.options
        places = [open_path(source, path) for path in paths]
        symbols, types = options.names == "symbol", options.feature_types
        name = places[0].name.lower()
        if name.endswith(MTX):
            if len(places) < 3:
                raise DataError(
                    "barcodes.tsv, or features.tsv or genes.tsv, is not beside it under its prefix",
                    code="missing-file",
                )
            return Folder(*places, symbols=symbols, types=types)
        if name.endswith(".h5ad"):
            return H5ad(places[0], options.layer, options.observations)
        if name.endswith(".h5"):
            return File(places[0], symbols=symbols, types=types)
        if options.genes == "rows":
            return GeneLines(places[0])
        return CellLines(places[0], options.observations or ())

    def _names(self, names: tuple[str, ...]) -> tuple[list[str], list[str]]:
        checked = checked_names(names, self.options.max_genes)
        if self.options.versions == "strip":
            checked = tuple(strip_version(name) for name in checked)
        return unique_names(checked)

    def _row(self, sample_id: str, known: dict[str, Any]) -> dict[str, Any]:
        options = self.options
        row: dict[str, Any] = {"subject": sample_id}
        if options.subject is not None:
            row["subject"] = str(_known(known, options.subject) or sample_id)
        if options.target is not None:
            value = _known(known, options.target)
            row |= {"target": value, "has_label": value is not None}
            if options.classes and value is not None:
                if value not in options.classes:
                    raise DataError("the target names no class", code="bad-label")
                row |= {"target": options.classes.index(value), "class_name": value}
        named = {f"obs_{name}" if name in RESERVED else name: v for name, v in known.items()}
        return {**row, **named}


def _twice(cells: Sequence[str]) -> list[int]:
    """Rows whose id stood in an earlier one."""
    seen: set[str] = set()
    again = []
    for row, cell in enumerate(cells):
        if cell in seen:
            again.append(row)
        seen.add(cell)
    return again


def _known(known: dict[str, Any], name: str) -> Any:
    if name not in known:
        raise DataError(f"there is no column {name!r}", code="no-such-column")
    return known[name]
