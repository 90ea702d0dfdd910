"""Signals in tables: decimals are exact, rates are held, windows are rows."""

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.signal_table import SignalTable
from medray.storage.shards.samples import Sample


def read(root: Path, **options: Any) -> list[Sample]:
    options = {"deidentify": {"method": "none"}, **options}
    form, source = SignalTable(SignalTable.Options.model_validate(options)), Source(root)
    plan = form.plan(source)
    if plan.refused:
        raise DataError(plan.refused[0].reason, code=plan.refused[0].code)
    found = [one for group in plan.groups for item in group for one in form.read(source, item)]
    assert all(set(one.arrays) <= set(plan.arrays) for one in found if isinstance(one, Sample))
    return [one for one in found if isinstance(one, Sample)]


def test_decimals_are_integers_with_a_gain(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("A,B,note,eye\n4329.23,1,x,0\n-0.5,2,y,1\n715897,-3,z,1\n")
    (sample,) = read(tmp_path, rate=128, label="eye", unit="uV")
    values = sample.arrays["signal_128"]
    assert values.dtype == np.int32
    assert values.tolist() == [[432923, -50, 71589700], [1, 2, -3]]
    assert [(c["name"], c["gain"], c["unit"]) for c in sample.row["channels"]] == [
        ("A", 100, "uV"),
        ("B", 1, "uV"),
    ]
    assert sample.arrays["label"].tolist() == [0, 1, 1]
    assert sample.row["duration_s"] == 3 / 128
    (chosen,) = read(tmp_path, rate=128, leads=["B"])
    assert chosen.arrays["signal_128"].dtype == np.int16


def test_parquet_and_times(tmp_path: Path) -> None:
    times = np.arange(500) / 250 + 17
    table = pa.table({"t": times, "x": np.arange(500), "sleep": ["wake", "n1"] * 250})
    pq.write_table(table, tmp_path / "a.parquet")
    (sample,) = read(tmp_path, time="t", label="sleep", classes=["wake", "n1"])
    assert sample.arrays["signal_250"].tolist() == [list(range(500))]
    assert sample.arrays["label"].tolist() == [0, 1] * 250
    pq.write_table(
        table.set_column(0, "t", [np.delete(np.arange(501), 5) / 250]), tmp_path / "a.parquet"
    )
    with pytest.raises(DataError, match="uneven-times"):
        read(tmp_path, time="t")


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        ("a,b\n1,2\n", {}, "no-rate"),
        ("a,b\n1,2\n", {"rate": 1, "leads": ["c"]}, "no-such-column"),
        ("a,b\n1,\n", {"rate": 1, "leads": ["b"]}, "bad-value"),
        ("a,b\n1,nan\n", {"rate": 1}, "nonfinite-signal"),
        ("a,b\n1\n", {"rate": 1}, "uneven-row"),
        ("a,b\n0.12345678,1\n", {"rate": 1}, "not-digital"),
        ("a,b\n3000000000,1\n", {"rate": 1}, "not-digital"),
        ("a,b\n1,-1\n", {"rate": 1, "label": "b"}, "unknown-label"),
    ],
)
def test_refusals(text: str, options: dict[str, Any], code: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=code):
        read(tmp_path, **options)
    if code == "not-digital":
        (sample,) = read(tmp_path, **options, dtype="float32")
        assert sample.arrays["signal_1"].dtype == np.float32


def test_rows_that_are_windows(tmp_path: Path) -> None:
    lines = "   1.0e+00  -1.125e-01   2.5\n   2.0e+00   3.0e+00  -4.0\n"
    (tmp_path / "beats.txt.gz").write_bytes(gzip.compress(lines.encode()))
    first, second = read(tmp_path, rows="samples", rate=140, label="0", header=False)
    np.testing.assert_allclose(first.arrays["signal"], [[-0.1125, 2.5]])  # type: ignore[arg-type]
    assert (first.row["label"], second.row["label"]) == ("1", "2")
    assert first.id == "beats-0000000"


@pytest.mark.real_data
def test_eyes_and_beats(data_dir: Path) -> None:
    folder = data_dir / "biosignal"
    (sample,) = read(folder / "eeg_eye_state", rate=128, label="Eye_detection", unit="uV")
    path = folder / "eeg_eye_state" / "EEG_Eye_State.csv.gz"
    with gzip.open(path, "rt") as file:
        wanted = np.array(list(csv.reader(file))[1:], np.float64)
    gains = np.array([channel["gain"] for channel in sample.row["channels"]])
    np.testing.assert_array_equal(np.asarray(sample.arrays["signal_128"]).T / gains, wanted[:, :14])
    assert np.bincount(sample.arrays["label"]).tolist() == [8257, 6723]  # type: ignore[arg-type]
    beats = read(folder / "ecg5000", rows="samples", rate=140, label="0", header=False)
    assert len(beats) == 500
    assert sum(one.row["label"] == "1" for one in beats) == 292
