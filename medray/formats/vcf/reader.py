"""One stretch of a VCF file: its sound records, block by block, and what was refused of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from medray.errors import DataError, SpecError
from medray.formats.base import Input
from medray.formats.vcf.text.bgzf import Kind, lines_of
from medray.formats.vcf.text.blocks import ends_marked
from medray.formats.vcf.text.header import ENDED, read_header
from medray.formats.vcf.text.lines import Table, table_of
from medray.formats.vcf.text.records import REASONS, Order, Verdicts, check_fixed
from medray.storage.shards.records import Refusal


class ReadOptions(Protocol):
    """What reading needs of the format's options."""

    @property
    def table(self) -> str: ...
    @property
    def allow(self) -> tuple[str, ...]: ...
    @property
    def max_refused(self) -> int: ...
    @property
    def max_line(self) -> int: ...


class Reading:
    """Reads one stretch.

    A record that breaks the specification is refused by itself, under its line; a header that does
    refuses the file. Lines count from the file's first, or, in a stretch that is not the file's
    first, from the stretch's first (1), since nobody counts those before. A damaged block of BGZF,
    or record of BCF, is refused by itself too, under its place; its lines are not counted.

    Args:
        path: the file.
        item: the stretch.
        options: of the format.

    Raises:
        DataError: the header can't be trusted (see `header.parse_header`).
    """

    def __init__(self, path: Path, item: Input, options: ReadOptions) -> None:
        self.path, self.item, self.options = path, item, options
        self.kind: Kind = item.extra["kind"]
        self.allow = frozenset(options.allow)
        self.header = read_header(path, self.kind, self.allow)
        start = int(item.extra["start"])
        self._refused: list[Refusal] = [
            Refusal(item.key, code, f"{said}: passed over", "header", kind="passed-over")
            for code, said in self.header.passed
            if start == 0
        ]
        self._count = 0
        self._first = ""
        self._order = Order(set())
        self._head = self.header.lines if start == 0 else 0  # lines of this stretch
        # Text is no shorter than what it is packed into, so a header that ends before, ends before.
        self._in_header = 0 < start < self.header.bytes

    def blocks(self) -> Iterator[tuple[Table, Verdicts]]:
        """Records, in order, and which stand so far; who reads more of them may refuse more.

        Raises:
            DataError: the file breaks off (see `bgzf.lines_of`), or more records are refused than
                the options allow (code "too-many-bad-records").
        """
        extra, first = self.item.extra, 1
        lost: list[DataError] = []
        texts = lines_of(
            self.path,
            self.kind,
            extra["start"],
            extra["stop"],
            max_line=self.options.max_line,
            lost=lost,
        )
        for text in texts:
            self._note_lost(lost)
            table, verdicts, count = self._examined(text, first)
            first += count
            yield table, verdicts
            self._note(table, verdicts)
        self._note_lost(lost)
        if extra["last"] and self.kind == "bgzf" and not ends_marked(self.path):
            self._refuse("end", "no-eof-mark", "the file lacks the mark of its end: cut off?")

    def taken(self) -> Iterator[Refusal]:
        """What was refused since this was asked last."""
        yield from self._refused
        self._refused.clear()

    def _note_lost(self, lost: list[DataError]) -> None:
        """Refuse what is damaged, and go on behind it."""
        for fault in lost:
            self._refuse(fault.about, fault.code, fault.message, fault.hint)
        lost.clear()

    def _note(self, table: Table, verdicts: Verdicts) -> None:
        for row in np.flatnonzero(~verdicts.sound).tolist():
            code = verdicts.codes[row]
            self._refuse(f"line {table.numbers[row]}", code, REASONS[code])

    def _examined(self, block: bytes, first: int) -> tuple[Table, Verdicts, int]:
        text, spoiled = _utf8(block)
        self._pass_header(text)
        table, odd, count = table_of(text, self.header.columns, first, self._head)
        if len(odd) and self.options.table == "calls":
            self._require_samples(text)
        for line in odd.tolist():
            self._refuse(f"line {line}", "column-count", REASONS["column-count"])
        verdicts = check_fixed(table, self._order, self.allow)
        if spoiled:
            verdicts.refuse(np.isin(table.numbers - first, spoiled), "not-utf8")
        if not block.endswith(b"\n") and self.header.version in ENDED:
            verdicts.refuse(table.numbers == first + count - 1, "no-final-newline")
        return table, verdicts, count

    def _require_samples(self, text: bytes) -> None:
        """That no header among the records, as `cat` of two files leaves one, is of other samples:
        calls behind it would be those of this file's samples.

        Raises:
            DataError: one is, and the stretch is all of the file (code "second-header").
            SpecError: one is, and other stretches, too, may lie behind it ("second-header").
        """
        for line in text.split(b"\n"):
            if not line.startswith(b"#CHROM\t"):
                continue
            if tuple(line.removesuffix(b"\r").decode().split("\t")[9:]) != self.header.samples:
                whole = self.item.extra["start"] == 0 and self.item.extra["last"]
                raise (DataError if whole else SpecError)(
                    "a second header stands among the records, and names other samples",
                    code="second-header",
                    about="" if whole else self.item.paths[0],
                    hint="join files of equal samples by `bcftools concat`, others by "
                    "`bcftools merge`",
                )

    def _pass_header(self, text: bytes) -> None:
        """Go on in a header that reaches into a stretch that is not the file's first."""
        at = 0
        while self._in_header and at < len(text):
            self._in_header = text[at] == ord("#")
            if self._in_header:
                at = text.find(b"\n", at) + 1 or len(text)
                self._head += 1

    def _refuse(self, place: str, code: str, reason: str, hint: str = "") -> None:
        if code in self.allow:
            return
        self._first = self._first or place
        self._count += 1
        if self._count > self.options.max_refused:
            raise DataError(
                f"more than {self.options.max_refused} records are refused, from {self._first} on, "
                f"the last at {place}: {reason}",
                code="too-many-bad-records",
                hint="set `max_refused` higher, or `allow` the code",
            )
        said = f"{place}: {reason}"
        self._refused.append(Refusal(self.item.key, code, said, place, hint=hint))


def _utf8(block: bytes) -> tuple[bytes, list[int]]:
    """The block as UTF-8 of equal lines, and which of its lines were none."""
    if block.isascii():
        return block, []
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        lines = block.split(b"\n")
        bad = []
        for number, line in enumerate(lines):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                bad.append(number)
                lines[number] = line.decode("ascii", "replace").encode("ascii", "replace")
        return b"\n".join(lines), bad
    return block, []
