"""Features on a genome, as BED, GTF and GFF3 tell them: rows with 0-based half-open coordinates.

BED counts from 0 and excludes the end, GTF and GFF3 count from 1 and include it; here both are
`start`, `end` with `end - start` bases between, so one feature is the same from either.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, NonNegativeInt

from medray.errors import DataError, SpecError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import (
    INDICES,
    File,
    is_empty,
    item,
    nothing_found,
    open_path,
    stem,
    walk,
)
from medray.formats.naming import Apart
from medray.formats.tabular.text import Range, decoded, lines, mind_the_end, ranges
from medray.storage.shards.holds import TOLD, Holds, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

MAX_POSITION = 2**40
MAX_REFUSED = 1000  # lines of one input that are listed one by one


PLINK = b"\x6c\x1b"  # a table of genotypes begins so


class FeatureOptions(FormatOptions):
    """What all formats of features can be told."""

    lengths: dict[str, NonNegativeInt] = Field(
        {}, description="contig → bases; features beyond them are refused"
    )
    genome: str | None = Field(
        None, description="table of lengths below the source: chrom.sizes, or a genome's .fai"
    )
    circular: tuple[str, ...] = Field(
        (), description="contigs without an end: a feature may go on beyond it (column `wraps`)"
    )


@dataclass(frozen=True)
class Feature:
    """One line.

    Args:
        contig: that it lies on.
        start: first base, from 0.
        end: behind the last base.
        strand: "+", "-" or ".".
        name: of the feature, where it has one.
        score: as the file has it.
        more: columns of its own kind of file.
    """

    contig: str
    start: int
    end: int
    strand: str
    name: str | None
    score: float | None
    more: dict[str, Any]


class Features(Format):
    """A file's lines to rows. What a line says is the formats' own: see `parse`."""

    suffixes: ClassVar[tuple[str, ...]]
    endings: ClassVar[tuple[bytes, ...]] = ()  # beginnings of lines that no feature comes after
    options: FeatureOptions

    @abstractmethod
    def parse(self, line: str, path: str) -> Feature | None:
        """One line's feature; None for comments, and for kinds of features that are not wanted.

        Raises:
            DataError: the line can't be read, with a code that says why.
        """

    def holds(self) -> Holds:
        """Rows without arrays."""
        return Holds(names(), lacks=TOLD)

    def plan(self, source: Source) -> Found:
        """Files cut into ranges of lines."""
        packed = ("", ".gz", ".bgz")
        suffixes = tuple(f"{one}{end}" for one in self.suffixes for end in packed)
        found, refused = walk(source, suffixes, own=(*INDICES, self.options.genome or ""))
        if is_empty(found, refused):
            nothing_found(source, f"{self.name.upper()} file", f"they end in {', '.join(suffixes)}")
        table, groups, apart = self._table(source), [], Apart()
        for file in found:
            source.fetch(file.path)
            try:
                apart.require(stem(file.path, suffixes))
                _no_genotypes(open_path(source, file.path))
                pieces = list(ranges(open_path(source, file.path), until=self.endings))
                mind_the_end(open_path(source, file.path), file.path)
            except DataError as error:
                refused.append(Refusal.of(file.path, error))
                continue
            source.drop(file.path)
            if not pieces:
                refused.append(Refusal(file.path, "empty-file", "the file is empty"))
            name = stem(file.path, suffixes).replace("/", "_")
            for piece in pieces:
                key, part = f"{file.path}:{piece.first + 1}", list(astuple(piece))
                one = item(key, [file, *table], id=name, range=part)
                groups.append([one._replace(size=piece.size)])
        return Found(groups, refused)

    def named(self) -> list[tuple[str, str]]:
        """The genome's lengths."""
        return [("genome", self.options.genome)] if self.options.genome else []

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """A row each, named by the file and the line; lines that can't be read are refused."""
        path, piece = open_path(source, item.paths[0]), Range(*item.extra["range"])
        lengths, refused = self._lengths(source), 0
        for number, line in enumerate(lines(path, piece), start=piece.first + 1):
            sample_id = f"{item.extra['id']}-{number:07d}"
            try:
                feature = self._feature(line, item.paths[0])
                if feature is not None:
                    yield Sample(sample_id, self._row(feature, lengths))
            except DataError as error:
                refused += 1
                if refused > MAX_REFUSED:
                    raise DataError(
                        f"over {MAX_REFUSED} lines can't be read, the last one: {error.code}",
                        code="too-many-bad-lines",
                    ) from error
                yield Refusal.of(item.key, error, sample=sample_id)

    def _feature(self, line: bytes, path: str) -> Feature | None:
        bare = line.lstrip()
        return self.parse(decoded(line), path) if bare and not bare.startswith(b"#") else None

    def _row(self, feature: Feature, lengths: dict[str, int]) -> dict[str, Any]:
        contig, start, end = feature.contig, feature.start, feature.end
        if not contig or not contig.isprintable():
            raise DataError("the contig has no name", code="bad-contig")
        if feature.strand not in ("+", "-", "."):
            raise DataError("the strand is none of + - .", code="bad-strand")
        if end < start:
            raise DataError("the feature ends before it starts", code="end-before-start")
        wraps = False
        if lengths:
            if contig not in lengths:
                raise DataError("the contig has no length in `lengths`", code="unknown-contig")
            wraps = end > lengths[contig]
            if wraps and (contig not in self.options.circular or start >= lengths[contig]):
                raise DataError(
                    f"the feature ends {end - lengths[contig]} bases beyond the contig's end",
                    code="out-of-range",
                    hint="is the contig circular, or of another assembly?",
                )
        return {
            "contig": contig,
            "start": start,
            "end": end,
            "strand": feature.strand,
            "name": feature.name,
            "score": feature.score,
            **({"wraps": wraps} if self.options.circular else {}),
            **feature.more,
        }

    def _table(self, source: Source) -> list[File]:
        """The table of lengths, which features depend on as on their own file."""
        options = self.options
        if options.circular and not options.lengths and options.genome is None:
            raise SpecError("`circular` needs `lengths` or `genome`", code="no-lengths")
        if options.genome is None:
            return []
        source.fetch(options.genome)
        try:
            self._lengths(source)
            stat = open_path(source, options.genome).stat()
        except DataError as error:
            raise SpecError(error.message, code=error.code, about=options.genome) from error
        return [File.of(source, options.genome, stat)]

    def _lengths(self, source: Source) -> dict[str, int]:
        known: dict[str, int] = {}
        if self.options.genome is not None:
            path = open_path(source, self.options.genome)
            stat = path.stat()
            known = _table_of(path, stat.st_size, stat.st_mtime_ns)
        return {**known, **self.options.lengths}


