"""WFDB: records of PhysioNet and its tools; one sample a record, digital as it was recorded.

Headers, signal files and annotation files are decoded here, without the library of that name:
see `docs/signals.md` for where the two differ.
"""

from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import is_empty, nothing_found
from medray.formats.imaging.values import check_pattern, subject_of
from medray.formats.packed import grouped
from medray.formats.signal.deidentify import Deidentify, Pseudonyms
from medray.formats.signal.recording import COLUMNS, array_of, row_of, spec_of
from medray.formats.wfdb.reader import SUFFIX, Files, Signals
from medray.formats.wfdb.timeline import apart, timeline
from medray.formats.wfdb.tree import Tree
from medray.storage.shards.holds import Holds, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

GROUP_SAMPLES = 32

__all__ = ["Wfdb"]
ANNOTATORS = ("atr", "qrs", "ecg", "ari", "ann", "pwave", "man", "apn", "st", "wqrs", "gqrs")


class WfdbOptions(FormatOptions):
    """How records are read."""

    deidentify: Deidentify = Deidentify()
    subject_folder: int | None = Field(
        None,
        description="whose a record is: the folder of this level, 0 below the source, -1 that of "
        "the record; null: each its own",
    )
    subject_pattern: str = Field(
        "", description="regular expression whose first group in a record's path is its subject"
    )
    segments: Literal["joined", "apart"] = Field(
        "joined", description="apart: each segment of a record is a sample"
    )
    checksums: Literal["verify", "ignore"] = Field(
        "verify", description="ignore: take samples that differ from sums in their headers"
    )
    max_bytes: int = Field(8 * 2**30, gt=0, description="refuse records with more samples, decoded")

    _pattern = field_validator("subject_pattern")(check_pattern)


class Wfdb(Format):
    """WFDB records, of all signal formats, with one or more segments and rates.

    Arrays `signal_<rate>` (channel, time) hold the digital values; columns are those of
    `signal.recording`.
    """

    name: ClassVar[str] = "wfdb"
    Options: ClassVar[type[FormatOptions]] = WfdbOptions
    options: WfdbOptions

    @cached_property
    def names(self) -> Pseudonyms:
        """Pseudonyms under the site's key, which is read when first needed."""
        return Pseudonyms(self.options.deidentify)

    def __getstate__(self) -> dict[str, object]:
        return {"options": self.options}  # never the key

    def holds(self) -> Holds:
        """Recordings; only headers tell of which rates."""
        return Holds(None, names(COLUMNS))

    def ready(self) -> None:
        """Look for the site's key.

        Raises:
            SpecError: it is missing or weak.
        """
        super().ready()
        self.names  # noqa: B018

    def plan(self, source: Source) -> Found:
        """A record each, by headers alone; what they name must be there."""
        tree = Tree(source, self.names, ())
        items = list(tree.inputs())
        if is_empty(items, tree.refused):
            nothing_found(source, "WFDB headers", f"their names end in {SUFFIX}")
        arrays = {array_of(rate): spec_of(rate) for rate in sorted(tree.rates)}
        return Found(grouped(items, samples=GROUP_SAMPLES), tree.refused, arrays=arrays)

    def shown(self, item: Input) -> tuple[str, str]:
        """Its header, where the job says that paths name nobody."""
        return ("" if self.names.keyed else item.paths[0]), ""

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """The record: arrays `signal_<rate>` (channel, time), int16 or int32."""
        files = Files(source, item, shown=not self.names.keyed)
        header = files.header()
        lines = [("", 0, timeline(header, files.header))]
        if header.parts and self.options.segments == "apart":
            found = apart(header, files.header)
            lines = [(f"-{number:04d}", start, line) for number, start, line in found]
        path = item.paths[0].removesuffix(SUFFIX)
        subject = self._subject(path)
        for suffix, first, line in lines:
            signals = Signals(
                line, files.find, self.options.checksums == "verify", self.options.max_bytes
            )
            frames, arrays = signals.arrays()
            began = header.start and header.start + timedelta(seconds=first / line.rate)
            row = row_of(
                line.channels,
                record=self.names.name("record", path) + suffix,
                subject=self.names.name("subject", subject),
                start_time=self.names.start(began, subject),
                duration_s=frames / line.rate,
            )
            yield Sample(item.key.replace("/", "_") + suffix, row, arrays)

    def _subject(self, path: str) -> str:
        """Whose a record is, as its path says.

        Raises:
            DataError: the path has no such folder, or the pattern does not match ("no-subject").
        """
        level, folders = self.options.subject_folder, path.split("/")[:-1]
        if level is None:
            return subject_of(path, self.options.subject_pattern)
        if not -len(folders) <= level < len(folders):
            raise DataError("the record lies in no such folder", code="no-subject")
        return folders[level]
