"""Real records, and those of odd formats: samples equal to what the library reads, or the right
ones where it is wrong."""

from pathlib import Path

import numpy as np
import pytest
import wfdb as library

from tests.formats.wfdb import records

MITBIH = ("100", "100-no-len", "100skew", "106", "119", "200", "203", "208")
ODD = ("03700181", "100_3chan", "3000003_0003", "a103l", "binformats", "flacformats",
       "flac_3_constant", "mixedsignals", "multi-segment/041s/041s", "s0010_re")  # fmt: skip


@pytest.mark.parametrize(("folder", "names"), [("mitbih", MITBIH), ("wfdb_odd", ODD)])
def test_samples_are_those_of_the_library(
    data_dir: Path, folder: str, names: tuple[str, ...]
) -> None:
    root = data_dir / "biosignal" / folder
    found = records.read(root)
    assert set(found) == {name.replace("/", "_") for name in names}
    for name in names:
        frames = name in ("03700181", "mixedsignals", "multi-segment/041s/041s")
        theirs = library.rdrecord(
            str(root / name), physical=False, smooth_frames=not frames, ignore_skew=True
        )
        ours = found[name.replace("/", "_")]
        signals = theirs.e_d_signal if frames else theirs.d_signal.T
        assert len(signals) == len(ours.row["channels"])
        for number, (values, channel) in enumerate(zip(signals, ours.row["channels"], strict=True)):
            np.testing.assert_array_equal(records.signal(ours, number), values)
            assert channel["gain"] == theirs.adc_gain[number]
            assert channel["baseline"] == theirs.baseline[number]
            assert channel["unit"] == theirs.units[number]
            assert channel["name"] == theirs.sig_name[number]


def test_rates_stand_apart_and_start_and_length_are_told(data_dir: Path) -> None:
    found = records.read(data_dir / "biosignal" / "wfdb_odd")
    mixed = found["mixedsignals"]
    shapes = {name: array.shape for name, array in mixed.arrays.items()}
    assert shapes == {
        "signal_249.89": (3, 57600), "signal_124.945": (2, 28800), "signal_62.4725": (1, 14400),
    }  # fmt: skip
    assert mixed.row["duration_s"] == pytest.approx(14400 / 62.4725)
    assert found["03700181"].row["start_time"] == "1994-08-15T17:27:45"
    assert found["binformats"].arrays["signal_200"].dtype == np.int32
    assert found["a103l"].arrays["signal_250"].dtype == np.int16


def test_a_skew_is_told_and_not_applied(data_dir: Path) -> None:
    found = records.read(data_dir / "biosignal" / "mitbih")
    plain, skewed = found["100"], found["100skew"]
    assert [one["skew_s"] for one in skewed.row["channels"]] == [0, 3 / 360]
    np.testing.assert_array_equal(skewed.arrays["signal_360"], plain.arrays["signal_360"])
