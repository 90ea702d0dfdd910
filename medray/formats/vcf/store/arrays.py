"""Arrays of a run of records: one VCF Zarr group, with genotypes and fields as arrays.

The semantics are those of the VCF Zarr specification 0.5 as bio2zarr writes it; a test compares the
two on real files. Left out are arrays of fields that none of the records has: who joins groups
takes them for missing.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from medray.formats.vcf.store.samples import Called
from medray.formats.vcf.store.shapes import chunks_of, narrowed, region_index
from medray.formats.vcf.text.fields import Field
from medray.formats.vcf.text.header import Header
from medray.formats.vcf.text.info import Present
from medray.formats.vcf.text.values import STORED_FILL, STORED_MISSING, TEXT, marks_of
from medray.storage.shards.samples import Layout
from medray.storage.shards.zarr3 import MAX_CHUNK_ELEMENTS

VERSION = "0.5"
SOURCE = "medray"
IMPERSONAL = frozenset({"ALT", "assembly", "fileDate", "phasing", "reference"})


@dataclass
class Records:
    """A run of records, to become arrays.

    Args:
        header: of the file.
        samples: names to store, in the file's order: the file's own, or pseudonyms.
        chunk: variants and samples of one chunk.
        anonymous: leave out header lines that may name samples.
        contigs, filters: names, by the indices that records have.
        columns: `variant_*` of the fixed columns, each (records,); of `variant_filter` objects, the
            indices of each record's filters.
        alleles: texts of REF and ALTs, record by record.
        counts: how many alleles each record has, int64 (records,).
        fields: INFO and FORMAT fields in parts, by category and name.
        called: genotypes, in parts.
    """

    header: Header
    samples: tuple[str, ...]
    chunk: tuple[int, int]
    anonymous: bool
    contigs: list[str]
    filters: list[str]
    columns: dict[str, np.ndarray]
    alleles: np.ndarray
    counts: np.ndarray
    fields: dict[tuple[str, str], list[Present]]
    called: list[Called]

    @property
    def rows(self) -> int:
        """How many records."""
        return len(self.counts)

    def arrays(self) -> tuple[dict[str, np.ndarray], Layout]:
        """The arrays and their layout; fields and genotypes are let go on the way."""
        arrays: dict[str, np.ndarray] = {}
        axes: dict[str, tuple[str, ...]] = {}
        notes: dict[str, dict[str, Any]] = {}

        def put(name: str, values: np.ndarray, *names: str) -> None:
            arrays[name], axes[name] = values, names

        for name, values in self.columns.items():
            if name != "variant_filter":
                put(name, values, "variants")
        least = np.array([0, len(self.contigs)])
        arrays["variant_contig"] = arrays["variant_contig"].astype(narrowed(least).dtype)
        for name in ("variant_position", "variant_length"):
            # vcztools adds the two in their own type, and of narrower ones finds nothing.
            arrays[name] = arrays[name].astype(np.int32)
        put("variant_allele", self._alleles(), "variants", "alleles")
        put("variant_filter", self._flags(), "variants", "filters")
        alleles = arrays["variant_allele"].shape[1]
        ploidy = self._put_genotypes(put)
        sizes = {"alleles": alleles, "alt_alleles": alleles - 1}
        sizes["genotypes"] = math.comb(alleles + ploidy - 1, ploidy)
        for parts in self.fields.values():
            self._put_field(parts, sizes, put, notes)
        self._put_names(put)
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

    def _put_names(self, put: Any) -> None:
        put("contig_id", np.array(self.contigs, TEXT), "contigs")
        lengths = [self.header.contigs.get(name) for name in self.contigs]
        if self.contigs and all(length is not None for length in lengths):
            put("contig_length", np.array(lengths, np.int64), "contigs")
        put("filter_id", np.array(self.filters, TEXT), "filters")
        described = [self.header.filters.get(name, "") for name in self.filters]
        put("filter_description", np.array(described, TEXT), "filters")
        put("sample_id", np.array(self.samples, TEXT), "samples")

    def _alleles(self) -> np.ndarray:
        alleles = np.full((self.rows, int(self.counts.max(initial=2))), "", TEXT)
        owner = np.repeat(np.arange(self.rows), self.counts)
        first = np.cumsum(self.counts) - self.counts
        alleles[owner, np.arange(len(owner)) - first[owner]] = self.alleles
        return alleles

    def _flags(self) -> np.ndarray:
        flags = np.zeros((self.rows, len(self.filters)), bool)
        sets = self.columns["variant_filter"]
        lengths = np.fromiter(map(len, sets), np.int64, len(sets))
        rows = np.repeat(np.arange(len(sets)), lengths)
        flags[rows, [number for each in sets for number in each]] = True
        return flags

    def _put_genotypes(self, put: Any) -> int:
        if not self.called:
            return 2
        ploidy = max(calls.alleles.shape[2] for calls in self.called)
        dtype = max((calls.alleles.dtype for calls in self.called), key=lambda d: d.itemsize)
        shape = (self.rows, len(self.samples))
        alleles = np.full((*shape, ploidy), -1, dtype)
        phased = np.zeros(shape, bool)
        for calls in self.called:
            width = calls.alleles.shape[2]
            rows = _slice(calls.rows)
            alleles[rows, :, :width] = calls.alleles
            if width < ploidy:
                alleles[rows, :, width:] = -2
            # bio2zarr takes a record of haploid calls alone for phased only where all records are.
            lone = (calls.alleles[..., 1:] == -2).all(axis=(1, 2)) & (ploidy > 1)
            phased[rows] = calls.phased & ~lone[:, None]
        self.called = []
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
