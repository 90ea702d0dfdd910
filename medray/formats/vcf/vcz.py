"""VCF Zarr for other tools: groups of a dataset joined into one store, and written as VCF.

Storage holds calls as sharded Zarr groups, one per run of records. vcztools 0.2 counts the shards
of an array as its chunks, so it reads no sharded store; what is written here is not sharded.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from medray.errors import DataError
from medray.formats.vcf.calls import SOURCE, VERSION, chunks_of, region_index
from medray.formats.vcf.header import FIXED
from medray.formats.vcf.values import (
    FLOAT_FILL,
    FLOAT_MISSING,
    STORED_FILL,
    STORED_MISSING,
    TEXT,
    bits_of,
    marks_of,
)
from medray.storage.datasets import Dataset
from medray.storage.samples import Layout

STATIC = frozenset({"contig_id", "contig_length", "filter_id", "filter_description", "sample_id"})
SLAB_BYTES = 64 * 2**20


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
        self.contigs, self._contig_maps = _united([p.arrays["contig_id"][...] for p in parts])
        self.filters, self._filter_maps = _united([p.arrays["filter_id"][...] for p in parts])
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

    def slabs(self, name: str, rows: int) -> Iterator[np.ndarray]:
        """An array in pieces of `rows` records, the last as long as it is."""
        held: list[np.ndarray] = []
        count = 0
        for number, part in enumerate(self.parts):
            at = 0
            while at < part.variants:
                stop = min(part.variants, at + rows - count)
                held.append(self._piece(name, number, at, stop))
                count += stop - at
                at = stop
                if count == rows:
                    yield held[0] if len(held) == 1 else np.concatenate(held)
                    held, count = [], 0
        if held:
            yield np.concatenate(held)

    def _piece(self, name: str, number: int, start: int, stop: int) -> np.ndarray:
        part = self.parts[number]
        shape, dtype = (stop - start, *self.shapes[name]), self.dtypes[name]
        missing, fill = _marks(name, dtype)
        if name not in part.arrays:
            return np.full(shape, missing, dtype)
        values = part.arrays[name][start:stop]
        if name == "variant_contig":
            renamed: np.ndarray = self._contig_maps[number][values].astype(dtype)
            return renamed
        if name == "variant_filter":
            out = np.zeros(shape, bool)
            out[:, self._filter_maps[number]] = values
            return out
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


def write_vcz(parts: Sequence[Part], to: Any, chunk: tuple[int, int] = (1000, 10_000)) -> None:
    """Write groups as one VCF Zarr store, unsharded, of Zarr v3.

    Args:
        parts: the groups, in the order of their records.
        to: folder, or any store of zarr-python.
        chunk: variants and samples of a chunk.
    """
    _write(Joined(parts), to, chunk)


def _write(joined: Joined, to: Any, chunk: tuple[int, int], *, spelled: bool = False) -> None:
    """Write a store; `spelled`: with numbers of fields that are no integers as texts."""
    import zarr

    root = zarr.open_group(to, mode="w", zarr_format=3)
    first = joined.parts[0].layout.attributes
    meta = first.get("vcf_meta_information", [])
    root.attrs.update({"vcf_zarr_version": VERSION, "source": SOURCE, "vcf_meta_information": meta})
    empty = {
        name: np.broadcast_to(np.zeros((), np.int8), (joined.variants, *shape))
        for name, shape in joined.shapes.items()
    }
    chunks = chunks_of(empty, joined.axes, chunk)
    rows = chunks["variant_position"][0]
    small: dict[str, np.ndarray] = {}
    for name, axes in joined.axes.items():
        text = spelled and joined.dtypes[name].kind == "f" and name != "variant_quality"
        array = root.create_array(
            name,
            shape=empty[name].shape,
            dtype=TEXT if text else joined.dtypes[name],
            chunks=chunks[name],
            dimension_names=axes,
            attributes=joined.notes.get(name, {}),
        )
        row = max(1, joined.dtypes[name].itemsize * int(np.prod(joined.shapes[name])))
        step = rows * max(1, SLAB_BYTES // (row * rows))
        at = 0
        for slab in joined.slabs(name, step):
            array[at : at + len(slab)] = _spelled(slab) if text else slab
            at += len(slab)
        if name in ("variant_contig", "variant_position", "variant_length"):
            small[name] = array[...]  # type: ignore[assignment]
    static = {
        "contig_id": (joined.contigs, "contigs"),
        "filter_id": (joined.filters, "filters"),
        "sample_id": (joined.samples, "samples"),
    }
    static.update(_described(joined))
    for name, (values, axis) in static.items():
        size = min(len(values), chunk[1]) if name == "sample_id" else len(values)
        array = root.create_array(
            name, shape=values.shape, dtype=values.dtype, chunks=(max(1, size),),
            dimension_names=(axis,),
        )  # fmt: skip
        array[...] = values
    index = region_index(small, rows)
    array = root.create_array(
        "region_index", shape=index.shape, dtype=index.dtype, chunks=(max(1, len(index)), 6),
        dimension_names=("region_index_values", "region_index_fields"),
    )  # fmt: skip
    array[...] = index


def write_vcf(parts: Sequence[Part], path: Path) -> None:
    """Write groups as one bgzipped VCF; vcztools makes the records of texts and integers.

    vcztools 0.2 gives three digits behind the point, so it is handed Floats as texts, the shortest
    that read back as the same float32; QUAL alone it rounds. INFO and FORMAT fields stand in the
    order of their names.

    Args:
        parts: the groups, in the order of their records.
        path: of the file.
    """
    import pysam
    import zarr
    from vcztools.retrieval import VczReader
    from vcztools.vcf_writer import write_vcf as write

    joined = Joined(parts)
    store = zarr.storage.MemoryStore()
    _write(joined, store, (1000, 10_000), spelled=True)
    with pysam.BGZFile(str(path), "wb", None) as file:
        file.write(header_text(joined).encode())

        class Sink(io.TextIOBase):
            def write(self, text: str) -> int:
                file.write(text.encode())
                return len(text)

        reader = VczReader(zarr.open_group(store, mode="r"))
        write(reader, Sink(), no_header=True, encode_threads=1)


def header_text(joined: Joined) -> str:
    """A VCF header of what the groups hold, with the source's definitions and further lines."""
    attributes = joined.parts[0].layout.attributes
    lines = [f"##fileformat=VCFv{attributes.get('vcf_version', '4.3')}"]
    described = _described(joined)
    texts = described["filter_description"][0].tolist()
    for name, text in zip(joined.filters.tolist(), texts, strict=True):
        lines.append(f'##FILTER=<ID={name},Description="{text}">')
    for prefix, category in (("variant_", "INFO"), ("call_", "FORMAT")):
        for name in sorted(joined.axes):
            note = joined.notes.get(name, {})
            if name.startswith(prefix) and "vcf_type" in note:
                lines.append(
                    f"##{category}=<ID={name.removeprefix(prefix)},Number={note['vcf_number']},"
                    f'Type={note["vcf_type"]},Description="{note["description"]}">'
                )
    if "call_genotype" in joined.axes:
        lines.append('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">')
    lengths = described.get("contig_length", (np.zeros(0), ""))[0].tolist()
    for number, name in enumerate(joined.contigs.tolist()):
        length = f",length={lengths[number]}" if lengths else ""
        lines.append(f"##contig=<ID={name}{length}>")
    lines += [f"##{key}={value}" for key, value in attributes.get("vcf_meta_information", [])]
    columns = list(FIXED)
    if len(joined.samples):
        columns += ["FORMAT", *joined.samples.tolist()]
    return "\n".join(lines) + "\n" + "\t".join(columns) + "\n"


