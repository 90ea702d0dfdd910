"""Windows of a genome, each a sequence with, where sites are given, a class for every base."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from medray.errors import SpecError
from medray.formats.genomics.alphabet import decode
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis
from medray.storage.shards.stored import InShard

NO_LABEL = 255  # of bases in a flank: shown, but neither learnt nor judged
SITE, BLANK = 1, 0


class WindowOptions(TransformOptions):
    """How a genome is cut."""

    width: int = Field(ge=1, description="bases of a window that are judged")
    flank: int = Field(0, ge=0, description="bases on either side that are shown besides")
    block: int | None = Field(
        None, ge=1, description="bases that stay in one fold; windows end with it; null: a window"
    )
    folds: int = Field(5, ge=2, description="blocks go to folds 0, 1, … in turn")
    contig: str = Field("contig", description="column of a site's contig")
    position: str = Field("pos", description="column of a site's position, from 1")
    locus: str | None = Field(
        None, description="column that holds both, as chrM:5; takes the place of the two"
    )
    where: dict[str, str | int | float | bool] = Field(
        {}, description="sites whose columns have these values, or at least it, of a number"
    )


class Windows(Transformation):
    """Windows of every contig, in order.

    With `using: {sites: …}` each has an array `label`, uint8 (bases,): 1 where a site is, 0 where
    none is, 255 in a flank. Rows have `contig`, `start` and `end` (0-based, half-open, of what is
    judged), `offset` of it in `sequence`, `block` and `fold`.
    """

    name: ClassVar[str] = "genome-windows"
    Options: ClassVar[type[TransformOptions]] = WindowOptions
    roles: ClassVar[tuple[str, ...]] = ("sites",)
    required: ClassVar[frozenset[str]] = frozenset()
    options: WindowOptions

    def __init__(
        self, options: WindowOptions, using: Mapping[str, Dataset], attributes: Mapping[str, Any]
    ) -> None:
        super().__init__(options, using, attributes)
        sites = using.get("sites")
        self._sites = None if sites is None else positions(sites, options)

    @classmethod
    def needs(cls, options: WindowOptions, role: str = "") -> Needs:
        """Contigs; of sites their places."""
        if role != "sites":
            return Needs((names("sequence"),), names("contig"), hint="ingest a genome by `fasta`")
        places = (options.locus,) if options.locus else (options.contig, options.position)
        return Needs(columns=names(places, options.where))

    @classmethod
    def arrays(cls, options: WindowOptions, using: frozenset[str]) -> Arrays:
        """Labels where there are sites."""
        label = ArraySpec((Axis("base", "base", "base"),), ("uint8",))
        return {"label": label} if "sites" in using else {}

    @classmethod
    def holds(cls, options: WindowOptions, using: frozenset[str]) -> Holds:
        """Windows, with labels where there are sites."""
        own = ("contig", "start", "end", "offset", "block", "fold", "sequence")
        return Holds(named(cls.arrays(options, using)), names(own))

    def apply(self, sample: InShard) -> Iterator[Sample | Refusal]:
        """The windows of one contig.

        Raises:
            SpecError: a site lies beyond the contig's end (code "site-outside").
        """
        contig, genome = str(sample.row["contig"]), sample.array("sequence")
        size, before = genome.shape[0], int(sample.row.get("offset") or 0)
        labels = self._labels([contig, *(sample.row.get("aliases") or [])], before, size)
        options = self.options
        block = options.block or options.width
        for number, first in enumerate(range(0, size, block)):
            last = min(first + block, size)
            for start in range(first, last, options.width):
                end = min(start + options.width, last)
                low, high = max(0, start - options.flank), min(size, end + options.flank)
                row = {
                    "contig": contig,
                    "start": before + start,
                    "end": before + end,
                    "offset": start - low,
                    "block": f"{contig}:{number}",
                    "fold": number % options.folds,
                    "sequence": decode(genome[low:high]),
                }
                arrays: dict[str, Any] = {}
                if labels is not None:
                    label = np.full(high - low, NO_LABEL, np.uint8)
                    label[start - low : end - low] = labels[start:end]
                    arrays["label"] = label
                yield Sample(f"{contig}:{before + start}-{before + end}", row, arrays)

    def conclude(self, shards: Sequence[Shard], data: Dataset) -> dict[str, Any]:
        """How many positions are sites.

        Raises:
            SpecError: sites lie on a contig that the genome lacks (code "unknown-contig").
        """
        if self._sites is None:
            return {}
        known: set[str] = set()
        for row in data.samples.to_pylist():
            known |= {str(row["contig"]), *(row.get("aliases") or [])}
        strange = sorted(self._sites.keys() - known)
        if strange:
            raise SpecError(
                f"{sum(len(self._sites[name]) for name in strange)} sites lie on contigs that the "
                f"genome lacks, such as {strange[0]!r}",
                code="unknown-contig",
                about=data.reference,
                hint="give aliases at its ingest, or leave these sites out by `where`",
            )
        return {"metrics": {"sites": sum(len(at) for at in self._sites.values())}}

    def _labels(self, names: Sequence[str], before: int, size: int) -> np.ndarray | None:
        if self._sites is None:
            return None
        labels = np.full(size, BLANK, np.uint8)
        for name in names:
            at = self._sites.get(name, np.zeros(0, np.int64)) - before
            if len(at) and not (at.min() >= 0 and at.max() < size):
                raise SpecError(
                    f"a site lies beyond the {size} bases of the contig that the genome has",
                    code="site-outside",
                    about=name,
                    hint="take the genome that the sites were called on",
                )
            labels[at] = SITE
        return labels


def positions(sites: Dataset, options: WindowOptions) -> dict[str, np.ndarray]:
    """Contig → positions of its sites, from 0, ascending, each once.

    Raises:
        SpecError: a column is not there (code "no-such-column"), or a locus is no `contig:position`
            (code "bad-locus").
    """
    wanted = [options.locus] if options.locus else [options.contig, options.position]
    table = sites.samples
    for column in (*wanted, *options.where):
        if column not in table.column_names:
            raise SpecError(
                f"the sites have no column {column!r}",
                code="no-such-column",
                about=sites.name,
                hint=f"columns: {', '.join(table.column_names)}",
            )
    keep = np.ones(len(table), bool)
    for column, value in options.where.items():
        values = np.asarray(table[column].to_pylist())
        number = isinstance(value, int | float) and not isinstance(value, bool)
        keep &= values >= value if number else values == value
    table = table.select(wanted).filter(pa.array(keep))
    if options.locus:
        pairs = [str(one).rpartition(":") for one in table[options.locus].to_pylist()]
        if not all(contig and place.isdigit() for contig, _, place in pairs):
            raise SpecError(
                "a locus is written contig:position", code="bad-locus", about=options.locus
            )
        contigs, places = [one[0] for one in pairs], [int(one[2]) for one in pairs]
    else:
        contigs = [str(one) for one in table[options.contig].to_pylist()]
        places = table[options.position].to_pylist()
    names, at = np.asarray(contigs), np.asarray(places, np.int64) - 1
    return {str(name): np.unique(at[names == name]) for name in np.unique(names)}