@lru_cache(maxsize=2)
def _table_of(path: Path, _size: int, _changed: int) -> dict[str, int]:
    """Contig → bases, read once for all ranges of all files.

    Raises:
        DataError: a line has not both (code "bad-lengths").
    """
    try:
        rows = [line.split() for line in lines(path) if line.strip() and line[:1] != b"#"]
        return {row[0].decode(): int(row[1]) for row in rows}
    except (ValueError, IndexError) as error:
        raise DataError(
            "the table of lengths has no contig and length in each line", code="bad-lengths"
        ) from error


def whole(text: str) -> int:
    """A coordinate.

    Raises:
        DataError: it is no whole number from 0 to 2**40 (code "bad-coordinate").
    """
    if not (text.isascii() and text.isdigit() and len(text) < 14 and int(text) <= MAX_POSITION):
        raise DataError("a coordinate is no whole number", code="bad-coordinate")
    return int(text)


def number(text: str) -> float | None:
    """A score; None for a dot, which stands for none.

    Raises:
        DataError: it is no finite number (code "bad-score").
    """
    if text in (".", ""):
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise DataError("a score is no number", code="bad-score")
    return value


def _no_genotypes(path: Path) -> None:
    """That a file called .bed is not PLINK's.

    Raises:
        DataError: it is (code "other-format").
    """
    with path.open("rb") as file:
        if file.read(len(PLINK)) == PLINK:
            raise DataError(
                "genotypes of PLINK, and no BED of features",
                code="other-format",
                hint="`plink2 --bfile NAME --export vcf bgz`, and the format `vcf`",
            )
