"""EDF and BDF: every value as it was digitised, every time as it was told, or a refusal."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.edf import Edf
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs
from tests.formats.edf.made import File, Lead, clocked, noise

OPEN = {"deidentify": {"method": "none"}}


def read(root: Path, **options: Any) -> tuple[list[Sample], list[Refusal]]:
    form, source = Edf(Edf.Options.model_validate({**OPEN, **options})), Source(root)
    plan = form.plan(source)
    found = [s for group in plan.groups for item in group for s in form.read(source, item)]
    return [one for one in found if isinstance(one, Sample)], plan.refused


def one(root: Path, file: File | bytes, name: str = "a.edf", **options: Any) -> Sample:
    (root / name).write_bytes(file if isinstance(file, bytes) else file.bytes())
    (sample,), refused = read(root, **options)
    assert not refused
    return sample


def code_of(root: Path, file: File | bytes, name: str = "a.edf", **options: Any) -> str:
    (root / name).write_bytes(file if isinstance(file, bytes) else file.bytes())
    try:
        found, refused = read(root, **options)
    except DataError as error:
        return error.code
    assert not found
    return refused[0].code


def whole(values: Any) -> np.ndarray:
    return np.concatenate(list(values.parts), 1) if isinstance(values, Slabs) else values


@pytest.mark.parametrize("width", [2, 3])
def test_channels_of_a_rate_are_one_array_and_values_are_those_of_the_file(
    width: int, tmp_path: Path
) -> None:
    rates, bits = (100, 1, 100, 7), 8 * width
    leads = [Lead(noise(5, rate, n, bits), label=f"c{n}") for n, rate in enumerate(rates)]
    sample = one(tmp_path, File(leads, width=width), "a.edf" if width == 2 else "a.bdf")
    assert {name: values.shape for name, values in sample.arrays.items()} == {
        "signal_100": (2, 500),
        "signal_1": (1, 5),
        "signal_7": (1, 35),
    }
    for lead, channel in zip(leads, sample.row["channels"], strict=True):
        held = sample.arrays[channel["array"]]
        assert held.dtype == (np.int16 if width == 2 else np.int32)
        np.testing.assert_array_equal(held[channel["index"]], lead.values.reshape(-1))
    assert [c["rate"] for c in sample.row["channels"]] == list(rates)
    assert sample.row["duration_s"] == 5
    assert sample.row["start_time"] == "2002-03-02T16:13:05"
    assert sample.row["segments"] == []


def test_physical_values_follow_from_gain_and_baseline(tmp_path: Path) -> None:
    values = np.array([[-2849, 2731, 0]])
    lead = Lead(values, unit="DegC", physical=("34", "40"), digital=("-2849", "2731"))
    upside = Lead(values, physical=("8711", "-8711"), digital=("-32768", "32767"))
    flat = Lead(values, physical=("0", "0"))
    first, second, third = one(tmp_path, File([lead, upside, flat])).row["channels"]
    physical = (values - first["baseline"]) / first["gain"]
    np.testing.assert_allclose(physical, [[34, 40, 34 + 6 * 2849 / 5580]])
    assert second["gain"] == 65535 / -17422
    assert (third["calibrated"], third["gain"], third["baseline"]) == (False, 1, 0)
    assert (first["low"], first["high"], first["unit"]) == (-2849, 2731, "DegC")


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("block", [1, 1000, 2**20])
def test_slabs_of_large_recordings_are_the_same(
    width: int, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = [Lead(noise(9, rate, n, 8 * width)) for n, rate in enumerate((200, 3, 200))]
    file = File(leads, clocked([f"+{n}" for n in range(9)]), width=width)
    name = "a.edf" if width == 2 else "a.bdf"
    held = one(tmp_path, file, name)
    monkeypatch.setattr("medray.formats.edf.samples.BLOCK_BYTES", block)
    monkeypatch.setattr("medray.formats.edf.HELD_BYTES", 0)
    slabs = one(tmp_path, file, name)
    for key, values in slabs.arrays.items():
        assert isinstance(values, Slabs)
        np.testing.assert_array_equal(whole(values), held.arrays[key])
    assert slabs.row == held.row


def test_annotations_count_from_the_first_sample(tmp_path: Path) -> None:
    notes = {
        0: b"+0.5\x1525.5\x14Apnea\x14Desaturation\x14\0-2\x14before\x14\0",
        1: "+2,25\x150\x14Übergang\x14\0".encode(),
    }
    told = clocked(["+0.25", "+1.25"], notes)
    sample = one(tmp_path, File([Lead(noise(2, 10))], told))
    found = [(a["onset_s"], a["duration_s"], a["text"]) for a in sample.row["annotations"]]
    assert found == [
        (0.25, 25.5, "Apnea"),
        (0.25, 25.5, "Desaturation"),
        (-2.25, None, "before"),
        (2.0, 0.0, "Übergang"),
    ]
    assert sample.row["start_time"] == "2002-03-02T16:13:05.250000"
    assert {a["annotator"] for a in sample.row["annotations"]} == {"edf"}


def test_gaps_are_segments_and_samples_lie_end_to_end(tmp_path: Path) -> None:
    told = clocked(["+10", "+11", "+20.5", "+21.5003", "+30"])
    lead = Lead(noise(5, 100))
    sample = one(tmp_path, File([lead], told, fields={"kind": "EDF+D"}))
    found = [(s["onset_s"], s["duration_s"]) for s in sample.row["segments"]]
    assert found == [(0, 2), (10.5, 2), (20, 1)]
    assert sample.row["duration_s"] == 21
    np.testing.assert_array_equal(sample.arrays["signal_100"][0], lead.values.reshape(-1))
    assert sample.row["start_time"] == "2002-03-02T16:13:15"


@pytest.mark.parametrize(
    ("begins", "kind", "code"),
    [
        (["+0", "+0.9", "+2"], "EDF+D", "overlapping-records"),
        (["+0", "+5", "+2"], "EDF+D", "overlapping-records"),
        (["+0", "+1", "+5"], "EDF+C", "times-disagree"),
    ],
)
def test_times_that_cannot_be(begins: list[str], kind: str, code: str, tmp_path: Path) -> None:
    file = File([Lead(noise(3, 100))], clocked(begins), fields={"kind": kind})
    assert code_of(tmp_path, file) == code
    if kind == "EDF+C":
        assert one(tmp_path, file, times="header").row["duration_s"] == 3


def test_records_without_times(tmp_path: Path) -> None:
    lead = Lead(noise(2, 100))
    silent = [b"", b"+1\x14\x14\0"]
    assert one(tmp_path, File([lead], silent)).row["duration_s"] == 2
    file = File([lead], silent, fields={"kind": "EDF+D"})
    assert code_of(tmp_path, file) == "no-times"


def test_annotations_alone(tmp_path: Path) -> None:
    told = clocked(["+0"], {0: b"+0\x1530\x14Sleep stage W\x14\0+30\x1590\x14Sleep stage 1\x14\0"})
    sample = one(tmp_path, File([], told, fields={"duration": "0"}))
    assert not sample.arrays
    assert [a["text"] for a in sample.row["annotations"]] == ["Sleep stage W", "Sleep stage 1"]
    assert sample.row["duration_s"] == 120


def test_records_that_the_header_does_not_count(tmp_path: Path) -> None:
    lead = Lead(noise(3, 10))
    unknown = File([lead], fields={"records": -1}).bytes()
    assert one(tmp_path, unknown).arrays["signal_10"].shape == (1, 30)
    assert one(tmp_path, unknown[:-1]).arrays["signal_10"].shape == (1, 20)
    known = File([lead]).bytes()
    assert code_of(tmp_path, known[:-1]) == "truncated-edf"
    assert code_of(tmp_path, known + b"\0") == "trailing-data"
    assert one(tmp_path, known[:-1], records="file").arrays["signal_10"].shape == (1, 20)
    assert code_of(tmp_path, known[:512]) == "truncated-edf"
    assert code_of(tmp_path, unknown[:512]) == "empty-recording"


def test_forms_that_fields_are_seen_in(tmp_path: Path) -> None:
    lead = Lead(noise(2, 3), unit="\xb5V", physical=("-3,2768", "3,2767"))
    lead.digital = ("-32768.0", "32767")
    fields = {"duration": "0,5", "date": "02-03-02", "time": "16:13:05", "records": b"2\0\0"}
    sample = one(tmp_path, File([lead], fields=fields))
    (channel,) = sample.row["channels"]
    assert channel["unit"] == "µV"
    assert channel["rate"] == 6
    assert channel["gain"] == pytest.approx(10_000)
    assert sample.row["start_time"] == "2002-03-02T16:13:05"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"version": "1"}, "not-edf"),
        ({"size": 1024}, "bad-header"),
        ({"many": "x"}, "bad-header"),
        ({"many": 0, "size": 256}, "bad-header"),
        ({"records": "1.5"}, "bad-header"),
        ({"records": -2}, "bad-header"),
        ({"duration": "0"}, "bad-header"),
        ({"duration": "1.000,5"}, "bad-header"),
        ({"duration": "nan"}, "bad-header"),
        ({"duration": "1E300"}, "bad-header"),
        ({"date": "03/02/02"}, "bad-date"),
        ({"date": "31.02.02"}, "bad-date"),
        ({"time": "25.00.00"}, "bad-date"),
        ({"time": ""}, "bad-date"),
    ],
)
def test_headers_that_cannot_be_read(fields: dict[str, Any], code: str, tmp_path: Path) -> None:
    file = File([Lead(noise(2, 10))], fields=fields)
    assert code_of(tmp_path, file) == code
    if code == "bad-date":
        assert one(tmp_path, file, start="ignore").row["start_time"] == ""


@pytest.mark.parametrize(
    ("date", "recording", "start"),
    [
        ("24.04.89", "", "1989-04-24T16:13:05"),
        ("24.04.84", "", "2084-04-24T16:13:05"),
        ("24.04.yy", "Startdate 24-APR-2091 X X X", "2091-04-24T16:13:05"),
        ("24/04/89", "Startdate 24-APR-1989 X X X", "1989-04-24T16:13:05"),
        ("01.01.85", "Startdate X X X X", ""),
    ],
)
def test_the_century_is_told_by_the_recording(
    date: str, recording: str, start: str, tmp_path: Path
) -> None:
    fields = {"date": date, "recording": recording}
    assert one(tmp_path, File([Lead(noise(1, 5))], fields=fields)).row["start_time"] == start


def test_whose_a_recording_is(tmp_path: Path) -> None:
    (tmp_path / "s12").mkdir()
    name, file = "s12/night-1.edf", File([Lead(noise(1, 5))])
    assert one(tmp_path, file, name).row["subject"] == "s12/night-1"
    assert one(tmp_path, file, name, subject="patient").row["subject"] == "MCH-0234567"
    assert one(tmp_path, file, name, subject_pattern="(s[0-9]+)/").row["subject"] == "s12"
    file.fields["patient"] = "X F X Female_33yr"
    assert code_of(tmp_path, file, name, subject="patient") == "no-subject"
