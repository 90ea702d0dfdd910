"""A recording as a sample: digital as it was recorded, each rate apart, nothing resampled.

Channels of one rate are one array `signal_<rate>`, (channel, time), of the integers that the file
holds; what they mean stands in the column `channels`: physical value = (digital - baseline) / gain.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from medray.storage.shards.rows import Structs
from medray.storage.shards.schema import ArraySpec, Axis

CHUNK_SECONDS = 10  # of an array in storage
CHUNK_VALUES = 2**16, 2**20  # of all channels, at least and at most
DTYPES = ("int16", "int32")
ARRAY = "signal_"  # names of arrays begin so
COLUMNS = (
    "record",
    "subject",
    "start_time",
    "duration_s",
    "channels",
    "annotations",
    "segments",
)  # of a recording, see `row_of`


@dataclass(frozen=True)
class Channel:
    """One channel of a recording, in the order of the file.

    Args:
        name: as the file has it, e.g. "MLII" or "EEG Fpz-Cz".
        unit: of physical values, e.g. "mV"; "" where the file names none.
        rate: samples a second.
        gain: digital steps in one unit.
        baseline: the digital value of physical zero, which need not be an integer.
        calibrated: whether the file says gain and baseline, or they are the format's defaults.
        array: where it lies, and `index` along its first axis.
        missing: the digital value that stands for no sample; None: there is no such value.
        low: the least digital value that the file allows, and `high` the greatest; None: not said.
        skew_s: how late its samples stand: sample n was taken at n / rate - skew_s.
        transducer: as EDF has it.
        prefilter: as EDF has it.
    """

    name: str
    unit: str
    rate: float
    gain: float
    baseline: float
    calibrated: bool = True
    array: str = ""
    index: int = 0
    missing: int | None = None
    low: int | None = None
    high: int | None = None
    skew_s: float = 0.0
    transducer: str = ""
    prefilter: str = ""


@dataclass(frozen=True)
class Annotation:
    """What somebody noted at a place of a recording, or over a stretch of it.

    Args:
        annotator: which set of annotations it is of: of WFDB the file's extension, e.g. "atr".
        onset_s: seconds since the start of the recording.
        duration_s: None: a point in time, or not said.
        text: WFDB's aux, EDF's text.
        sample: of WFDB, in samples; None where a file tells times alone.
        symbol: of WFDB, e.g. "N" or "+"; "" where a file has texts alone.
        subtype: of WFDB, as `channel` and `number` are.
    """

    annotator: str
    onset_s: float
    duration_s: float | None = None
    text: str = ""
    sample: int | None = None
    symbol: str = ""
    subtype: int = 0
    channel: int = 0
    number: int = 0


NOTED = pa.struct(
    [
        ("annotator", pa.string()),
        ("onset_s", pa.float64()),
        ("duration_s", pa.float64()),
        ("text", pa.string()),
        ("sample", pa.int64()),
        ("symbol", pa.string()),
        ("subtype", pa.int64()),
        ("channel", pa.int64()),
        ("number", pa.int64()),
    ]
)
"""What annotations are by column: days of signals have 100,000 of them."""


@dataclass(frozen=True)
class Segment:
    """A stretch without a gap of a recording that has gaps; stretches follow each other in arrays.

    Args:
        onset_s: when it begins, in seconds since the start of the recording.
        duration_s: how long it is.
    """

    onset_s: float
    duration_s: float


def array_of(rate: float) -> str:
    """The name of the array of a rate: "signal_360", "signal_0.5"."""
    return f"{ARRAY}{rate:.10g}"


def spec_of(rate: float, channels: int = 1) -> ArraySpec:
    """How the array of a rate lies: all channels of some seconds in a chunk.

    Args:
        rate: samples a second.
        channels: as many as a recording has at most.
    """
    least, most = (max(1, values // channels) for values in CHUNK_VALUES)
    along = min(most, max(least, round(CHUNK_SECONDS * rate)))
    axes = (Axis("channel", "channel"), Axis("time", "time", "second"))
    return ArraySpec(axes, DTYPES, chunk=(None, along), packing="smooth")


def placed(channels: Iterable[Channel]) -> list[Channel]:
    """The channels, each with the array of its rate and its index there."""
    counts: dict[str, int] = {}
    found = []
    for channel in channels:
        array = array_of(channel.rate)
        index = counts.get(array, 0)
        counts[array] = index + 1
        found.append(replace(channel, array=array, index=index))
    return found


def row_of(
    channels: Sequence[Channel],
    *,
    record: str,
    subject: str,
    duration_s: float,
    start_time: str = "",
    annotations: Sequence[Annotation] | Structs = (),
    segments: Sequence[Segment] = (),
) -> dict[str, Any]:
    """The columns of a recording.

    Args:
        channels: as `placed` gives them.
        record: its name, a pseudonym where de-identification is on.
        subject: whose it is; what is of one subject stays in one split.
        duration_s: from its start to its end, gaps included.
        start_time: ISO 8601, shifted where de-identification is on; "" where it is not known.
        annotations: in the order of the file; by column they are `NOTED`.
        segments: where it has gaps; none: it has none.
    """
    return {
        "record": record,
        "subject": subject,
        "start_time": start_time,
        "duration_s": duration_s,
        "channels": [dict(vars(channel)) for channel in channels],
        "annotations": annotations if isinstance(annotations, Structs) else noted(annotations),
        "segments": [dict(vars(one)) for one in segments],
    }


def noted(annotations: Sequence[Annotation]) -> Structs:
    """Annotations by column."""
    columns = [
        pa.array([getattr(one, field.name) for one in annotations], field.type) for field in NOTED
    ]
    return Structs(pa.StructArray.from_arrays(columns, fields=list(NOTED)))
