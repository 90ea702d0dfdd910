"""Sites: one row per ALT allele, without samples. What scoring and joining need of a VCF."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.compute as pc

from medray.formats.vcf.info import Present
from medray.formats.vcf.lines import Spans, Table
from medray.formats.vcf.records import ALT, CHROM, FILTER, ID, POS, QUAL, REF, text_of
from medray.formats.vcf.values import INT_FILL, INT_MISSING
from medray.storage.samples import Sample

KINDS = (
    "snv", "mnv", "insertion", "deletion", "reference", "symbolic", "breakend", "star", "missing"
)  # fmt: skip


def rows_of(
    table: Table, sound: np.ndarray, info: dict[str, Present], file: str, partition: int
) -> Iterator[Sample]:
    """One sample per ALT, in the order of the records and of each record's ALT.

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
        return
    if not sound.all():
        place = np.cumsum(sound) - 1
        info = {name: one.kept(sound, place) for name, one in info.items()}
        table = table[sound]
    alts, counts = table.columns[ALT].split(ord(","))
    record = np.repeat(np.arange(len(table)), counts)
    index = np.arange(len(record)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    missing = alts.equal(b".")
    index[missing] = 0
    number = np.where(missing, 0, counts[record])
    kinds = np.array(KINDS)[kinds_of(table.columns[REF][record], alts)]
    positions, _ = table.columns[POS].integers()
    quality, given = table.columns[QUAL].floats()
    quality = np.where(given & np.isfinite(quality), quality, np.nan)
    columns = {
        "contig": pc.take(table.columns[CHROM].strings(), record).to_pylist(),
        "pos": positions[record].tolist(),
        "ref": pc.take(table.columns[REF].strings(), record).to_pylist(),
        "alt": alts.strings().to_pylist(),
        "alt_index": index.tolist(),
        "n_alts": number.tolist(),
        "kind": kinds.tolist(),
        "id": pc.take(text_of(table.columns[ID]), record).to_pylist(),
        "qual": [None if value != value else value for value in quality[record].tolist()],
        "filter": pc.take(text_of(table.columns[FILTER]), record).to_pylist(),
    }
    for key, present in info.items():
        columns[f"info_{key}"] = _values(present, record, index)
    lines = table.numbers[record].tolist()
    name = file.replace("/", "_")
    for line, *values in zip(lines, *columns.values(), strict=True):
        row = dict(zip(columns, values, strict=True))
        identity = f"{name}.{partition}.{line}.{row['alt_index']}"
        # Sites near one another look alike: they stay in one split by their contig.
        place = {"subject": row["contig"], "file": file, "partition": partition, "line": line}
        yield Sample(identity, {**place, **row})


def _values(present: Present, record: np.ndarray, index: np.ndarray) -> list[Any]:
    """An INFO field's value for each ALT."""
    of_record = dict(zip(present.rows.tolist(), present.values.tolist(), strict=True))
    out: list[Any] = []
    for row, alt in zip(record.tolist(), index.tolist(), strict=True):
        values = of_record.get(row)
        if values is None:
            out.append(None)
        elif present.definition.type == "Flag":
            out.append(True)
        elif present.definition.number == "A":
            value = values[alt - 1] if 0 < alt <= len(values) else None
            out.append(_plain(value, present.definition.type))
        else:
            plain = [_plain(value, present.definition.type) for value in values]
            out.append(plain[0] if present.definition.number == "1" else plain)
    return out


def _plain(value: Any, kind: str) -> Any:
    if kind == "Integer":
        return None if value in (INT_MISSING, INT_FILL) else value
    if kind == "Float":
        return None if value != value else value
    return None if value in (".", "") else value


def kinds_of(refs: Spans, alts: Spans) -> np.ndarray:
    """What each ALT is, as indices into `KINDS`, int64 (n,).

    Args:
        refs: each ALT's REF, (n,).
        alts: the ALTs, sound (see `records.RULES`), (n,).
    """
    first, last = alts.buffer[alts.starts], alts.buffer[alts.stops - 1]
    longer = alts.lengths - refs.lengths
    kinds = np.where(longer > 0, 2, np.where(longer < 0, 3, np.where(refs.lengths == 1, 0, 1)))
    same = longer == 0
    rows = np.flatnonzero(same)
    upper = np.uint8(0xDF)  # bases differ by case in one bit
    mine, offsets = alts[rows].joined()
    theirs, _ = refs[rows].joined()
    if len(rows):
        differ = np.add.reduceat((mine & upper) != (theirs & upper), offsets[:-1])
        kinds[rows[differ == 0]] = 4
    dot, bracket = ord("."), (ord("["), ord("]"))
    broken = np.isin(first, (*bracket, dot)) | np.isin(last, (*bracket, dot))
    kinds[first == ord("<")] = 5
    kinds[broken] = 6
    kinds[alts.equal(b"*")] = 7
    kinds[alts.equal(b".")] = 8
    return kinds
