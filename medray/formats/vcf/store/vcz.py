"""VCF Zarr for other tools: groups of a dataset joined into one store, and written as VCF.

Storage holds calls as sharded Zarr groups, one per run of records. vcztools 0.2 counts the shards
of an array as its chunks, so it reads no sharded store; what is written here is not sharded.
"""

import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medray.errors import DataError
from medray.formats.vcf.store.arrays import SOURCE, VERSION
from medray.formats.vcf.store.groups import Joined, Part, described
from medray.formats.vcf.store.shapes import chunks_of, region_index
from medray.formats.vcf.text.header import FIXED
from medray.formats.vcf.text.values import FLOAT_FILL, FLOAT_MISSING, TEXT, bits_of
from medray.storage.catalog.datasets import Dataset

__all__ = ["Joined", "Part", "header_text", "parts_of", "write_vcf", "write_vcz"]

SLAB_BYTES = 64 * 2**20


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
        for samples, step in _windows(joined, name, chunks[name], TEXT.itemsize if text else 0):
            at = 0
            for slab in joined.slabs(name, step, *samples):
                place = (slice(at, at + len(slab)), *samples)
                array[place] = _spelled(slab) if text else slab
                at += len(slab)
        if name in ("variant_contig", "variant_position", "variant_length"):
            small[name] = array[...]  # type: ignore[assignment]
    static = {
        "contig_id": (joined.contigs, "contigs"),
        "filter_id": (joined.filters, "filters"),
        "sample_id": (joined.samples, "samples"),
    }
    static.update(described(joined))
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


def _windows(
    joined: Joined, name: str, chunk: tuple[int, ...], spelled: int
) -> Iterator[tuple[tuple[slice, ...], int]]:
    """Pieces of whole chunks that memory holds: of calls which samples, and how many records."""
    shape, rows = joined.shapes[name], chunk[0]
    calls = joined.axes[name][1:2] == ("samples",)
    one = (spelled or joined.dtypes[name].itemsize) * math.prod(shape[1:] if calls else shape)
    samples, width = (shape[0], chunk[1]) if calls else (1, 1)
    window = min(samples, width * max(1, SLAB_BYTES // max(1, one * rows * width)))
    step = rows * max(1, SLAB_BYTES // max(1, one * rows * window))
    for low in range(0, samples, max(1, window)):
        yield ((slice(low, min(samples, low + window)),) if calls else ()), step


def write_vcf(parts: Sequence[Part], path: Path) -> None:
    """Write groups as one bgzipped VCF; vcztools makes the records of texts and integers.

    vcztools 0.2 gives three digits behind the point, so it is handed Floats as texts, the shortest
    that read back as the same float32, and its QUAL is replaced by such. INFO and FORMAT fields
    stand in the order of their names.

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

        qualities = joined.slabs("variant_quality", joined.variants or 1)
        spelled = iter(_spelled(next(qualities)).tolist() if joined.variants else ())

        class Sink(io.TextIOBase):
            rest = ""

            def write(self, text: str) -> int:
                *lines, self.rest = (self.rest + text).split("\n")
                for line in lines:
                    *first, _, after = line.split("\t", 6)
                    file.write("\t".join([*first, next(spelled), after + "\n"]).encode())
                return len(text)

        reader = VczReader(zarr.open_group(store, mode="r"))
        write(reader, Sink(), no_header=True, encode_threads=1)


def header_text(joined: Joined) -> str:
    """A VCF header of what the groups hold, with the source's definitions and further lines."""
    attributes = joined.parts[0].layout.attributes
    lines = [f"##fileformat=VCFv{attributes.get('vcf_version', '4.3')}"]
    about = described(joined)
    texts = about["filter_description"][0].tolist()
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
    lengths = about.get("contig_length", (np.zeros(0), ""))[0].tolist()
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
