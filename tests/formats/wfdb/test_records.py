"""Records made by hand: what is read, and what is refused by name."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import DataError, MedrayError, SpecError
from medray.formats.base import Source
from medray.formats.wfdb import reader
from medray.jobs.run import run
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.store.objects import Objects
from tests.formats.wfdb import records

VALUES = np.random.default_rng(0).integers(-900, 900, (2, 3000)).astype(np.int16)


def put(root: Path, name: str, values: np.ndarray = VALUES, head: str = "{n} {s} 100 {f}",
        names: tuple[str, ...] = ("I", "II"), gain: str = "200/mV") -> Path:  # fmt: skip
    """A record of format 16 with its sums."""
    root.mkdir(exist_ok=True, parents=True)
    (root / f"{name}.dat").write_bytes(values.T.astype("<i2").tobytes())
    sums = [f"{row[0]} {int(row.sum(dtype=np.int64)) % 2**16}" for row in values]
    lines = [head.format(n=name, s=len(values), f=values.shape[1])]
    lines += [f"{name}.dat 16 {gain} 12 0 {one} 0 {lead}"
              for one, lead in zip(sums, names, strict=True)]  # fmt: skip
    (root / f"{name}.hea").write_text("\n".join(lines) + "\n")
    return root


def refusal(root: Path, **options: Any) -> str:
    """The code that the only record of a folder is refused with."""
    items, refused = records.inputs(root, **options)
    codes = [one.code for one in refused if one.kind == "quarantined"]
    if codes:
        assert not items
        return codes[0]
    form = records.wfdb(**options)
    try:
        for item in items:
            for one in form.read(Source(root), item):
                assert isinstance(one, Sample)
                records.whole(one)
    except DataError as error:
        return error.code
    return "read"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_samples_come_whole_or_as_slabs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = put(tmp_path, "a")
    held = records.read(root)["a"]
    np.testing.assert_array_equal(held.arrays["signal_100"], VALUES)
    monkeypatch.setattr(reader, "HELD", 1000)
    (item,), _ = records.inputs(root)
    (sample,) = records.wfdb().read(Source(root), item)
    assert isinstance(sample, Sample)
    assert isinstance(sample.arrays["signal_100"], Slabs)
    np.testing.assert_array_equal(records.whole(sample).arrays["signal_100"], VALUES)
    data = bytearray((root / "a.dat").read_bytes())
    data[-1] ^= 1
    (root / "a.dat").write_bytes(data)
    assert refusal(root) == "checksum-mismatch"


@pytest.mark.parametrize("at", [0, 5000, 11999])
def test_a_flipped_bit_is_a_refusal(tmp_path: Path, at: int) -> None:
    root = put(tmp_path, "a")
    data = bytearray((root / "a.dat").read_bytes())
    data[at] ^= 8
    (root / "a.dat").write_bytes(data)
    code = "first-sample-mismatch" if at == 0 else "checksum-mismatch"
    assert refusal(root) == code
    found = records.read(root, checksums="ignore")["a"].arrays["signal_100"]
    assert (found != VALUES).sum() == 1


def test_a_first_sample_of_0_that_is_none_is_left_to_the_sum(tmp_path: Path) -> None:
    root = put(tmp_path, "a")
    assert VALUES[0, 0] != 0
    change(root / "a.hea", f" 0 {VALUES[0, 0]} ", " 0 0 ")
    assert set(records.read(root)) == {"a"}
    change(root / "a.hea", " 0 0 ", " 0 1 ")
    assert refusal(root) == "first-sample-mismatch"


def test_files_that_are_missing_short_or_empty(tmp_path: Path) -> None:
    root = put(tmp_path, "a")
    data = (root / "a.dat").read_bytes()
    (root / "a.dat").write_bytes(data[:-1])
    assert refusal(root) == "short-file"
    (root / "a.dat").unlink()
    _, (missing,) = records.inputs(root)
    assert (missing.code, missing.source) == ("missing-file", "a")
    assert "a.dat" in missing.reason
    (root / "a.dat").write_bytes(b"")
    (root / "a.hea").write_text("a 1 100\na.dat 16\n")
    assert refusal(root) == "no-signals"


def test_a_length_that_nobody_says(tmp_path: Path) -> None:
    root = put(tmp_path, "a", head="{n} {s} 100")
    np.testing.assert_array_equal(records.read(root)["a"].arrays["signal_100"], VALUES)
    (root / "b.dat").write_bytes(bytes(20))
    (root / "a.hea").write_text("a 3 100\na.dat 16\na.dat 16\nb.dat 16\n")
    assert refusal(root) == "length-mismatch"


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    root = put(tmp_path, "a")
    assert refusal(root, max_bytes=11_999) == "too-large"
    (root / "a.hea").write_text("a/2 2 100 1000000003000\na_1 3000\n~ 1000000000000\n")
    put(root, "a_1")
    assert refusal(root) == "too-large"


def test_formats_that_do_not_exist_and_do_not_fit(tmp_path: Path) -> None:
    root = put(tmp_path, "a")
    change(root / "a.hea", "a.dat 16", "a.dat 61")
    assert refusal(root) == "bad-header"  # the signals of one file differ
    change(root / "a.hea", "a.dat 61", "a.dat 17")
    change(root / "a.hea", "a.dat 16", "a.dat 17")
    assert refusal(root) == "unknown-coding"
    change(root / "a.hea", "a.dat 17", "a.dat 516")
    change(root / "a.hea", "a.dat 17", "a.dat 516")
    assert refusal(root) == "damaged-file"


def test_compressed_files_without_their_library_are_no_inputs_fault(
    tmp_path: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = put(tmp_path / "in", "a")
    change(root / "a.hea", "a.dat 16", "a.dat 516")
    change(root / "a.hea", "a.dat 16", "a.dat 516")
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "soundfile" else there(name)
    )
    with pytest.raises(SpecError, match="missing-extra") as refused:
        records.read(root)
    assert refused.value.hint == "pip install 'medray[signals]'"
    step = {"kind": "ingest", "format": {"name": "wfdb", **records.PLAIN}}
    step |= {"source": str(root), "output": "out"}
    with pytest.raises(MedrayError, match="missing-extra"):
        run([step], storage=objects, cluster="inline")
    assert not objects.exists("datasets/out/HEAD")


def test_offsets_and_several_samples_a_frame(tmp_path: Path) -> None:
    fast, slow = VALUES[0], VALUES[1, :1000]
    frames = np.concatenate([fast.reshape(-1, 3), slow.reshape(-1, 1)], axis=1)
    (tmp_path / "a.dat").write_bytes(b"12345" + frames.astype("<i2").tobytes())
    (tmp_path / "a.hea").write_text("a 2 50\na.dat 16x3+5 0\na.dat 16+5 10(3)/NU\n")
    sample = records.read(tmp_path)["a"]
    np.testing.assert_array_equal(sample.arrays["signal_150"], fast[None])
    np.testing.assert_array_equal(sample.arrays["signal_50"], slow[None])
    told = [(one["rate"], one["calibrated"], one["name"]) for one in sample.row["channels"]]
    assert told == [(150, False, "signal 0"), (50, True, "signal 1")]
    assert sample.row["duration_s"] == 20


def test_segments_with_gaps_are_one_timeline(tmp_path: Path) -> None:
    put(tmp_path, "r_1", VALUES[:, :100], names=("I", "II"))
    put(tmp_path, "r_2", VALUES[1:, 100:160], names=("II",))
    (tmp_path / "r_layout.hea").write_text(
        "r_layout 3 100 0\n~ 0 200/mV 12 0 0 0 0 I\n~ 0 1/mV 12 0 0 0 0 II\n~ 0 1/NU 0 0 0 0 0 X\n"
    )
    (tmp_path / "r.hea").write_text(
        "r/5 3 100 200 10:00:00 1/2/2020\nr_layout 0\n~ 10\nr_1 100\n~ 30\nr_2 60\n"
    )
    (sample,) = records.read(tmp_path).values()
    array = sample.arrays["signal_100"]
    wanted = np.full((3, 200), -(2**15), np.int16)
    wanted[:2, 10:110] = VALUES[:, :100]
    wanted[1, 140:] = VALUES[1, 100:160]
    np.testing.assert_array_equal(array, wanted)
    told = [(one["name"], one["gain"], one["missing"]) for one in sample.row["channels"]]
    assert told == [("I", 200, -(2**15)), ("II", 200, -(2**15)), ("X", 1, -(2**15))]
    assert (sample.row["duration_s"], sample.row["start_time"]) == (2, "2020-02-01T10:00:00")


def test_segments_that_differ_in_gain_are_refused_or_stand_apart(tmp_path: Path) -> None:
    put(tmp_path, "r_1", VALUES[:, :100])
    put(tmp_path, "r_2", VALUES[:, 100:160], gain="100/mV")
    (tmp_path / "r.hea").write_text("r/2 2 100 160 10:00:00 1/2/2020\nr_1 100\nr_2 60\n")
    (tmp_path / "r.atr").write_bytes(bytes.fromhex("63040a040000"))  # N at 99 and at 109
    assert refusal(tmp_path) == "mixed-gains"
    found = records.read(tmp_path, segments="apart")
    assert list(found) == ["r-0000", "r-0001"]
    second = found["r-0001"]
    np.testing.assert_array_equal(second.arrays["signal_100"], VALUES[:, 100:160])
    assert second.row["start_time"] == "2020-02-01T10:00:01"
    assert [one["sample"] for one in second.row["annotations"]] == [9]
    assert {one.row["subject"] for one in found.values()} == {"r"}


@pytest.mark.parametrize(
    ("lines", "code"),
    [("r/2 2 100 170\nr_1 100\nr_2 60", "bad-segments"), ("r/1 2 99 60\nr_2 60", "bad-segments"),
     ("r/1 2 100 50\nr_2 50", "bad-segments"), ("r/2 2 100\nr_1 100\nr_3 60", "missing-file"),
     ("r/2 2 100\nr_1 100\nr_4 60", "bad-segments"), ("r/1 2 100\nr 60", "bad-segments")],
)  # fmt: skip
def test_segments_that_do_not_fit_are_refused(tmp_path: Path, lines: str, code: str) -> None:
    put(tmp_path, "r_1", VALUES[:, :100])
    put(tmp_path, "r_2", VALUES[:, 100:160])
    put(tmp_path, "r_4", VALUES[:1, :60], names=("I",))
    for name in {"r_1", "r_2", "r_4"} - set(lines.replace("\n", " ").split()):
        (tmp_path / f"{name}.hea").unlink()
    (tmp_path / "r.hea").write_text(lines + "\n")
    assert refusal(tmp_path) == code


def test_subjects_follow_the_options(tmp_path: Path) -> None:
    put(tmp_path / "p1" / "x", "a-7")
    assert records.read(tmp_path)["p1_x_a-7"].row["subject"] == "p1/x/a-7"
    for options, subject in (
        ({"subject_folder": 0}, "p1"), ({"subject_folder": -1}, "x"),
        ({"subject_pattern": r"-(\d)$"}, "7"),
    ):  # fmt: skip
        assert records.read(tmp_path, **options)["p1_x_a-7"].row["subject"] == subject
    assert refusal(tmp_path, subject_folder=2) == "no-subject"
    assert refusal(tmp_path, subject_pattern="(z)") == "no-subject"


def test_lists_are_ignored_and_other_files_passed_over(tmp_path: Path) -> None:
    root = put(tmp_path, "a")
    for name in ("RECORDS", "ANNOTATORS", "notes.txt", "a.xws", "b.atr"):
        (root / name).write_text("x")
    _, refused = records.inputs(root)
    assert [(one.source, one.kind) for one in refused] == [
        ("a.xws", "passed-over"), ("b.atr", "passed-over"), ("notes.txt", "passed-over"),
    ]  # fmt: skip
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match="nothing-found"):
        records.inputs(tmp_path / "empty")


def test_annotators_are_chosen(tmp_path: Path) -> None:
    root = put(tmp_path, "a")
    (root / "a.atr").write_bytes(bytes.fromhex("0a040000"))
    (root / "a.foo").write_bytes(bytes.fromhex("05140000"))
    (item,), _ = records.inputs(root)
    assert item.paths == ("a.hea", "a.dat", "a.atr")
    notes = records.read(root, annotators=["foo", "atr"])["a"].row["annotations"]
    assert [(n["annotator"], n["sample"], n["symbol"]) for n in notes] == [
        ("foo", 5, "V"), ("atr", 10, "N"),
    ]  # fmt: skip
    assert records.read(root, annotators=[])["a"].row["annotations"] == []
    (root / "a.atr").write_bytes(b"\1")
    assert refusal(root) == "bad-annotations"


def test_times_are_told_in_frames_whatever_a_file_counts_in(tmp_path: Path) -> None:
    from medray.formats.wfdb.annotations import Note, Notes, encode

    root = put(tmp_path, "a")
    data = encode(Notes((Note(1005, "N"),), 1000.0))
    (root / "a.atr").write_bytes(data)
    (note,) = records.read(root)["a"].row["annotations"]
    assert (note["onset_s"], note["sample"]) == (1.005, 100)
