"""Calls: records gathered until they make a group, and cut where a few would widen all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise

import numpy as np
import pyarrow.compute as pc

from medray.formats.vcf.store.arrays import Records
from medray.formats.vcf.store.extents import extents
from medray.formats.vcf.store.samples import Called
from medray.formats.vcf.text.header import Header
from medray.formats.vcf.text.info import Present
from medray.formats.vcf.text.lines import Table
from medray.formats.vcf.text.records import ALT, CHROM, FILTER, ID, QUAL, REF, text_of
from medray.formats.vcf.text.values import FLOAT_MISSING, PADDING, TEXT, texts_of
from medray.storage.shards.samples import Layout

NONE: dict[str, np.ndarray] = {
    "variant_contig": np.zeros(0, np.int64),
    "variant_position": np.zeros(0, np.int64),
    "variant_length": np.zeros(0, np.int64),
    "variant_quality": np.zeros(0, np.float32),
    "variant_id": np.zeros(0, TEXT),
    "variant_id_mask": np.zeros(0, bool),
    "variant_filter": np.zeros(0, object),
}


@dataclass
class Group:
    """Gathers blocks of records until they make a group.

    Args:
        header: of the file.
        samples: names to store, in the file's order: the file's own, or pseudonyms.
        chunk: variants and samples of one chunk.
        anonymous: leave out header lines that may name samples.
    """

    header: Header
    samples: Sequence[str]
    chunk: tuple[int, int]
    anonymous: bool = False
    rows: int = 0
    held: int = 0
    _fixed: list[dict[str, np.ndarray]] = field(default_factory=lambda: [NONE])
    _alleles: list[np.ndarray] = field(default_factory=lambda: [np.zeros(0, TEXT)])
    _counts: list[np.ndarray] = field(default_factory=lambda: [np.zeros(0, np.int64)])
    _fields: dict[tuple[str, str], list[Present]] = field(default_factory=dict)
    _called: list[Called] = field(default_factory=list)
    _contigs: dict[str, int] = field(default_factory=dict)
    _filters: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._contigs = {name: number for number, name in enumerate(self.header.contigs)}
        self._filters = {name: number for number, name in enumerate(self.header.filters)}

    def add(
        self,
        table: Table,
        sound: np.ndarray,
        info: dict[str, list[Present]],
        called: list[Called],
        fields: list[Present],
    ) -> None:
        """Add the sound records of a block.

        Args:
            table: all records of the block.
            sound: which of them stand, bool (records,).
            info: INFO fields of the block.
            called: genotypes of the block.
            fields: FORMAT fields of the block.
        """
        if not sound.any():
            return
        lengths = extents(table, info, fields)[sound]
        place = self.rows + np.cumsum(sound) - 1
        for one in (*chain.from_iterable(info.values()), *fields):
            present = one.kept(sound, place)
            key = (one.definition.category, one.definition.name)
            self._fields.setdefault(key, []).append(present)
            self.held += present.values.nbytes
        for calls in called:
            left = calls.kept(sound, place)
            self._called.append(left)
            self.held += 3 * left.alleles.nbytes
        table = table if sound.all() else table[sound]
        self._fixed.append({**self._columns(table), "variant_length": lengths})
        self.held += 200 * len(table) + self._alleles[-1].nbytes
        self.rows += len(table)

    def finish(self) -> Iterator[tuple[dict[str, np.ndarray], Layout]]:
        """The group's arrays and their layout; of several runs where a few records would widen
        all."""
        cuts = self._cuts()
        fixed = {name: np.concatenate([one[name] for one in self._fixed]) for name in NONE}
        alleles, counts = np.concatenate(self._alleles), np.concatenate(self._counts)
        ends = np.concatenate(([0], np.cumsum(counts)))
        self._fixed, self._alleles, self._counts = [], [], []
        for start, stop in pairwise(cuts):
            fields = {
                key: [one.within(start, stop) for one in parts if one.reaches(start, stop)]
                for key, parts in self._fields.items()
            }
            called = [one.within(start, stop) for one in self._called if one.reaches(start, stop)]
            if stop == self.rows:
                self._fields, self._called = {}, []  # so that each is let go once it is an array
            records = Records(
                self.header,
                tuple(self.samples),
                self.chunk,
                self.anonymous,
                list(self._contigs),
                list(self._filters),
                {name: values[start:stop] for name, values in fixed.items()},
                alleles[ends[start] : ends[stop]],
                counts[start:stop],
                {key: parts for key, parts in fields.items() if parts},
                called,
            )
            del fields, called
            yield records.arrays()

    def _cuts(self) -> list[int]:
        """Where runs of records begin and end, so that none is padded to far more than it holds.

        A record of 100 ALTs has 5,151 likelihoods for each sample: among 4,000 records of 60
        samples, three each, it would make 5 GB of 4 MB.
        """
        if not self.rows:
            return [0, 0]
        widths, units = [np.concatenate(self._counts)], [int(TEXT.itemsize)]
        taken = [[(one.rows, one.values) for one in parts] for parts in self._fields.values()]
        taken.append([(one.rows, one.alleles) for one in self._called])
        for number, pieces in enumerate(taken, 1):
            if not pieces:
                continue
            width = np.zeros(self.rows, np.int64)
            for rows, values in pieces:
                width[rows] = values.shape[-1]
            widths.append(width)
            unit = values.itemsize * int(np.prod(values.shape[1:-1]))
            units.append(unit if number < len(taken) else 3 * unit)  # with phase and mask
        own = sum(int(width.sum()) * unit for width, unit in zip(widths, units, strict=True))
        whole = sum(int(width.max()) * unit for width, unit in zip(widths, units, strict=True))
        if whole * self.rows <= max(PADDING, 2 * own):
            return [0, self.rows]
        table = np.stack(widths, axis=1)
        changes = np.flatnonzero((table[1:] != table[:-1]).any(axis=1)) + 1
        cuts, widest, held = [0], np.zeros(len(units), np.int64), 0
        for start, stop in pairwise([0, *changes.tolist(), self.rows]):
            more = (stop - start) * int(table[start] @ units)
            wider = np.maximum(widest, table[start])
            padded = (stop - cuts[-1]) * int(wider @ units)
            if start > cuts[-1] and padded > max(PADDING, 2 * (held + more)):
                cuts.append(start)
                wider, held = table[start], 0
            widest, held = wider, held + more
        return [*cuts, self.rows]

    def _columns(self, table: Table) -> dict[str, np.ndarray]:
        contigs = table.columns[CHROM].strings().dictionary_encode()
        known = [
            self._contigs.setdefault(name, len(self._contigs))
            for name in contigs.dictionary.to_pylist()
        ]
        positions, _ = table.positions
        quality, given = table.columns[QUAL].floats()
        with np.errstate(over="ignore"):
            qualities = quality.astype(np.float32)
        qualities[~given] = FLOAT_MISSING
        parts, counts = table.columns[ALT].split(ord(","))
        some = ~parts.equal(b".")
        owner = np.repeat(np.arange(len(table)), counts)
        rank = 1 + np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        alleles = 1 + np.bincount(owner[some], minlength=len(table))
        first = np.cumsum(alleles) - alleles
        texts = np.empty(int(alleles.sum()), TEXT)
        texts[first] = texts_of(table.columns[REF])
        texts[first[owner[some]] + rank[some]] = texts_of(parts[some])
        self._alleles.append(texts)
        self._counts.append(alleles)
        filters = table.columns[FILTER].strings().dictionary_encode()
        identifiers = table.columns[ID]
        return {
            "variant_contig": np.array(known, np.int64)[contigs.indices.to_numpy()],
            "variant_position": positions,
            "variant_quality": qualities,
            "variant_id": texts_of(identifiers),
            "variant_id_mask": pc.is_null(text_of(identifiers)).to_numpy(zero_copy_only=False),
            "variant_filter": self._sets(filters.dictionary.to_pylist())[
                filters.indices.to_numpy()
            ],
        }

    def _sets(self, texts: list[str]) -> np.ndarray:
        """Each distinct FILTER as an object: the indices of its filters."""
        out = np.empty(len(texts), object)
        for number, text in enumerate(texts):
            names = [] if text == "." else text.split(";")
            out[number] = [self._filters.setdefault(name, len(self._filters)) for name in names]
        return out
