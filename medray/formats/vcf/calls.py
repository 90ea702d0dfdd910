"""Calls: a run of records as one VCF Zarr group, with genotypes and fields as arrays.

The semantics are those of the VCF Zarr specification 0.5 as bio2zarr writes it; a test compares the
two on real files. Left out are arrays of fields that none of the records has: who joins groups
takes them for missing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc

from medray.formats.vcf.header import Field, Header
from medray.formats.vcf.info import Present
from medray.formats.vcf.lines import Table
from medray.formats.vcf.records import ALT, CHROM, FILTER, ID, POS, QUAL, REF, text_of
from medray.formats.vcf.samples import Called
from medray.formats.vcf.values import (
    FLOAT_MISSING,
    STORED_FILL,
    STORED_MISSING,
    TEXT,
    marks_of,
    texts_of,
)
from medray.storage.samples import Layout
from medray.storage.zarr3 import MAX_CHUNK_ELEMENTS

VERSION = "0.5"
SOURCE = "medray"
IMPERSONAL = frozenset({"ALT", "assembly", "fileDate", "phasing", "reference"})


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
    _fixed: list[dict[str, np.ndarray]] = field(default_factory=list)
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
        info: dict[str, Present],
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
        place = self.rows + np.cumsum(sound) - 1
        for one in (*info.values(), *fields):
            present = one.kept(sound, place)
            key = (one.definition.category, one.definition.name)
            self._fields.setdefault(key, []).append(present)
            self.held += present.values.nbytes
        for calls in called:
            left = calls.kept(sound, place)
            self._called.append(left)
            self.held += 3 * left.alleles.nbytes
        table = table if sound.all() else table[sound]
        if len(table):
            self._fixed.append(self._columns(table))
            self.held += 200 * len(table)
        self.rows += len(table)

    def finish(self) -> tuple[dict[str, np.ndarray], Layout]:
        """The group's arrays and its layout."""
        arrays: dict[str, np.ndarray] = {}
        axes: dict[str, tuple[str, ...]] = {}
        notes: dict[str, dict[str, Any]] = {}

        def put(name: str, values: np.ndarray, *names: str) -> None:
            arrays[name], axes[name] = values, names

        for name, values in self._joined().items():
            put(name, values, "variants", *{"variant_allele": ("alleles",)}.get(name, ()))
        arrays["variant_filter"], axes["variant_filter"] = self._flags(), ("variants", "filters")
        alleles = arrays["variant_allele"].shape[1]
        ploidy = self._put_genotypes(put)
        sizes = {"alleles": alleles, "alt_alleles": alleles - 1}
        sizes["genotypes"] = math.comb(alleles + ploidy - 1, ploidy)
        for parts in self._fields.values():
            self._put_field(parts, sizes, put, notes)
        self._lengths(arrays)
        contigs, filters = list(self._contigs), list(self._filters)
        put("contig_id", np.array(contigs, TEXT), "contigs")
        lengths = [self.header.contigs.get(name) for name in contigs]
        if contigs and all(length is not None for length in lengths):
            put("contig_length", np.array(lengths, np.int64), "contigs")
        put("filter_id", np.array(filters, TEXT), "filters")
        described = [self.header.filters.get(name, "") for name in filters]
        put("filter_description", np.array(described, TEXT), "filters")
        put("sample_id", np.array(self.samples, TEXT), "samples")
        chunks = chunks_of(arrays, axes, self.chunk)
        put(
            "region_index",
            region_index(arrays, chunks["variant_position"][0]),
            "region_index_values",
            "region_index_fields",
        )
        chunks["region_index"] = (max(1, len(arrays["region_index"])), 6)
        attributes = {
            "vcf_zarr_version": VERSION,
            "source": SOURCE,
            "vcf_version": "{}.{}".format(*self.header.version),
            "vcf_meta_information": [
                [key, value]
                for key, value in self.header.other
                if not self.anonymous or key in IMPERSONAL
            ],
        }
        return arrays, Layout(attributes, axes, chunks, notes)

    def _columns(self, table: Table) -> dict[str, np.ndarray]:
        contigs = table.columns[CHROM].strings().dictionary_encode()
        known = [
            self._contigs.setdefault(name, len(self._contigs))
            for name in contigs.dictionary.to_pylist()
        ]
        positions, _ = table.columns[POS].integers()
        quality, given = table.columns[QUAL].floats()
        qualities = quality.astype(np.float32)
        qualities[~given] = FLOAT_MISSING
        refs, alts = table.columns[REF], table.columns[ALT]
        parts, counts = alts.split(ord(","))
        first = np.cumsum(counts) - counts
        owner = np.repeat(np.arange(len(table)), counts)
        alleles = np.full((len(table), 1 + int(counts.max())), "", TEXT)
        alleles[:, 0] = texts_of(refs)
        some = ~parts.equal(b".")
        rank = 1 + np.arange(len(owner)) - first[owner]
        alleles[owner[some], rank[some]] = texts_of(parts[some])
        filters = table.columns[FILTER].strings().dictionary_encode()
        return {
            "variant_contig": np.array(known, np.int64)[contigs.indices.to_numpy()],
            "variant_position": positions,
            "variant_length": refs.lengths,
            "variant_quality": qualities,
            "variant_allele": alleles,
            "variant_id": texts_of(table.columns[ID]),
            "variant_id_mask": pc.is_null(text_of(table.columns[ID])).to_numpy(
                zero_copy_only=False
            ),
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

    def _joined(self) -> dict[str, np.ndarray]:
        if not self._fixed:
            none = np.zeros(0, np.int64)
            return {
                "variant_contig": none.astype(np.int8),
                "variant_position": none.astype(np.int8),
                "variant_length": none.astype(np.int8),
                "variant_quality": none.astype(np.float32),
                "variant_allele": np.zeros((0, 2), TEXT),
                "variant_id": np.zeros(0, TEXT),
                "variant_id_mask": none.astype(bool),
            }
        joined: dict[str, np.ndarray] = {}
        for name in self._fixed[0]:
            if name == "variant_filter":
                continue
            parts = [columns[name] for columns in self._fixed]
            if name == "variant_allele":
                width = max(2, *(part.shape[1] for part in parts))
                whole = np.full((self.rows, width), "", TEXT)
                at = 0
                for part in parts:
                    whole[at : at + len(part), : part.shape[1]] = part
                    at += len(part)
                joined[name] = whole
            else:
                joined[name] = np.concatenate(parts)
        for name in ("variant_position", "variant_length"):
            joined[name] = narrowed(joined[name])
        least = np.array([0, len(self._contigs)])
        joined["variant_contig"] = joined["variant_contig"].astype(narrowed(least).dtype)
        return joined

    def _flags(self) -> np.ndarray:
        flags = np.zeros((self.rows, len(self._filters)), bool)
        at = 0
        for columns in self._fixed:
            sets = columns["variant_filter"]
            lengths = np.fromiter(map(len, sets), np.int64, len(sets))
            rows = np.repeat(np.arange(at, at + len(sets)), lengths)
            flags[rows, [number for each in sets for number in each]] = True
            at += len(sets)
        return flags

    def _put_genotypes(self, put: Any) -> int:
        if not self._called:
            return 2
        ploidy = max(calls.alleles.shape[2] for calls in self._called)
        dtype = max((calls.alleles.dtype for calls in self._called), key=lambda d: d.itemsize)
        shape = (self.rows, len(self.samples))
        alleles = np.full((*shape, ploidy), -1, dtype)
        phased = np.zeros(shape, bool)
        for calls in self._called:
            width = calls.alleles.shape[2]
            rows = _slice(calls.rows)
            alleles[rows, :, :width] = calls.alleles
            if width < ploidy:
                alleles[rows, :, width:] = -2
            phased[rows] = calls.phased
        self._called = []
        put("call_genotype", alleles, "variants", "samples", "ploidy")
        put("call_genotype_phased", phased, "variants", "samples")
        put("call_genotype_mask", alleles < 0, "variants", "samples", "ploidy")
        return int(ploidy)

    def _put_field(
        self, parts: list[Present], sizes: dict[str, int], put: Any, notes: dict[str, Any]
    ) -> None:
        definition = parts[0].definition
        width = max(part.values.shape[-1] for part in parts)
        axis, width = _last_axis(definition, width, sizes)
        missing, fill, dtype = marks_of(definition.type)
        inner = parts[0].values.shape[1:-1]
        out = np.full((self.rows, *inner, width), missing, dtype)
        for part in parts:
            rows = _slice(part.rows)
            out[rows, ..., : part.values.shape[-1]] = part.values
            if part.values.shape[-1] < width:
                out[rows, ..., part.values.shape[-1] :] = fill
        parts.clear()
        if out.dtype == np.int32:
            out[out == missing] = STORED_MISSING
            out[out == fill] = STORED_FILL
            out = narrowed(out)
        names = ("variants", "samples")[: out.ndim - 1]
        name = f"{'variant' if definition.category == 'INFO' else 'call'}_{definition.name}"
        if axis is None:
            put(name, out[..., 0], *names)
        else:
            put(name, out, *names, axis)
        notes[name] = {
            "description": definition.description,
            "vcf_number": definition.number,
            "vcf_type": definition.type,
        }

    def _lengths(self, arrays: dict[str, np.ndarray]) -> None:
        """Where END says so, a record is as long as to END (VCF 4.3, section 1.6.1)."""
        end = arrays.get("variant_END")
        if end is None or end.ndim > 1 or end.dtype.kind != "i":
            return
        length = end.astype(np.int64) - arrays["variant_position"] + 1
        longer = (end > 0) & (length > 0)
        whole = np.where(longer, length, arrays["variant_length"])
        arrays["variant_length"] = narrowed(whole)


def _slice(rows: np.ndarray) -> np.ndarray | slice:
    """Rows as a slice where they follow one another, which numpy copies faster."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def _last_axis(definition: Field, width: int, sizes: dict[str, int]) -> tuple[str | None, int]:
    """Name and size of a field's last axis; None for a field of one value."""
    axis = {"R": "alleles", "A": "alt_alleles", "G": "genotypes"}.get(definition.number)
    if axis is not None and width <= sizes[axis] <= MAX_CHUNK_ELEMENTS:
        return axis, sizes[axis]
    declared = int(definition.number) if definition.number.isdecimal() else 1
    width = max(width, declared)
    # LAA lists alleles even where each list has one (VCF Zarr specification).
    if width == 1 and (definition.category, definition.name) != ("FORMAT", "LAA"):
        return None, 1
    return f"{definition.category}_{definition.name}_dim", width


def narrowed(values: np.ndarray) -> np.ndarray:
    """Integers in the narrowest signed type that holds them."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    for name in ("int8", "int16", "int32"):
        info = np.iinfo(name)
        if info.min <= low and high <= info.max:
            return values.astype(name, copy=False)
    return values.astype(np.int64, copy=False)


def chunks_of(
    arrays: dict[str, np.ndarray], axes: dict[str, tuple[str, ...]], wanted: tuple[int, int]
) -> dict[str, tuple[int, ...]]:
    """Inner chunks: the same for all arrays over variants and samples, as VCF Zarr asks.

    Samples of a chunk are halved until the widest array's chunk is one that a reader takes.
    """
    variants, samples = wanted
    widest = max(
        (math.prod(a.shape[2:]) for n, a in arrays.items() if n.startswith("call_")), default=1
    )
    while variants * samples * widest > MAX_CHUNK_ELEMENTS and samples > 1:
        samples //= 2
    while variants * samples * widest > MAX_CHUNK_ELEMENTS and variants > 1:
        variants //= 2
    sizes = {"variants": variants, "samples": samples}
    return {
        name: tuple(
            max(1, min(sizes.get(axis, size), size))
            for axis, size in zip(axes[name], values.shape, strict=True)
        )
        for name, values in arrays.items()
    }


def region_index(arrays: dict[str, np.ndarray], chunk: int) -> np.ndarray:
    """Where each chunk's runs of one contig lie, int32 (runs, 6).

    Fields: chunk, contig, first and last position, largest end, records. Of records that are not
    sorted the least and the largest position stand for the first and the last.
    """
    contigs = arrays["variant_contig"].astype(np.int64)
    starts = arrays["variant_position"].astype(np.int64)
    ends = starts + arrays["variant_length"] - 1
    if not len(contigs):
        return np.zeros((0, 6), np.int32)
    numbers = np.arange(len(contigs)) // chunk
    change = (np.diff(contigs) != 0) | (np.diff(numbers) != 0)
    first = np.concatenate(([0], np.flatnonzero(change) + 1))
    counts = np.diff(np.concatenate((first, [len(contigs)])))
    columns = (
        numbers[first], contigs[first], np.minimum.reduceat(starts, first),
        np.maximum.reduceat(starts, first), np.maximum.reduceat(ends, first), counts,
    )  # fmt: skip
    return np.stack(columns, axis=1).astype(np.int32)
