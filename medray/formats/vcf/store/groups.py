"""Groups of calls as one: what a dataset holds in many Zarr groups, joined piece by piece."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from medray.errors import DataError
from medray.formats.vcf.store.shapes import united
from medray.formats.vcf.text.values import STORED_FILL, STORED_MISSING, TEXT, bits_of, marks_of
from medray.storage.shards.samples import Layout

STATIC = frozenset({"contig_id", "contig_length", "filter_id", "filter_description", "sample_id"})


class Sliceable(Protocol):
    """An array in memory or in a shard."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, window: Any, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Part:
    """One group: its layout, and its arrays by name."""

    layout: Layout
    arrays: dict[str, Sliceable]

    @property
    def variants(self) -> int:
        """Number of records."""
        return self.arrays["variant_position"].shape[0]


class Joined:
    """Groups as one: contigs and filters united, types and axes as wide as the widest.

    Raises:
        DataError: the groups are not of the same samples in the same order (code
            "samples-differ").
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        self.samples = parts[0].arrays["sample_id"][...]
        if any(not np.array_equal(p.arrays["sample_id"][...], self.samples) for p in parts[1:]):
            raise DataError(
                "the groups are not of the same samples",
                code="samples-differ",
                hint="join the groups of files that have the same samples",
            )
        self.contigs, self._contig_maps = united([p.arrays["contig_id"][...] for p in parts])
        self.filters, self._filter_maps = united([p.arrays["filter_id"][...] for p in parts])
        self.variants = sum(part.variants for part in parts)
        self.axes: dict[str, tuple[str, ...]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, np.dtype[Any]] = {}
        self.notes: dict[str, Any] = {}
        for part in parts:
            self.notes.update(part.layout.notes)
            for name in part.arrays:
                if name not in STATIC and name != "region_index":
                    self._widen(name, part)
        self._settle()

    def _widen(self, name: str, part: Part) -> None:
        array, axes = part.arrays[name], part.layout.axes[name]
        known = self.axes.get(name, axes)
        self.axes[name] = axes if len(axes) > len(known) else known
        inner = array.shape[1:]
        have = self.shapes.get(name, ())
        longest = max(len(inner), len(have))
        inner, have = (each + (1,) * (longest - len(each)) for each in (inner, have))
        self.shapes[name] = tuple(map(max, inner, have))
        dtype = self.dtypes.get(name, array.dtype)
        self.dtypes[name] = dtype if dtype == array.dtype else np.promote_types(dtype, array.dtype)

    def _settle(self) -> None:
        """Give axes of one name one size, across the arrays."""
        sizes: dict[str, int] = {}
        for name, axes in self.axes.items():
            for axis, size in zip(axes[1:], self.shapes[name], strict=True):
                sizes[axis] = max(size, sizes.get(axis, 0))
        sizes["filters"] = len(self.filters)
        for name, axes in self.axes.items():
            self.shapes[name] = tuple(sizes[axis] for axis in axes[1:])
        least = np.iinfo(np.int8).max
        if len(self.contigs) > least:
            self.dtypes["variant_contig"] = np.dtype(np.int32)

    def slabs(self, name: str, rows: int, samples: slice = slice(None)) -> Iterator[np.ndarray]:
        """An array in pieces of `rows` records, the last as long as it is.

        Args:
            name: of the array.
            rows: records of a piece.
            samples: of an array over samples, only these.
        """
        held: list[np.ndarray] = []
        count = 0
        for number, part in enumerate(self.parts):
            at = 0
            while at < part.variants:
                stop = min(part.variants, at + rows - count)
                held.append(self._piece(name, number, at, stop, samples))
                count += stop - at
                at = stop
                if count == rows:
                    yield held[0] if len(held) == 1 else np.concatenate(held)
                    held, count = [], 0
        if held:
            yield np.concatenate(held)

    def _piece(self, name: str, number: int, start: int, stop: int, samples: slice) -> np.ndarray:
        part = self.parts[number]
        shape, dtype = (stop - start, *self.shapes[name]), self.dtypes[name]
        window: tuple[slice, ...] = (slice(start, stop),)
        if self.axes[name][1:2] == ("samples",):
            low, high, _ = samples.indices(shape[1])
            shape = (shape[0], high - low, *shape[2:])
            window = (*window, slice(low, high))
        missing, fill = _marks(name, dtype)
        if name not in part.arrays:
            return np.full(shape, missing, dtype)
        values = part.arrays[name][window]
        if name == "variant_contig":
            contigs: np.ndarray = self._contig_maps[number][values].astype(dtype)
            return contigs
        if name == "variant_filter":
            out = np.zeros(shape, bool)
            out[:, self._filter_maps[number]] = values
            return out
        if name == "call_genotype_phased" and self._alone(part):
            return np.zeros(shape, bool)
        if values.ndim < len(shape):
            values = values[..., None]
        if values.shape == shape:
            return values.astype(dtype, copy=False)
        out = np.full(shape, fill, dtype)
        out[tuple(slice(0, size) for size in values.shape)] = values
        # A record without the field is missing in every place of it, however many there are.
        if name not in ("variant_allele", "call_genotype", "call_genotype_mask"):
            mark = bits_of(np.array(missing, dtype))
            out[(bits_of(values) == mark).all(axis=-1)] = missing
        return out

    def _alone(self, part: Part) -> bool:
        """Whether a group has haploid calls only, and others not: bio2zarr then has no phase."""
        return part.arrays["call_genotype"].shape[-1] == 1 < self.shapes["call_genotype"][-1]


def _marks(name: str, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    if name == "call_genotype_mask":
        return True, True
    if dtype.kind == "i":
        return STORED_MISSING, STORED_FILL
    missing, fill, _ = marks_of({"f": "Float", "b": "Flag"}.get(dtype.kind, "String"))
    return missing, fill


def described(joined: Joined) -> dict[str, tuple[np.ndarray, str]]:
    """Lengths of contigs, where all are known, and descriptions of filters."""
    lengths: dict[str, int] = {}
    texts: dict[str, str] = {}
    for part in joined.parts:
        if "contig_length" in part.arrays:
            names = part.arrays["contig_id"][...].tolist()
            lengths.update(zip(names, part.arrays["contig_length"][...].tolist(), strict=True))
        names = part.arrays["filter_id"][...].tolist()
        described = part.arrays["filter_description"][...].tolist()
        for name, text in zip(names, described, strict=True):
            texts[name] = text or texts.get(name, "")
    out = {
        "filter_description": (
            np.array([texts[name] for name in joined.filters.tolist()], TEXT), "filters"
        )
    }  # fmt: skip
    if all(name in lengths for name in joined.contigs.tolist()) and len(joined.contigs):
        values = np.array([lengths[name] for name in joined.contigs.tolist()], np.int64)
        out["contig_length"] = (values, "contigs")
    return out
