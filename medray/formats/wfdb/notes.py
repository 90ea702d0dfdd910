"""Annotation files beside a record as rows of its column `annotations`, and back.

The column `annotation_files` says of each file what its rows don't: its length in the array
`annotation_bytes`, which holds all files end to end, its time resolution and its own symbols.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from medray.errors import DataError
from medray.formats.signal.recording import NOTED
from medray.formats.wfdb.annotations import (
    MAX_TICK,
    NOTE,
    SYMBOLS,
    Note,
    Notes,
    bad,
    decode,
    encode,
    take,
)
from medray.formats.wfdb.stretches import RHYTHMS, Rhythms, Stretch
from medray.storage.shards.rows import Structs
from medray.storage.shards.schema import ArraySpec, Axis

FILES, BYTES = "annotation_files", "annotation_bytes"
SPEC = ArraySpec((Axis("byte"),), ("uint8",), packing="dense", ragged=True)
ENDING = re.compile(r"[A-Za-z0-9_]{1,20}")
WORDS = RHYTHMS | {"MISSB", "PSE", "TS"}
"""Texts that are names of rhythms and events, and so of nobody."""


@dataclass(frozen=True)
class Kept:
    """Which texts of annotations stay.

    Args:
        texts: None: all.
    """

    texts: frozenset[str] | None

    def __call__(self, text: str) -> str:
        """The text, or nothing."""
        return text if self.texts is None or text in self.texts else ""


def rows_of(
    annotator: str, data: bytes, rate: float, kept: Kept
) -> tuple[pa.StructArray, dict[str, Any]]:
    """The annotations of a file, `NOTED`, and what the column of files says of it.

    Args:
        annotator: the file's ending.
        data: its bytes.
        rate: frames a second of the record, in which `sample` counts.
        kept: texts.

    Raises:
        DataError: it cannot be read (code "bad-annotations").
    """
    taken = take(data)
    about, count = taken.about, len(taken.ticks)
    ticks = about.resolution or rate
    onsets = taken.ticks / ticks
    samples = taken.ticks if ticks == rate else np.rint(onsets * rate)
    if not (samples < MAX_TICK).all():
        raise bad("an annotation lies beyond every record")
    texts = [""] * count
    for at, text in taken.texts.items():
        texts[at] = kept(text)
    columns = {
        "annotator": pa.repeat(annotator, count),
        "onset_s": onsets,
        "duration_s": pa.nulls(count, pa.float64()),
        "text": texts,
        "sample": samples.astype(np.int64),
        "symbol": np.array(taken.symbols, object)[taken.codes],
        "subtype": taken.subtypes,
        "channel": taken.channels,
        "number": taken.numbers,
    }
    made = [pa.array(columns[field.name], field.type) for field in NOTED]
    lines = about.definitions
    if kept.texts is not None:  # code and symbol, without the words that describe it
        lines = tuple(" ".join(line.split(" ")[:2]) for line in lines)
    return pa.StructArray.from_arrays(made, fields=list(NOTED)), {
        "annotator": annotator,
        "bytes": len(data),
        "resolution": float(about.resolution or 0),
        "definitions": "\n".join(lines),
        "terminated": about.terminated,
    }


def moved(rows: Structs, first: int, frames: int, rate: float) -> Structs:
    """Those of a segment, in its own time."""
    own = [
        {**one, "onset_s": one["onset_s"] - first / rate, "sample": one["sample"] - first}
        for one in rows
        if first <= one["sample"] < first + frames
    ]
    return Structs(pa.array(own, NOTED))


def files_of(
    row: Mapping[str, Any], data: np.ndarray | None, rate: float, other: str, rhythms: Rhythms
) -> dict[str, bytes]:
    """The annotation files of a record by their ending: as they were read, if nothing has changed.

    Args:
        row: of the record: `annotations`, and if it has them `annotation_files`.
        data: bytes of all files that were read, uint8 (bytes,); None: nobody kept them.
        rate: frames a second of the record.
        other: ending for annotators whose name is none.
        rhythms: how stretches are told.

    Raises:
        DataError: an annotation cannot stand in such a file (code "unwritable-annotation").
    """
    by_ending: dict[str, list[dict[str, Any]]] = {}
    for one in row.get("annotations") or ():
        name = str(one["annotator"])
        ending = name if ENDING.fullmatch(name) else other
        if ending in ("hea", "dat"):
            raise DataError("an annotator has a signal file's ending", code="unsafe-name")
        by_ending.setdefault(ending, []).append(one)
    abouts = {str(one["annotator"]): one for one in row.get(FILES) or ()}
    kept, start = dict[str, bytes](), 0
    for name, about in abouts.items():
        if data is not None:
            kept[name] = data[start : start + about["bytes"]].tobytes()
            start += about["bytes"]
        by_ending.setdefault(name, [])
    made = {}
    seconds = row.get("duration_s")
    for ending, rows in by_ending.items():
        notes = notes_of(rows, abouts.get(ending), rate, rhythms, seconds)
        same = ending in kept and decode(kept[ending]) == notes
        made[ending] = kept[ending] if same else encode(notes)
    return made


def notes_of(
    rows: Sequence[Mapping[str, Any]],
    about: Mapping[str, Any] | None,
    rate: float,
    rhythms: Rhythms,
    duration_s: float | None = None,
) -> Notes:
    """Annotations as a file has them.

    A stretch that has no symbol is told as `rhythms` does; a text without symbol is a comment, '"'.
    """
    resolution = float(about["resolution"]) if about else 0.0
    definitions = tuple(filter(None, about["definitions"].split("\n"))) if about else ()
    terminated = bool(about and about["terminated"])
    ticks = resolution or rate
    made, stretches = list[Note](), list[Stretch]()
    for one in rows:
        sample, text = one.get("sample"), str(one.get("text") or "")
        onset = float(one["onset_s"])
        tick = _tick(onset, None if resolution else sample, ticks)
        told = [int(one.get(name) or 0) for name in ("subtype", "channel", "number")]
        subtype, channel, number = told
        symbol = str(one.get("symbol") or "")
        length = one.get("duration_s")
        if symbol or length is None:
            made.append(Note(tick, symbol or SYMBOLS[NOTE], subtype, channel, number, text))
            continue
        stop = _tick(onset + float(length), None, ticks)
        stretches.append(Stretch(tick, stop, text, subtype, channel, number))
    end = None if duration_s is None else round(duration_s * ticks)
    made += rhythms.notes(stretches, end)
    return Notes(tuple(made), resolution or None, definitions, terminated)


def _tick(onset_s: float, sample: int | None, rate: float) -> int:
    """The sample, unless it counts in another rate than that of frames: then by the time."""
    nearest = round(onset_s * rate)
    return nearest if sample is None or abs(sample - nearest) > 1 else int(sample)
