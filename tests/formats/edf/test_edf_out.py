"""EDF written: digital values, scales, times and texts come back as they went out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.edf import Edf
from medray.storage.shards.samples import Sample
from tests.formats.edf.made import File, Lead, clocked, noise
from tests.parts import library

OPEN = {"deidentify": {"method": "none"}}
NOTES = {0: b"+1.25\x152.5\x14Apnea\x14\0-3\x14before\x14\0", 2: "+2\x14Übergang\x14\0".encode()}


def read(root: Path) -> list[Sample]:
    form, source = Edf(Edf.Options.model_validate(OPEN)), Source(root)
    plan = form.plan(source)
    assert [one for one in plan.refused if one.kind == "quarantined"] == []
    found = [one for group in plan.groups for item in group for one in form.read(source, item)]
    return [one for one in found if isinstance(one, Sample)]


def again(samples: list[Sample], target: Path) -> list[Sample]:
    list(Edf(Edf.Options.model_validate(OPEN)).write(samples, target))
    return read(target)


def same(one: Sample, other: Sample) -> None:
    assert one.row == other.row
    assert {*one.arrays} == {*other.arrays}
    for name, values in one.arrays.items():
        np.testing.assert_array_equal(values, other.arrays[name])
        assert values.dtype == other.arrays[name].dtype


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize(
    ("begins", "kind"),
    [(["+0", "+1", "+2", "+3"], "C"), (["+0.125", "+1.125", "+10.5", "+11.5"], "D")],
)
def test_a_recording_comes_back(width: int, begins: list[str], kind: str, tmp_path: Path) -> None:
    bits = 8 * width
    leads = [
        Lead(noise(4, 200, 1, bits)),
        Lead(noise(4, 3, 2, bits), "Temp", "", "DegC", ("34.1", "40.25"), ("-2849", "2731"), ""),
        Lead(noise(4, 200, 3, bits), physical=("8711", "-8711"), digital=("-32768", "32767")),
        Lead(noise(4, 1, 4, bits), physical=("-.000153", "0.000152")),
    ]
    name = "BDF" if width == 3 else "EDF"
    file = File(leads, clocked(begins, NOTES), width=width, fields={"kind": f"{name}+{kind}"})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"a.{name.lower()}").write_bytes(file.bytes())
    (one,) = read(tmp_path / "in")
    assert bool(one.row["segments"]) == (kind == "D")
    (other,) = again([one], tmp_path / "out")
    same(one, other)
    for path in (tmp_path / "out").iterdir():
        edfio = library("edfio")
        if kind == "C":  # edfio reads no files with gaps
            opened = (edfio.read_bdf if width == 3 else edfio.read_edf)(path)
            for lead, signal in zip(leads, opened.signals, strict=True):
                np.testing.assert_array_equal(signal.digital, lead.values.reshape(-1))
            assert len(opened.annotations) == 3


def test_annotations_alone_come_back(tmp_path: Path) -> None:
    told = clocked(["+0"], {0: b"+0\x1530\x14Sleep stage W\x14\0+30\x14Lights off\x14\0"})
    (tmp_path / "in").mkdir()
    file = File([], told, fields={"duration": "0"})
    (tmp_path / "in" / "a.edf").write_bytes(file.bytes())
    (one,) = read(tmp_path / "in")
    (other,) = again([one], tmp_path / "out")
    same(one, other)


def recorded(length: int, rate: float, **columns: Any) -> Sample:
    values = np.random.default_rng(0).integers(-900, 900, (2, length)).astype(np.int16)
    channel = {"name": "MLII", "unit": "mV", "rate": rate, "gain": 200.0, "baseline": 1024.0}
    channel |= {"array": f"signal_{rate:g}", "low": None, "high": None}
    channel |= {"transducer": "", "prefilter": ""}
    channels = [{**channel, "index": at} for at in range(2)]
    row = {"subject": "s 1", "channels": channels, "start_time": "", **columns}
    return Sample("100", row, {f"signal_{rate:g}": values})


def test_what_fills_the_last_record_up_is_cut_where_an_annotation_tells(tmp_path: Path) -> None:
    one = recorded(1807, 360)  # of no duration that a field of 8 characters holds
    (other,) = again([one], tmp_path)
    np.testing.assert_array_equal(other.arrays["signal_360"], one.arrays["signal_360"])
    assert other.row["duration_s"] == pytest.approx(1807 / 360)
    (told,) = other.row["annotations"]
    assert told["text"] == "Recording ends"
    assert other.row["subject"] == "100"
    (channel, _) = other.row["channels"]
    assert (channel["gain"], channel["baseline"]) == (pytest.approx(200), pytest.approx(1024))


def test_samples_behind_the_end_are_kept(tmp_path: Path) -> None:
    told = clocked(["+0", "+1"], {1: b"+1.5\x14Recording ends\x14\0"})
    (tmp_path / "a.edf").write_bytes(File([Lead(noise(2, 10))], told).bytes())
    assert read(tmp_path)[0].arrays["signal_10"].shape == (1, 20)
    values = noise(2, 10)
    values[1, 5:] = 7
    (tmp_path / "a.edf").write_bytes(File([Lead(values)], told).bytes())
    (sample,) = read(tmp_path)
    np.testing.assert_array_equal(sample.arrays["signal_10"][0], values.reshape(-1)[:15])


def test_slabs_are_cut_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medray.formats.edf.HELD_BYTES", 0)
    one = recorded(1807, 360)
    (other,) = again([one], tmp_path)
    slabs = other.arrays["signal_360"]
    assert slabs.shape == (2, 1807)
    whole = np.concatenate(list(slabs.parts), axis=1)  # type: ignore[union-attr]
    np.testing.assert_array_equal(whole, one.arrays["signal_360"])


@pytest.mark.parametrize(("scale", "code"), [({"baseline": 1e12}, "long-number")])
def test_what_no_file_holds(scale: dict[str, float], code: str, tmp_path: Path) -> None:
    one = recorded(720, 360)
    for channel in one.row["channels"]:
        channel.update(scale)
    with pytest.raises(DataError, match=code):
        again([one], tmp_path)
    wide = recorded(720, 360)
    wide.arrays["signal_360"] = np.full((2, 720), 2**23, np.int32)
    with pytest.raises(DataError, match="value-out-of-range"):
        again([wide], tmp_path)
