"""Records through storage and back, by jobs: equal in every field; with a key nobody is named."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import wfdb as library

from medray.formats.signal.recording import Annotation, Channel, placed, row_of
from medray.formats.wfdb.annotations import Note, Notes, decode, encode
from medray.jobs.run import run
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from tests.formats.wfdb import records
from tests.formats.wfdb.test_records import VALUES, put

CANARY, DATE = "ZQCANARYQZ", "11/06/1947"
TRACES = [trace.encode() for trace in (CANARY, DATE, "1947-06-11")]


def ingest(source: Path, **options: Any) -> dict[str, Any]:
    form = {"name": "wfdb", **records.PLAIN, **options}
    return {"kind": "ingest", "format": form, "source": str(source), "output": "recordings"}


def export(
    to: Path, name: str = "wfdb", data: str = "recordings", **options: Any
) -> dict[str, Any]:
    return {"kind": "export", "data": data, "format": {"name": name, **options}, "to": str(to)}


def inline(objects: Objects, *steps: dict[str, Any]) -> Any:
    return run(list(steps), storage=objects, cluster="inline")


@pytest.mark.parametrize("folder", ["mitbih", "wfdb_odd"])
def test_real_records_go_through_storage_and_back(
    data_dir: Path, tmp_path: Path, objects: Objects, folder: str
) -> None:
    source = data_dir / "biosignal" / folder
    inline(objects, ingest(source), export(tmp_path / "out"))
    before, after = records.read(source), records.read(tmp_path / "out")
    assert {f"{name}_{name}" for name in before} == set(after)
    for name, one in before.items():
        again = after[f"{name}_{name}"]
        assert set(again.arrays) == set(one.arrays)
        for array, values in one.arrays.items():
            np.testing.assert_array_equal(again.arrays[array], values)
        same = set(one.row) - {"record", "subject"}
        if name == "binformats":  # format 8 has no value for what is missing, 16 has
            assert again.row["channels"][0] == one.row["channels"][0] | {"missing": -(2**15)}
            same -= {"channels"}
        assert {key: again.row[key] for key in same} == {key: one.row[key] for key in same}
        file = tmp_path / "out" / name / name
        theirs = library.rdrecord(str(file), physical=False)
        assert theirs.n_sig == len(one.row["channels"])
        for path in source.glob(f"{name}.atr"):
            assert file.with_suffix(".atr").read_bytes() == path.read_bytes()
    assert len(before) == {"mitbih": 8, "wfdb_odd": 10}[folder]


def test_what_a_model_has_noted_is_written_beside_what_was_there(tmp_path: Path) -> None:
    root = put(tmp_path / "in", "a")
    data = encode(Notes((Note(9, "N"), Note(7, "V"))))[:-2] + b"\0\0"
    (root / "a.atr").write_bytes(data)
    sample = records.read(root)["a"]
    sample.row["annotations"] = [
        *sample.row["annotations"],
        {"annotator": "a model", "onset_s": 0.5, "duration_s": 0.25, "text": "AFIB"},
        {"annotator": "a model", "onset_s": 0.1, "sample": 40, "symbol": "S", "channel": 1},
    ]
    list(records.wfdb(annotator="mine").write([sample], tmp_path / "out"))
    made = tmp_path / "out" / "a"
    assert {path.name for path in made.iterdir()} == {"a.hea", "a.dat", "a.atr", "a.mine"}
    assert (made / "a.atr").read_bytes() == data
    assert decode((made / "a.mine").read_bytes()).notes == (
        Note(0, "+", text="(N"), Note(10, "S", channel=1), Note(50, "+", text="(AFIB"),
        Note(75, "+", text="(N"),
    )  # fmt: skip
    del sample.row["annotations"][0], sample.row["annotations"][1]
    list(records.wfdb(annotator="mine").write([sample], tmp_path / "out"))
    assert decode((made / "a.atr").read_bytes()).notes == (Note(9, "N"),)


def test_annotations_alone_need_no_signals(tmp_path: Path) -> None:
    note = Annotation("cnn", 1.5, text="sleep")
    channels = placed([Channel("a", "uV", 0.5, 1, 0), Channel("b", "uV", 0.2, 1, 0)])
    row = row_of(channels, record="x", subject="x", duration_s=9, annotations=[note])
    (path,) = records.wfdb().write([Sample("x", row, {})], tmp_path)
    assert [one.name for one in path.iterdir()] == ["x.cnn"]
    # Frames are as long as all rates allow: 0.1 a second.
    assert decode((path / "x.cnn").read_bytes()).notes == (Note(0, '"', text="sleep"),)


def test_rates_of_other_formats_become_samples_of_a_frame(tmp_path: Path) -> None:
    channels = placed(
        [
            Channel("a", "uV", 256.0, 10, -3.4, low=-2048, high=2047),
            Channel("b", "mmol / l", 1, 1, 0),
        ]
    )
    arrays = {"signal_256": VALUES[:1, :2560], "signal_1": np.full((1, 10), 2**20, np.int32)}
    row = row_of(
        channels, record="x", subject="x", duration_s=10, start_time="2001-02-03T04:05:06.5"
    )
    (path,) = records.wfdb().write([Sample("x", row, dict(arrays))], tmp_path)
    text = (path / "x.hea").read_text().splitlines()
    assert text[0] == "x 2 1 10 04:05:06.500000 03/02/2001"
    assert text[1].startswith("x.dat 16x256 10(-3)/uV 12 0 ")
    assert text[2].startswith("x_1.dat 24 1(0)/mmol_/_l 0 0 1048576 ")
    (again,) = records.read(tmp_path).values()
    np.testing.assert_array_equal(again.arrays["signal_256"], arrays["signal_256"])
    np.testing.assert_array_equal(again.arrays["signal_1"], arrays["signal_1"])


def test_units_with_and_without_annotations_are_one_table(tmp_path: Path, objects: Objects) -> None:
    root = put(tmp_path / "in", "a")
    put(root, "b")
    (root / "b.atr").write_bytes(encode(Notes((Note(9, "N"), Note(12, "V"), Note(13, "N")))))
    step = {**ingest(root), "units": {"samples": 1}}
    inline(objects, step, export(tmp_path / "out", "table", file="parquet"))
    table = pq.read_table(tmp_path / "out" / "recordings.parquet")
    notes = {row["record"]: row["annotations"] for row in table.to_pylist()}
    assert notes["a"] == []
    assert [(note["sample"], note["symbol"]) for note in notes["b"]] == [
        (9, "N"),
        (12, "V"),
        (13, "N"),
    ]


def named(root: Path) -> Path:
    """A folder of records that name a person wherever they can."""
    put(root / CANARY, f"{CANARY}_1", head="{n} {s} 100 {f} 10:00:00 " + DATE)
    head = root / CANARY / f"{CANARY}_1.hea"
    head.write_text(f"# {CANARY}\n{head.read_text()}# born {DATE} {CANARY}\n")
    notes = Notes(
        (Note(5, "+", text="(AFIB"), Note(6, '"', text=f"{CANARY} {DATE}"), Note(7, "X")),
        None, (f"42 X {CANARY}",),
    )  # fmt: skip
    head.with_suffix(".atr").write_bytes(encode(notes))
    put(root / CANARY, f"{CANARY}_2")
    head.with_name(f"{CANARY}_2.dat").write_bytes(b"\0")
    put(root / CANARY, f"{CANARY}_3")
    head.with_name(f"{CANARY}_3.dat").unlink()
    head.with_name(f"{CANARY}.txt").write_text(CANARY)
    return root


def test_with_a_key_nobody_is_named_anywhere(
    tmp_path: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 32)
    step = ingest(named(tmp_path / "in"), deidentify={"method": "keyed"}, subject_folder=0)
    inline(objects, {**step, "policy": {"error_budget": 1.0}})
    data = open_dataset(objects, "recordings")
    (row,) = [shard.table.to_pylist()[0] for shard in data.shards if shard.table.num_rows]
    assert [note["text"] for note in row["annotations"]] == ["(AFIB", "", ""]
    assert [note["symbol"] for note in row["annotations"]] == ["+", '"', "X"]
    assert row["start_time"][:7] != "1947-06"
    assert row["start_time"].endswith("T10:00:00")
    assert row["record"].startswith("record-")
    assert row["subject"].startswith("subject-")
    hits = set()
    for path in (tmp_path / "store").rglob("*"):
        parts = [path.name.encode()]
        if path.is_file():
            parts.append(path.read_bytes())
        if path.suffix == ".parquet":
            table = pq.read_table(io.BytesIO(path.read_bytes()))
            parts.append(repr(table.to_pylist()).encode())
        hits |= {path for part in parts for trace in TRACES if trace in part}
    assert hits == set()


def test_beats_become_one_file_a_record(
    tmp_path: Path, objects: Objects, make_dataset: Callable[[str, list[Sample]], Dataset]
) -> None:
    beats = [("r/1", 300, "V"), ("r2", 5, "N"), ("r/1", 100, "odd"), ("r/1", 200, "normal")]
    make_dataset("answers", [
        Sample(f"s{n}", {"record": record, "sample": at, "predicted": value})
        for n, (record, at, value) in enumerate(beats)
    ])  # fmt: skip
    symbols = {"normal": "N"}
    inline(objects, export(tmp_path / "out", "wfdb-annotations", "answers", annotator="net",
                           symbols=symbols))  # fmt: skip
    assert {path.name for path in (tmp_path / "out").glob("*.net")} == {"r_1.net", "r2.net"}
    assert decode((tmp_path / "out" / "r_1.net").read_bytes()).notes == (
        Note(100, '"', text="odd"), Note(200, "N"), Note(300, "V"),
    )  # fmt: skip
    theirs = library.rdann(str(tmp_path / "out" / "r2"), "net")
    assert (theirs.sample.tolist(), theirs.symbol) == ([5], ["N"])


def test_windows_say_what_they_are_counted_in(
    tmp_path: Path, objects: Objects, make_dataset: Callable[[str, list[Sample]], Dataset]
) -> None:
    row = {"record": "r", "start_sample": 50, "rate": 125.0, "predicted": "~"}
    make_dataset("answers", [Sample("s", row)])
    inline(objects, export(tmp_path / "out", "wfdb-annotations", "answers"))
    found = decode((tmp_path / "out" / "r.med").read_bytes())
    assert (found.resolution, found.notes) == (125, (Note(50, "~"),))
