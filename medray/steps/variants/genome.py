"""A genome store: contigs by any of their names, read in stretches."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medray.errors import SpecError
from medray.ids import short
from medray.steps.variants.windows import UNKNOWN, Stretch
from medray.storage.catalog.datasets import Dataset


@dataclass(frozen=True)
class Contig:
    """One contig, or the piece of it that the genome has.

    Args:
        index: of its sample in the dataset.
        name: its own.
        length: bases.
        offset: bases of the contig that lie before the piece.
        sha256: of its codes.
        iupac: SHA-256 of its array `iupac` (see `formats.fasta`); None where it has none.
    """

    index: int
    name: str
    length: int
    offset: int
    sha256: str
    iupac: str | None


class Genome:
    """A dataset whose samples are contigs.

    Args:
        dataset: as the format `fasta` makes it.

    Raises:
        SpecError: its samples are no contigs (code "no-genome").
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        rows = dataset.samples.to_pylist()
        if not rows or not {"contig", "length", "sha256"} <= rows[0].keys():
            raise SpecError(
                "its samples are no contigs",
                code="no-genome",
                about=dataset.reference,
                hint="ingest a FASTA file by the format `fasta`",
            )
        self._contigs = [
            Contig(
                at,
                row["contig"],
                row["length"],
                row.get("offset") or 0,
                row["sha256"],
                row.get("iupac_sha256"),
            )
            for at, row in enumerate(rows)
        ]
        self._names: dict[str, Contig] = {}
        for contig, row in zip(self._contigs, rows, strict=True):
            for alias in row.get("aliases") or ():
                self._names.setdefault(alias, contig)
        self._names.update({contig.name: contig for contig in self._contigs})

    @cached_property
    def digest(self) -> str:
        """Hash of the contigs' names, places and bases, however they are stored."""
        contigs = sorted(self._contigs, key=lambda contig: contig.name)
        return short(
            [
                [one.name, one.length, one.offset, one.sha256, *([one.iupac] if one.iupac else [])]
                for one in contigs
            ]
        )

    def find(self, name: str) -> Contig:
        """The contig of that name or alias.

        Raises:
            SpecError: there is none (code "unknown-contig").
        """
        contig = self._names.get(name)
        if contig is None:
            near = ", ".join(one.name for one in self._contigs[:5])
            raise SpecError(
                f"the genome has no contig {name!r}",
                code="unknown-contig",
                about=self._dataset.reference,
                hint=f"it has {near} …; give aliases at its ingest, or select contigs it has",
            )
        return contig

    def stretch(self, contig: Contig, low: int, high: int) -> Stretch:
        """Bases [low, high) of a contig, counted within the piece; N where they leave it."""
        codes = np.full(max(0, high - low), UNKNOWN, np.uint8)
        first, last = max(0, low), min(high, contig.length)
        stated = codes
        if first < last:
            stored = self._dataset.array(contig.index, "sequence")
            codes[first - low : last - low] = stored[first:last]
            if contig.iupac:
                named = self._dataset.array(contig.index, "iupac")[first:last]
                stated = codes.copy()
                stated[first - low : last - low][named > 0] = named[named > 0] - 1
        return Stretch(codes, low, contig.length, stated)