def _spelled(values: np.ndarray) -> np.ndarray:
    """Numbers as the shortest texts that read back as the same, marks as "." and ""."""
    bits = bits_of(values.reshape(-1))
    texts = pa.array(values.reshape(-1)).cast(pa.string())
    out = np.array(texts.to_pylist(), TEXT)
    out[bits == bits_of(FLOAT_MISSING)] = "."
    out[bits == bits_of(FLOAT_FILL)] = ""
    return out.reshape(values.shape)


def parts_of(dataset: Dataset) -> list[Part]:
    """The groups of a dataset of calls, in its order; their arrays are read as they are asked for.

    Raises:
        DataError: a sample of it holds no calls (code "no-calls").
    """
    parts = []
    places = zip(
        dataset.samples["_shard"].to_pylist(), dataset.samples["_row"].to_pylist(), strict=True
    )
    for number, row in places:
        shard = dataset.shards[number]
        layout = shard.layout(row)
        if layout is None or "vcf_zarr_version" not in layout.attributes:
            raise DataError("a sample holds no calls", code="no-calls", about=dataset.name)
        parts.append(Part(layout, {name: shard.array(row, name) for name in shard.names(row)}))
    return parts


def _marks(name: str, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    if name == "call_genotype_mask":
        return True, True
    if dtype.kind == "i":
        return STORED_MISSING, STORED_FILL
    missing, fill, _ = marks_of({"f": "Float", "b": "Flag"}.get(dtype.kind, "String"))
    return missing, fill


def _united(lists: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Every name once, in order of first appearance, and each list's places in it."""
    places: dict[str, int] = {}
    maps = [
        np.array([places.setdefault(name, len(places)) for name in names.tolist()], np.int64)
        for names in lists
    ]
    return np.array(list(places), TEXT), maps


def _described(joined: Joined) -> dict[str, tuple[np.ndarray, str]]:
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
