"""BED of 3 to 12 columns, its kin (narrowPeak, broadPeak, bedGraph), and bedGraph of tracks."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from medray.errors import DataError
from medray.formats.base import FormatOptions
from medray.formats.features import Feature, FeatureOptions, Features, number, whole
from medray.formats.files import place, replacing
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample, Slabs

MAX_BLOCKS = 100_000
SLAB_BINS = 2**20
# Kinds that add columns to BED6 (ENCODE's definitions): name of the suffix → the columns.
PEAKS = {
    ".narrowpeak": ("signal", "p_value", "q_value", "peak"),
    ".broadpeak": ("signal", "p_value", "q_value"),
}
GRAPHS = (".bedgraph", ".bg")
TRACKS = ("track", "probability")  # arrays (tracks, bins) that bedGraphs are made of


class Bed(Features):
    """Intervals: `contig`, `start`, `end`, `strand`, `name`, `score`, and blocks of exons."""

    name: ClassVar[str] = "bed"
    Options: ClassVar[type[FormatOptions]] = FeatureOptions
    suffixes: ClassVar[tuple[str, ...]] = (".bed", *PEAKS, *GRAPHS)

    def parse(self, line: str, path: str) -> Feature | None:
        """See Features. Cells are apart by tabs, or by blanks where tabs make no three of them."""
        if line.split(None, 1)[0] in ("track", "browser"):
            return None
        cells = [cell.strip() for cell in line.split("\t")]
        if not cells[-1] or len(cells) < 3:
            cells = line.split() if len(cells) < 4 else cells[:-1]
        if len(cells) < 3:
            raise DataError("the line has fewer than 3 columns", code="too-few-columns")
        contig, start, end = cells[0], whole(cells[1]), whole(cells[2])
        bare = path.lower().removesuffix(".gz").removesuffix(".bgz")
        if bare.endswith(GRAPHS):
            if len(cells) < 4:
                raise DataError("the line has fewer than 4 columns", code="too-few-columns")
            return Feature(contig, start, end, ".", None, number(cells[3]), {})
        peak = next((PEAKS[one] for one in PEAKS if bare.endswith(one)), ())
        if peak and len(cells) < 6 + len(peak):
            raise DataError("the line lacks columns of a peak", code="too-few-columns")
        more: dict[str, Any] = {
            name: number(cell) for name, cell in zip(peak, cells[6:], strict=False)
        }
        if not peak and len(cells) >= 8:
            more = {"thick_start": whole(cells[6]), "thick_end": whole(cells[7])}
        if not peak and len(cells) >= 12:
            more.update(_blocks(cells[9:12], start, end))
        return Feature(
            contig,
            start,
            end,
            cells[5] if len(cells) > 5 and cells[5] else ".",
            cells[3] if len(cells) > 3 and cells[3] not in ("", ".") else None,
            number(cells[4]) if len(cells) > 4 else None,
            more,
        )

    def needs(self) -> Needs:
        """A track, and where its bins lie."""
        return Needs((names(TRACKS),), names("contig", "bin_bases"))

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """The tracks, or probabilities of each base."""
        return names & set(TRACKS)

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """A bedGraph of each track (tracks, bins): `<sample>.bedgraph`, or of several
        `<sample>_<track>.bedgraph`. Equal neighbours are one line, bins without a value none.

        Raises:
            DataError: a sample has no track, or no contig ("no-such-array"), or not a name for each
                track ("uneven-names").
        """
        for sample in samples:
            values = next((sample.arrays[one] for one in TRACKS if one in sample.arrays), None)
            contig, width = sample.row.get("contig"), sample.row.get("bin_bases")
            if values is None or isinstance(values, Slabs) or not contig or not width:
                raise DataError("the sample has no track", code="no-such-array", about=sample.id)
            values = np.atleast_2d(values)
            length = int(sample.row.get("length") or values.shape[-1] * width)
            offset = int(sample.row.get("offset") or 0)
            names = sample.row.get("names") or [str(number) for number in range(len(values))]
            if len(names) != len(values) or len(set(names)) < len(names):
                raise DataError(
                    f"{len(set(names))} names for {len(values)} tracks",
                    code="uneven-names",
                    about=sample.id,
                )
            for name, track in zip(names, values, strict=True):
                file = sample.id if len(values) == 1 else f"{sample.id}_{name}"
                path = place(target, file, ".bedgraph")
                with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as out:
                    for start, end, cell in _runs(track, int(width), length):
                        out.write(f"{contig}\t{start + offset}\t{end + offset}\t{cell}\n")
                yield path


def _blocks(cells: list[str], start: int, end: int) -> dict[str, list[int]]:
    count = whole(cells[0])
    sizes, starts = ([whole(one) for one in text.rstrip(",").split(",")] for text in cells[1:])
    if not len(sizes) == len(starts) == count <= MAX_BLOCKS:
        raise DataError("the blocks don't count alike", code="bad-blocks")
    begins = [start + one for one in starts]
    ends = [one + size for one, size in zip(begins, sizes, strict=True)]
    if any(one > end for one in ends):
        raise DataError("a block ends beyond its feature", code="bad-blocks")
    return {"block_starts": begins, "block_ends": ends}


def _runs(values: np.ndarray, width: int, length: int) -> Iterator[tuple[int, int, str]]:
    """Runs of equal bins that have a value: start and end in bases, cell of the line.

    Args:
        values: (bins,).
        width: bases of a bin.
        length: bases of the contig, which may end within the last bin.
    """
    for begin in range(0, len(values), SLAB_BINS):
        slab = values[begin : begin + SLAB_BINS]
        same = (slab[1:] == slab[:-1]) | (np.isnan(slab[1:]) & np.isnan(slab[:-1]))
        edges = [0, *(np.flatnonzero(~same) + 1).tolist(), len(slab)]
        for start, end in pairwise(edges):
            if np.isnan(slab[start]):
                continue
            # As numpy writes the type: the fewest digits that give the same value again.
            cell = np.format_float_positional(slab[start], trim="-")
            yield (begin + start) * width, min((begin + end) * width, length), cell
