"""Annotation of VCF text: every line goes through as it is, but for keys added to INFO.

A line is split at its eighth tab and no further, so thousands of genotypes cost one copy.
"""

import re
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medray.errors import SpecError

NOT_IN_KEYS = re.compile(r"[^0-9A-Za-z_.]")
_TABS = 8  # before FORMAT, or at the line's end


class Annotations:
    """What is to be added to the records of a stretch.

    Args:
        rows: one per ALT, in order: `line`, `pos`, `ref`, `alt`, `alt_index`, `n_alts` and the
            columns of `keys`. An ALT without a row, or without a value, is written as ".".
        keys: INFO key of each column.
    """

    def __init__(self, rows: pa.Table, keys: dict[str, str]) -> None:
        self.lines: list[int] = []
        if not rows.num_rows:
            return
        rows = rows.filter(pc.greater(rows["alt_index"], 0))
        lines = rows["line"].to_numpy()
        firsts = np.flatnonzero(np.diff(lines, prepend=-1))
        self.lines = lines[firsts].tolist()
        some = rows.take(firsts)
        self.positions = _bytes(some["pos"].cast(pa.string()))
        self.references = _bytes(some["ref"])
        counts = some["n_alts"].to_numpy().astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        record = np.repeat(np.arange(len(firsts)), np.diff(firsts, append=len(lines)))
        # Where each row goes among all ALTs; None for those that have no row.
        place = np.full(offsets[-1], -1, np.int64)
        place[offsets[record] + rows["alt_index"].to_numpy() - 1] = np.arange(len(lines))
        order = pa.array(place, mask=place < 0)
        lists = pa.array(offsets.astype(np.int32))

        def of_records(column: pa.ChunkedArray) -> pa.Array:
            texts = column.combine_chunks().cast(pa.string()).take(order).fill_null(".")
            return pc.binary_join(pa.ListArray.from_arrays(lists, texts), ",")

        self.alternatives = _bytes(of_records(rows["alt"]))
        texts = [pc.binary_join_element_wise(f"{keys[c]}=", of_records(rows[c]), "") for c in keys]
        self.infos = _bytes(pc.binary_join_element_wise(*texts, ";")) if texts else []


def annotated(blocks: Iterable[bytes], notes: Annotations) -> Iterator[bytes]:
    """The lines of a stretch without the header's, with what is noted of them.

    Args:
        blocks: of whole lines, as `bgzf.lines_of` gives them; the first line is number 1.
        notes: of these lines.

    Raises:
        SpecError: a noted line is no longer there (code "source-changed").
    """
    number, at, last = 0, 0, len(notes.lines)
    wanted = notes.lines[0] if last else -1
    for block in blocks:
        lines = block.split(b"\n")
        left = lines.pop()  # what follows the last newline: empty, but at some files' end
        if left:
            lines.append(left)
        if number + len(lines) < wanted or wanted < 0:
            number += len(lines)
            made = [line for line in lines if line[:1] != b"#"]
        else:
            made = []
            for line in lines:
                number += 1
                if number == wanted:
                    made.append(_with(line, notes, at))
                    at += 1
                    wanted = notes.lines[at] if at < last else -1
                elif line[:1] != b"#":
                    made.append(line)
        if made:
            yield b"\n".join(made) + (b"" if left else b"\n")
    if at < last:
        raise _changed()


def _with(line: bytes, notes: Annotations, at: int) -> bytes:
    head = line.split(b"\t", _TABS)
    if (
        len(head) < _TABS
        or head[1] != notes.positions[at]
        or head[3] != notes.references[at]
        or (head[4] != notes.alternatives[at] and not _partly(head[4], notes.alternatives[at]))
    ):
        raise _changed()
    info, end = head[7], b""
    if len(head) == _TABS and info[-1:] == b"\r":
        info, end = info[:-1], b"\r"
    if info in (b".", b""):
        head[7] = notes.infos[at] + end
    else:
        head[7] = info + (notes.infos[at] if info[-1:] == b";" else b";" + notes.infos[at]) + end
    return b"\t".join(head)


def _partly(there: bytes, noted: bytes) -> bool:
    """Whether ALTs are those noted, where each is noted at all."""
    pairs = list(zip(there.split(b","), noted.split(b","), strict=False))
    return there.count(b",") == noted.count(b",") and all(b in (a, b".") for a, b in pairs)


def _bytes(column: "pa.Array | pa.ChunkedArray") -> list[bytes]:
    found: list[bytes] = column.cast(pa.binary()).to_pylist()
    return found


def _changed() -> SpecError:
    return SpecError(
        "the file is not the one that was ingested, or was cut otherwise",
        code="source-changed",
        hint="give the same file, and the same `partition` as its ingest had",
    )
