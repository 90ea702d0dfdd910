"""WFDB: records of PhysioNet and its tools; one sample a record, digital as it was recorded.

Headers, signal files and annotation files are decoded here, without the library of that name:
see `docs/signals.md` for where the two differ.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import is_empty, nothing_found, place, replacing
from medray.formats.imaging.values import check_pattern, subject_of
from medray.formats.packed import grouped
from medray.formats.signal.deidentify import Deidentify, Pseudonyms
from medray.formats.signal.recording import COLUMNS, NOTED, array_of, row_of, spec_of
from medray.formats.wfdb.annotations import Notes, encode
from medray.formats.wfdb.notes import BYTES, FILES, SPEC, WORDS, Kept, files_of, moved, rows_of
from medray.formats.wfdb.reader import SUFFIX, Files, Signals
from medray.formats.wfdb.stretches import Rhythms
from medray.formats.wfdb.timeline import apart, whole
from medray.formats.wfdb.tree import Tree
from medray.formats.wfdb.writer import frame_rate, write_signals, written
from medray.storage.shards.holds import Holds, Needs, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Structs
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays

GROUP_SAMPLES = 32

__all__ = ["Wfdb"]
MORE = ("frame_rate", FILES)  # columns beside those of every recording
ANNOTATORS = ("atr", "qrs", "ecg", "ari", "ann", "pwave", "man", "apn", "st", "wqrs", "gqrs")


HINT = "beats and windows are written by `format: wfdb-annotations`"
RECORD = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


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
    annotators: tuple[str, ...] = Field(
        ANNOTATORS, description="endings of annotation files that are taken, e.g. [atr]"
    )
    texts: tuple[str, ...] | None = Field(
        None,
        description="annotations whose texts are kept, the others lose theirs; null: all, but "
        "names of rhythms alone where de-identification is on",
    )
    segments: Literal["joined", "apart"] = Field(
        "joined", description="apart: each segment of a record is a sample"
    )
    checksums: Literal["verify", "ignore"] = Field(
        "verify", description="ignore: take samples that differ from sums in their headers"
    )
    max_bytes: int = Field(8 * 2**30, gt=0, description="refuse records with more samples, decoded")

    annotator: str = Field(
        "med",
        pattern=r"^[A-Za-z0-9_]{1,20}$",
        description="ending of what annotators made whose names are no endings",
    )
    rhythms: dict[str, str] = Field(
        {},
        description='text of a stretch → rhythm that is written, e.g. {B: "(B"}; "": it is none',
    )
    otherwise: str = Field(
        "(N", min_length=1, description="rhythm that is written where a stretch of one ends"
    )

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

    def arrays(self) -> Arrays:
        """Bytes of annotation files; those of signals are told by headers."""
        return {BYTES: SPEC}

    def holds(self) -> Holds:
        """Recordings; only headers tell of which rates."""
        return Holds(None, names(COLUMNS, MORE))

    def ready(self) -> None:
        """Look for the site's key.

        Raises:
            SpecError: it is missing or weak.
        """
        super().ready()
        Pseudonyms(self.options.deidentify)

    def ready_to_write(self) -> None:
        """Nothing: what is written has its pseudonyms already."""

    def plan(self, source: Source) -> Found:
        """A record each, by headers alone; what they name must be there."""
        tree = Tree(source, self.names, self.options.annotators)
        items = list(tree.inputs())
        if is_empty(items, tree.refused):
            nothing_found(source, "WFDB headers", f"their names end in {SUFFIX}")
        arrays = {array_of(rate): spec_of(rate, many) for rate, many in sorted(tree.rates.items())}
        return Found(grouped(items, samples=GROUP_SAMPLES), tree.refused, arrays=arrays)

    def shown(self, item: Input) -> tuple[str, str]:
        """Its header, where the job says that paths name nobody."""
        return ("" if self.names.keyed else item.paths[0]), ""

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """The record: arrays `signal_<rate>` (channel, time), int16 or int32, and the bytes of its
        annotation files, uint8 (bytes,)."""
        files = Files(source, item, shown=not self.names.keyed)
        header = files.header()
        path = item.paths[0].removesuffix(SUFFIX)
        subject = self._subject(path)
        told, abouts, data = self._annotations(files, item, header.rate)
        parted = bool(header.parts) and self.options.segments == "apart"
        lines = apart(header, files.header) if parted else [whole(header, files.header)]
        for suffix, first, line in lines:
            verify = self.options.checksums == "verify"
            frames, arrays = Signals(line, files, verify, self.options.max_bytes).arrays()
            began = header.start and header.start + timedelta(seconds=first / line.rate)
            row = row_of(
                line.channels,
                record=self.names.name("record", path) + suffix,
                subject=self.names.name("subject", subject),
                start_time=self.names.start(began, subject),
                duration_s=frames / line.rate,
                annotations=moved(told, first, frames, line.rate) if parted else told,
            )
            row |= {"frame_rate": line.rate, FILES: [] if parted else abouts}
            if data and not parted:
                arrays[BYTES] = np.frombuffer(data, np.uint8)
            yield Sample(item.key.replace("/", "_") + suffix, row, arrays)

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """Signals, and bytes of annotation files."""
        return frozenset(one for one in names if one == BYTES or one.startswith("signal_"))

    def needs(self) -> Needs:
        """Recordings, or what was found in them."""
        return Needs(columns=names("annotations"), hint=HINT)

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>/` with `<sample>.hea`, its signal files, and a file for each annotator; of a
        sample without signals the annotations alone, in an empty file where there are none. Equal
        input, equal bytes.

        Raises:
            DataError: a sample is none that can be written so, see `writer.written`.
        """
        told = Rhythms(self.options.rhythms, self.options.otherwise)
        for sample in samples:
            place(target, sample.id, SUFFIX)
            if not RECORD.fullmatch(sample.id):
                raise DataError("the sample's id cannot be a record's name", code="unsafe-name")
            arrays = {name: _joined(array) for name, array in sample.arrays.items()}
            data, rate = arrays.pop(BYTES, None), frame_rate(sample.row)
            made = written(sample.id, sample.row, arrays) if arrays else None
            files = files_of(sample.row, data, rate, self.options.annotator, told)
            if made is None and not files:  # who looked and found nothing has said so
                files = {self.options.annotator: encode(Notes())}
            with replacing(target / sample.id) as temporary:
                temporary.mkdir()
                if made is not None:
                    write_signals(made, temporary, sample.id)
                for ending, content in files.items():
                    (temporary / f"{sample.id}.{ending}").write_bytes(content)
            yield target / sample.id

    def _annotations(
        self, files: Files, item: Input, rate: float
    ) -> tuple[Structs, list[dict[str, Any]], bytes]:
        """Those of all files, what is told of each file, and their bytes, if they may be kept."""
        texts, keyed = self.options.texts, self.names.keyed
        kept = Kept((WORDS if keyed else None) if texts is None else frozenset(texts))
        rows, abouts, data = [pa.array([], NOTED)], list[dict[str, Any]](), b""
        for annotator in item.extra["annotators"]:
            own = files.data(annotator)
            more, about = rows_of(annotator, own, rate, kept)
            whole = kept.texts is None
            rows.append(more)
            abouts.append(about if whole else {**about, "bytes": 0})
            data += own if whole else b""
        return Structs(pa.concat_arrays(rows)), abouts, data

    def _subject(self, path: str) -> str:
        """Whose a record is, as its path says.

        Raises:
            DataError: the path has no such folder, or the pattern does not match ("no-subject").
        """
        level, folders = self.options.subject_folder, path.split("/")[:-1]
        if level is None:
            return subject_of(path, self.options.subject_pattern)
        if not -len(folders) <= level < len(folders):
            raise DataError(
                "the record lies in no such folder",
                code="no-subject",
                hint="leave `subject_folder` out: each record is a subject of its own",
            )
        return folders[level]


def _joined(array: np.ndarray | Slabs) -> np.ndarray:
    if isinstance(array, Slabs):
        return np.concatenate(list(array.parts), axis=array.axis)
    return array
