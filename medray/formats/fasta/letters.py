"""Letters of one record as codes: whole, or in slabs where it is large."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from medray.errors import DataError
from medray.formats.fasta.records import BEFORE, Record, first_word
from medray.formats.genomics.alphabet import encode, firsts
from medray.formats.genomics.nucleotides import ambiguous

BACK = 4096  # bytes of a header that are looked at
_BLANKS = b" \t\r\n"


@dataclass(frozen=True)
class Summary:
    """What is known of a record once all of its letters have been looked at.

    Args:
        length: bases.
        sha256: of the codes.
        counts: how many there are of each code: A, C, G, T, N.
        ambiguous: letters that name no single base, N among them.
        iupac: SHA-256 of the array `iupac`; None where N is the only such letter.
    """

    length: int
    sha256: str
    counts: list[int]
    ambiguous: int
    iupac: str | None


def before(record: Record) -> int:
    """How many bytes before the record's letters `slabs` wants, so as to see its header."""
    return min(record.start, BACK)


def around(record: Record) -> tuple[int, int]:
    """Start and size of the text that `slabs` wants: the end of what precedes the letters, they
    themselves, and what comes next: ends of lines and the next record's mark."""
    return record.start - before(record), before(record) + record.size + 3


def slabs(text: Iterable[bytes], record: Record) -> Iterator[tuple[bytes, int]]:
    """The record's letters, a piece for each of text, and how many are ambiguous.

    Args:
        text: from `around(record)`, in pieces.
        record: as planned.

    Raises:
        DataError: "changed-file" (it is not what was planned), "bad-index", "bad-letter",
            "protein", and as `medray.formats.tabular.text`.
    """
    header, missing, left = b"", before(record), record.size
    last = after = b""
    for block in text:
        if missing:
            header, block = header + block[:missing], block[missing:]
            missing = before(record) - len(header)
            if not missing:
                _check_header(header, record)
        inside, after = block[:left], after + block[left:]
        left, last = left - len(inside), inside[-1:] or last
        letters = inside.translate(None, _BLANKS)
        if letters:
            yield letters, ambiguous(letters)
    # An index counts to the last base, a pass over the file to the next header.
    after = after if record.length < 0 else after.strip(_BLANKS)
    open_end = after and record.length < 0 and last not in (b"", b"\n")
    if left or open_end or after[:1] not in (b"", b">"):
        raise _misfit(record)


def summary(text: Iterable[bytes], record: Record) -> Summary:
    """Look at all letters of a record, a piece of its text at a time.

    Raises:
        DataError: as `slabs`; or there are none ("empty-sequence").
    """
    whole, counts, odd = hashlib.sha256(), np.zeros(5, np.int64), 0
    first, named = hashlib.sha256(), False
    for letters, others in slabs(text, record):
        codes = encode(letters)
        whole.update(codes.data)
        counts += np.bincount(codes, minlength=5)
        odd += others
        reduced = firsts(letters)
        first.update(reduced.data)
        named = named or (others > 0 and bool(reduced.any()))
    length = int(counts.sum())
    if not length:
        raise DataError("the record has no letters", code="empty-sequence")
    if record.length not in (-1, length):
        raise _misfit(record)
    return Summary(
        length, whole.hexdigest(), counts.tolist(), odd, first.hexdigest() if named else None
    )


def _check_header(header: bytes, record: Record) -> None:
    """The last line before the letters is the record's header; of a very long one its end only."""
    _, newline, line = header.removesuffix(b"\n").rpartition(b"\n")
    begins = newline or len(header) < BACK
    if record.start <= BACK and not header[: -len(line) - 1].strip(BEFORE):
        line = line.lstrip(BEFORE)
    if begins and (not line.startswith(b">") or first_word(line[1:]) != record.name):
        raise _misfit(record)


def _misfit(record: Record) -> DataError:
    if record.length >= 0:
        return DataError(
            "the .fai index does not fit the file",
            code="bad-index",
            hint="remove it, or make it again: samtools faidx",
        )
    return DataError("the file is not what was planned", code="changed-file")
