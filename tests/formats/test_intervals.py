"""Intervals: every annotation a row, of recordings and of what was predicted of them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medray.errors import SpecError
from medray.formats.base import Source
from medray.formats.intervals import Intervals
from medray.formats.joined import Piece

NOTES: list[dict[str, Any]] = [
    {"annotator": "atr", "onset_s": 0.5, "duration_s": None, "symbol": "N", "text": ""},
    {"annotator": "net", "onset_s": 1.0, "duration_s": 2.5, "symbol": "V", "text": "=1"},
]
NOTES[0]["sample"], NOTES[1]["probability"] = 180, 0.9


def join(target: Path, **options: Any) -> Path:
    tables = [
        pa.Table.from_pylist([{"sample_id": "s", "record": "100", "annotations": NOTES}]),
        pa.Table.from_pylist([{"sample_id": "t", "annotations": NOTES[:1]}]),
        pa.Table.from_pylist([{"sample_id": "u", "annotations": []}]),
        pa.Table.from_pylist([{"sample_id": "v"}]),
    ]
    pieces = [Piece(lambda table=table: table, lambda: iter(())) for table in tables]  # type: ignore[misc]
    form = Intervals(Intervals.Options.model_validate(options))
    name = f"beats.{form.options.file}"
    (path,) = form.join(name, None, Source(target), pieces, target, {})
    return path


def test_an_annotation_is_a_line(tmp_path: Path) -> None:
    assert join(tmp_path).read_text() == (
        "record,onset_s,duration_s,sample,channel,symbol,text,annotator,probability\n"
        "100,0.5,,180,,N,,atr,\n"
        "100,1.0,2.5,,,V,'=1,net,0.9\n"
        "t,0.5,,180,,N,,atr,\n"
    )


def test_parquet_has_the_types_and_only_those_who_are_asked_for(tmp_path: Path) -> None:
    table = pq.read_table(join(tmp_path, file="parquet", annotators=["net"]))
    (row,) = table.to_pylist()
    assert row["record"] == "100"
    assert (row["symbol"], row["text"], row["probability"]) == ("V", "=1", 0.9)
    assert str(table.schema.field("sample").type) == "int64"


def test_nothing_is_read_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="write-only-format"):
        Intervals(Intervals.Options()).plan(Source(tmp_path))
