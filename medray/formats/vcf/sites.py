"""Sites: one row per ALT allele, without samples. What scoring and joining need of a VCF."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medray.formats.vcf.text.info import Present
from medray.formats.vcf.text.lines import Spans, Table, bytes_of
from medray.formats.vcf.text.records import ALT, CHROM, FILTER, ID, QUAL, REF, text_of
from medray.formats.vcf.text.values import INT_FILL, INT_MISSING
from medray.storage.shards.rows import Rows

KINDS = pa.array((
    "snv", "mnv", "insertion", "deletion", "reference", "symbolic", "breakend", "star", "missing"
))  # fmt: skip

_ENDS = bytes_of(b"[].")  # first or last bytes of breakends


def rows_of(
    table: Table, sound: np.ndarray, info: dict[str, list[Present]], file: str, partition: int
) -> Rows | None:
    """One row per ALT, in the order of the records and of each record's ALT; None for none.

    A record without ALT (".") makes one row of kind "missing" with alt_index 0. `alt_index` counts
    from 1, as genotypes do; `n_alts` is the record's number of ALTs. (file, partition, line,
    alt_index) restores the order of the file.

    Args:
        table: the records of a block.
        sound: which of them stand, bool (records,).
        info: fields to add, as `info_<name>`: of Number=A the allele's own value, of Number=1 the
            value, of others a list; None where it is missing.
        file: path below the source.
        partition: number of the stretch in the file.
    """
    if not sound.any():
        return None
    if not sound.all():
        place = np.cumsum(sound) - 1
        info = {name: [one.kept(sound, place) for one in parts] for name, parts in info.items()}
        table = table[sound]
    alts, counts = table.columns[ALT].split(ord(","))
    single = len(alts) == len(table)  # every record has one ALT: nothing is to be repeated
    record = np.repeat(np.arange(len(table)), counts)
    index = np.arange(len(record)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    missing = alts.equal(b".")
    index[missing] = 0
    kinds = kinds_of(table.columns[REF][record], alts)
    quality, given = table.columns[QUAL].floats()
    given &= np.isfinite(quality)
    line = pa.scalar

    def each(column: pa.Array) -> pa.Array:
        return column if single else column.take(pa.array(record))

    lines = each(pa.array(table.numbers))
    contigs = each(table.columns[CHROM].strings())
    identity = pc.binary_join_element_wise(
        pa.scalar(f"{file.replace('/', '_')}.{partition}"),
        lines.cast(pa.string()),
        pa.array(index).cast(pa.string()),
        ".",
    )
    columns: dict[str, pa.Array] = {
        "sample_id": identity,
        # Sites near one another look alike: they stay in one split by their contig.
        "subject": contigs,
        "file": pa.repeat(line(file), len(record)),
        "partition": pa.repeat(line(partition, pa.int64()), len(record)),
        "line": lines,
        "contig": contigs,
        "pos": each(pa.array(table.positions[0])),
        "ref": each(table.columns[REF].strings()),
        "alt": alts.strings(),
        "alt_index": pa.array(index),
        "n_alts": pa.array(np.where(missing, 0, counts[record])),
        "kind": KINDS.take(pa.array(kinds)),
        "id": each(text_of(table.columns[ID])),
        "qual": each(pa.array(quality, mask=~given)),
        "filter": each(text_of(table.columns[FILTER])),
    }
    for key, parts in info.items():
        columns[f"info_{key}"] = _values(parts, record, index, len(table))
    return Rows(pa.table(columns))


def _values(parts: list[Present], record: np.ndarray, index: np.ndarray, size: int) -> pa.Array:
    """An INFO field's value for each ALT, (n,).

    Args:
        parts: the field.
        record: each ALT's record.
        index: each ALT's number in it, from 1.
        size: number of records.
    """
    definition = parts[0].definition
    dtype = parts[0].values.dtype
    listed = definition.type != "Flag" and definition.number not in ("A", "1")
    if not sum(len(part.rows) for part in parts):
        return pa.nulls(len(record), pa.string() if dtype.kind == "T" else pa.int64())
    slot = np.full(size, -1)  # of each record, its place among the parts' rows
    before = 0
    lists = []
    values = np.empty(len(record), dtype)
    has = np.zeros(len(record), bool)
    for part in parts:
        slot[part.rows] = before + np.arange(len(part.rows))
        at = slot[record] - before
        here = np.flatnonzero((at >= 0) & (at < len(part.rows)))
        before += len(part.rows)
        if listed:
            flat = part.values.reshape(-1)
            kept = ~_is(flat, INT_FILL, 0x7F800002, "")
            ends = np.cumsum(kept.reshape(part.values.shape).sum(axis=1))
            offsets = np.concatenate(([0], ends)).astype(np.int32)
            some = _scalars(flat[kept], np.ones(int(kept.sum()), bool))
            lists.append(pa.ListArray.from_arrays(offsets, some))
            continue
        column = index[here] - 1 if definition.number == "A" else np.zeros_like(here)
        inside = (column >= 0) & (column < part.values.shape[1])
        values[here[inside]] = part.values[at[here[inside]], column[inside]]
        has[here[inside]] = True
    if listed:
        at = slot[record]
        return pc.take(pa.chunked_array(lists).combine_chunks(), pa.array(at, mask=at < 0))
    return (
        pa.array(has & values.astype(bool)) if definition.type == "Flag" else _scalars(values, has)
    )


def _scalars(values: np.ndarray, has: np.ndarray) -> pa.Array:
    gone = ~has | _is(values, INT_MISSING, 0x7F800001, ".") | _is(values, INT_FILL, 0x7F800002, "")
    if values.dtype.kind == "T":
        return pa.array(values.astype(object), pa.string(), mask=gone)
    # Marks, and what was never set, may be signalling NaN, which numpy warns of.
    wide = np.where(gone, 0, values).astype(np.float64 if values.dtype.kind == "f" else np.int64)
    return pa.array(wide, mask=gone)


def _is(values: np.ndarray, integer: int, bits: int, text: str) -> np.ndarray:
    """Where values are the mark of their type, bool."""
    same: np.ndarray
    if values.dtype.kind == "f":
        same = np.ascontiguousarray(values).view(np.uint32) == bits
    else:
        same = values == (text if values.dtype.kind == "T" else integer)
    return same


def kinds_of(refs: Spans, alts: Spans) -> np.ndarray:
    """What each ALT is, as indices into `KINDS`, int64 (n,).

    Args:
        refs: each ALT's REF, (n,).
        alts: the ALTs, sound (see `records.RULES`), (n,).
    """
    first, last = alts.buffer[alts.starts], alts.buffer[alts.stops - 1]
    longer = alts.lengths - refs.lengths
    kinds = np.where(longer > 0, 2, np.where(longer < 0, 3, np.where(refs.lengths == 1, 0, 1)))
    upper = np.uint8(0xDF)  # bases differ by case in one bit
    same = (first & upper) == (refs.buffer[refs.starts] & upper)
    rows = np.flatnonzero((longer == 0) & same)
    if len(rows):
        mine, offsets = alts[rows].joined
        theirs, _ = refs[rows].joined
        differ = np.add.reduceat((mine & upper) != (theirs & upper), offsets[:-1])
        kinds[rows[differ == 0]] = 4
    kinds[first == ord("<")] = 5
    kinds[_ENDS[first] | _ENDS[last]] = 6
    kinds[alts.equal(b"*")] = 7
    kinds[alts.equal(b".")] = 8
    return kinds
