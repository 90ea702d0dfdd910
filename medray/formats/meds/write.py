"""Whole subjects as a file of MEDS 0.4."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medray.errors import DataError
from medray.formats.events.columns import NEVER, TEXTS, texts_of
from medray.formats.files import replacing
from medray.ids import short
from medray.storage.shards.samples import Sample


def write_meds(samples: Sequence[Sample], target: Path, *, numbers: bool) -> Path:
    """One file of the subjects: `subjects-<hash of their names>.parquet`.

    Beside the columns of MEDS it has `available_at`, `unit`, `number` (the number's text where
    float32 changes it) and `subject`, the name whose hash `subject_id` is. Subjects come by their
    numbers, the events of each in order of time.

    Args:
        samples: with the arrays of events.
        target: folder to write to.
        numbers: names are numbers and are written as such.

    Raises:
        DataError: a name is no whole number of 63 bits without leading zeros ("not-a-number"), or
            two have the same hash ("same-id").
    """
    ids = np.array([_number(one.id) if numbers else hashed(one.id) for one in samples], np.int64)
    if len(np.unique(ids)) < len(ids):
        raise DataError("two subjects have the same number", code="same-id")
    order = np.argsort(ids, kind="stable")
    sorted_ = [samples[at] for at in order.tolist()]
    held = {
        name: np.concatenate([np.asarray(one.arrays[name]) for one in sorted_])
        for name in ("time", "available_at", "numeric_value", *TEXTS)
    }
    counts = np.array([len(np.asarray(one.arrays["time"])) for one in sorted_], np.int64)
    texts = {name: texts_of(held[name]) for name in TEXTS}
    columns = {
        "subject_id": pa.array(np.repeat(ids[order], counts), pa.int64()),
        "time": _times(held["time"]),
        "code": texts["code"],
        "numeric_value": _numbers(held["numeric_value"]),
        "text_value": _blank(texts["words"]).cast(pa.large_string()),
        "available_at": _times(held["available_at"]),
        "unit": _blank(texts["unit"]),
        "number": _blank(texts["number"]),
        "subject": pa.array([one.id for one in sorted_], pa.string()).take(
            pa.array(np.repeat(np.arange(len(sorted_)), counts))
        ),
    }
    needed = ("subject_id", "code")
    schema = pa.schema(
        [pa.field(name, one.type, name not in needed) for name, one in columns.items()]
    )
    path = target / f"subjects-{short([one.id for one in samples])[:12]}.parquet"
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns, schema), temporary, compression="zstd")
    return path


def hashed(name: str) -> int:
    """The number that stands for a subject: 63 bits of the SHA-256 of its name, which under a
    site's key is a keyed pseudonym already."""
    return int.from_bytes(hashlib.sha256(f"meds\0{name}".encode()).digest()[:8], "big") >> 1


def _number(name: str) -> int:
    whole = name.isascii() and name.isdigit() and (name == "0" or name[0] != "0")
    if not whole or int(name) >= 2**63:
        raise DataError(
            "a subject's name is no number that MEDS can hold",
            code="not-a-number",
            hint="take `ids: hash`, which '0017' and '17' are two of",
        )
    return int(name)


def _times(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.int64(), mask=values == NEVER).cast(pa.timestamp("us"))


def _numbers(values: np.ndarray) -> pa.Array:
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    return pa.array(single, pa.float32(), mask=~np.isfinite(single))


def _blank(texts: pa.StringArray) -> pa.StringArray:
    """Texts, null where nothing stands."""
    return pa.array([text or None for text in texts.to_pylist()], pa.string())
