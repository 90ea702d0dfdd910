"""How far records reach: what `variant_length` is, and what region queries find them by."""

from collections.abc import Mapping, Sequence

import numpy as np

from medray.formats.vcf.text.info import Present
from medray.formats.vcf.text.lines import Table
from medray.formats.vcf.text.records import ALT, REF, matches
from medray.formats.vcf.text.values import INT_LEAST

READ = frozenset({"END", "SVLEN", "LEN"})  # fields that say it
_REACHING = r"^<(?:DEL|DUP|CNV|INV)[:>]"  # of these SVLEN lies on the reference; of INS it does not
_BLOCK = r"^<(?:\*|NON_REF)>$"


def extents(
    table: Table, info: Mapping[str, Sequence[Present]], fields: Sequence[Present]
) -> np.ndarray:
    """Bases of the reference from POS to the furthest that a record names, int64 (records,).

    The furthest of REF, of INFO/END unless it lies before POS, of the length in INFO/SVLEN behind
    POS where an ALT is DEL, DUP, CNV or INV (earlier versions write it below 0), and of FORMAT/LEN
    where one is <*> or <NON_REF> (VCF 4.5, section 1.6.1 and table 1). bcftools finds records so.

    Args:
        table: the records.
        info: their INFO fields.
        fields: their FORMAT fields.
    """
    positions, _ = table.positions
    reach = table.columns[REF].lengths.copy()
    for part in info.get("END", ()):
        if part.values.dtype.kind == "i":
            np.maximum.at(reach, part.rows, part.values[:, 0] - positions[part.rows] + 1)
    alts, counts = table.columns[ALT].split(ord(","))
    owner = np.repeat(np.arange(len(table)), counts)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    lengths = [part for part in info.get("SVLEN", ()) if part.values.dtype.kind == "i"]
    if lengths:
        symbolic = matches(alts, _REACHING, few=True)
        for part in lengths:
            slot = np.full(len(table), -1)
            slot[part.rows] = np.arange(len(part.rows))
            # Number=1 and Number=. of earlier versions say one length for all ALTs.
            column = np.where(part.values.shape[1] == 1, 0, rank)
            here = np.flatnonzero(symbolic & (slot[owner] >= 0) & (column < part.values.shape[1]))
            values = part.values[slot[owner[here]], column[here]].astype(np.int64)
            known = values >= INT_LEAST
            np.maximum.at(reach, owner[here[known]], np.abs(values[known]) + 1)
    blocks = [p for p in fields if p.definition.name == "LEN" and p.values.dtype.kind == "i"]
    if blocks:
        block = np.zeros(len(table), bool)
        block[owner[matches(alts, _BLOCK, few=True)]] = True
        for part in blocks:
            longest = part.values.max(axis=(1, 2), initial=0) * block[part.rows]
            np.maximum.at(reach, part.rows, longest)
    shown: np.ndarray = np.minimum(reach, 2**31 - np.maximum(positions, 1))  # an end is an int32
    return shown
