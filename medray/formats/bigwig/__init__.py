"""bigWig and wiggle: signals along genomes as tracks of bins, one sample a contig."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from medray.errors import DataError, SpecError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.bigwig.reader import SLAB_BINS, BigWig
from medray.formats.bigwig.wig import MAX_BASES, Wig
from medray.formats.files import File, is_empty, item, nothing_found, open_path, stem, walk
from medray.formats.packed import grouped
from medray.storage.shards.holds import Holds, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays, ArraySpec, Axis

BIGWIGS = (".bw", ".bigwig")
WIGGLES = tuple(f"{one}{packed}" for one in (".wig", ".wigfix") for packed in ("", ".gz", ".bgz"))
GROUP_BYTES = 16 * 2**20  # a unit reads contigs of about this many bytes of bins

__all__ = ["Bigwig"]


class BigwigOptions(FormatOptions):
    """How signals become tracks."""

    bin_bases: PositiveInt = Field(128, description="bases that one value is the mean of")
    missing: Literal["nan", "zero"] = Field(
        "nan",
        description="bases without a value: left out of the means (a bin without any is NaN), "
        "or counted as zero, as suits a coverage",
    )
    dtype: Literal["float16", "float32"] = Field("float16", description="of the bins")
    tracks: dict[str, str] = Field(
        {}, description="name → file below the source, in order; none given: all, by their names"
    )
    contigs: tuple[str, ...] = Field((), description="only these; none given: all")
    lengths: dict[str, PositiveInt] = Field(
        {}, description="contig → bases, which wiggle files don't tell"
    )


class Bigwig(Format):
    """Tracks of one genome: an array `track` (tracks, bins) a contig.

    Bins of 128 bases are those of Basenji and Enformer (Kelley 2018, Avsec 2021): a chromosome of
    250 Mb is 2 million float16, and a window of 2 kb is 16 of them.
    """

    name: ClassVar[str] = "bigwig"
    Options: ClassVar[type[FormatOptions]] = BigwigOptions
    options: BigwigOptions

    def arrays(self) -> Arrays:
        """Tracks, bin by bin."""
        axes = Axis("track"), Axis("bin", "base", "base")
        return {"track": ArraySpec(axes, (self.options.dtype,))}

    def holds(self) -> Holds:
        """A track for each contig."""
        own = ("contig", "length", "bin_bases", "names", "missing")
        return Holds(named(self.arrays()), names(own))

    def plan(self, source: Source) -> Found:
        """An input is a contig, in all of the files. A file without it has no values there."""
        found, refused = walk(source, (*BIGWIGS, *WIGGLES))
        if is_empty(found, refused):
            nothing_found(source, "bigWig or wiggle file", "they end in .bw, .bigwig or .wigfix")
        names = self._named(found)
        lengths: dict[str, set[int]] = {}
        kept: dict[str, File] = {}
        holds: dict[str, dict[str, list[int]]] = {}
        for name, file in names.items():
            source.fetch(file.path)
            try:
                contigs = self._contigs(open_path(source, file.path))
            except DataError as error:
                refused.append(Refusal.of(file.path, error))
                continue
            source.drop(file.path)
            kept[name] = file
            for contig, (length, *place) in contigs.items():
                lengths.setdefault(contig, set()).add(length)
                holds.setdefault(contig, {})[name] = place
        if kept and not lengths:
            reason = "the file has neither values nor contigs"
            refused += [Refusal(file.path, "empty-file", reason) for file in kept.values()]
        items = []
        for contig, known in lengths.items():
            if self.options.contigs and contig not in self.options.contigs:
                continue
            if len(known) > 1:
                reason = "the files don't agree on the contig's length (wiggle: `lengths`)"
                refused.append(Refusal(contig, "length-mismatch", reason))
                continue
            (length,) = known
            places = [holds[contig].get(name) for name in kept]
            one = item(contig, [*kept.values()], names=list(kept), length=length, places=places)
            bins = -(-length // self.options.bin_bases) * len(kept)
            items.append(one._replace(size=bins * np.dtype(self.options.dtype).itemsize))
        return Found(grouped(items, samples=64, size=GROUP_BYTES), refused)

    def named(self) -> list[tuple[str, str]]:
        """The tracks' files."""
        return [("tracks", path) for path in self.options.tracks.values()]

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """The contig: `track` (tracks, bins), and how its bins were made."""
        width, length = self.options.bin_bases, int(item.extra["length"])
        count = -(-length // width)
        paths = [open_path(source, path) for path in item.paths]
        held = zip(paths, item.extra["places"], strict=True)
        readers = [None if place is None else _reader(path, place) for path, place in held]
        shape = (len(readers), count)
        parts = self._parts(readers, item.key, length)
        dtype = np.dtype(self.options.dtype)
        track: np.ndarray | Slabs = Slabs(shape, dtype, 1, parts)
        if count <= SLAB_BINS:
            track = np.concatenate(list(parts), axis=1)
        row = {
            "contig": item.key,
            "length": length,
            "bin_bases": width,
            "names": item.extra["names"],
            "missing": self.options.missing,
        }
        yield Sample(item.key, row, {"track": track})

    def _named(self, found: Iterable[File]) -> dict[str, File]:
        by_path = {file.path: file for file in found}
        if not self.options.tracks:
            names = [stem(path, (*BIGWIGS, *WIGGLES)).replace("/", "_") for path in by_path]
            twice = sorted(name for name, count in Counter(names).items() if count > 1)
            if twice:
                raise SpecError(
                    "two files would be one track",
                    code="duplicate-track",
                    about=twice[0],
                    hint="name them: `tracks`",
                )
            return dict(zip(names, found, strict=True))
        absent = [path for path in self.options.tracks.values() if path not in by_path]
        if absent:
            raise SpecError("a track's file is not there", code="no-such-file", about=absent[0])
        return {name: by_path[path] for name, path in self.options.tracks.items()}

    def _contigs(self, path: Path) -> dict[str, tuple[int, int, int]]:
        """Bases of each contig, and where its lines are in wiggle text."""
        if path.name.lower().endswith(BIGWIGS):
            return {name: (length, 0, 0) for name, length in BigWig(path).contigs().items()}
        contigs = {}
        for contig, (end, first, last) in Wig(path).survey().items():
            length = self.options.lengths.get(contig, end)
            if length > MAX_BASES and contig not in self.options.lengths:
                raise DataError(
                    "a position lies beyond 512 Mb",
                    code="out-of-range",
                    hint="declare the contig's length: `lengths`",
                )
            contigs[contig] = length, first, last
        return contigs

    def _parts(
        self, readers: "list[BigWig | Wig | None]", contig: str, length: int
    ) -> Iterator[np.ndarray]:
        """Slabs of all tracks together, (tracks, bins of the slab)."""
        width = self.options.bin_bases
        empty = float("nan") if self.options.missing == "nan" else 0.0
        count = -(-length // width)
        streams = [
            _even(reader.bins(contig, length, width, empty) if reader else _none(count, empty))
            for reader in readers
        ]
        for rows in zip(*streams, strict=True):
            values: np.ndarray[Any, Any] = np.stack(rows)
            with np.errstate(over="ignore"):
                made = values.astype(self.options.dtype)
            if np.isinf(made).any():
                raise DataError(
                    f"a value is beyond {self.options.dtype}",
                    code="value-out-of-range",
                    hint="dtype: float32" if self.options.dtype == "float16" else "",
                )
            yield made


def _reader(path: Path, place: Sequence[int]) -> BigWig | Wig:
    if path.name.lower().endswith(BIGWIGS):
        return BigWig(path)
    return Wig(path, (place[0], place[1]))


def _none(count: int, empty: float) -> Iterator[np.ndarray]:
    for at in range(0, count, SLAB_BINS):
        yield np.full(min(SLAB_BINS, count - at), empty, np.float32)


def _even(parts: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The same values in slabs of SLAB_BINS, whatever the sizes they come in."""
    held: list[np.ndarray] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part)
        while size >= SLAB_BINS:
            joined = np.concatenate(held)
            yield joined[:SLAB_BINS]
            held, size = [joined[SLAB_BINS:]], size - SLAB_BINS
    if size:
        yield np.concatenate(held)
