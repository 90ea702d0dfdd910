"""Recordings at another rate and through filters: scipy's values, gaps, columns, any blocks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import median_filter
from scipy.signal import resample_poly, sosfilt, sosfilt_zi, sosfiltfilt

from medray.errors import DataError
from medray.formats.signal import filters, leads
from medray.formats.signal.filters import sections
from medray.formats.signal.recording import Annotation, Segment
from medray.formats.signal.resampling import Resampler
from medray.jobs.run import run
from medray.steps.transform.transforms.filter import Filter, FilterOptions
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory
from medray.storage.store.objects import Objects
from tests.recordings import beat, mitbih, recording

Make = Callable[[str, list[Sample]], Dataset]
GENERATOR = np.random.default_rng(0)
FAST = GENERATOR.integers(-3000, 3000, (2, 20_000)).astype(np.int16)
SLOW = GENERATOR.integers(-(10**6), 10**6, (1, 2000)).astype(np.int32)


def transformed(objects: Objects, name: str, **options: Any) -> Dataset:
    """What a transformation makes of the dataset `recordings`."""
    operation = {"name": name, **options}
    step = {"kind": "transform", "data": "recordings", "operation": operation, "output": "made"}
    run([step], storage=objects, cluster="inline")
    return open_dataset(objects, "made")


def expected(values: np.ndarray, source: float, target: float) -> np.ndarray:
    made = Resampler(source, target)
    window = made.taps / made.up
    return np.rint(
        resample_poly(
            values.astype(float), made.up, made.down, axis=1, window=window, padtype="edge"
        )
    )


@pytest.mark.parametrize("block", [500, 2**18])
def test_all_leads_come_to_one_rate(
    objects: Objects, make_dataset: Make, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leads, "BLOCK_SAMPLES", block)
    marks = [beat(0, 200.0), beat(7777, 200.0), Annotation("edf", 3.25, 30.0, "Sleep stage W")]
    one = recording("r", {200.0: FAST, 20.0: SLOW}, annotations=marks, subject="s", split="val")
    make_dataset("recordings", [one])
    made = transformed(objects, "resample", rate=125)
    row = made.samples.to_pylist()[0]
    assert made.manifest.arrays["signal_125"].axes[1].unit == "second"
    known = np.concatenate([expected(FAST, 200, 125), expected(SLOW, 20, 125)])
    assert np.array_equal(made.array(0, "signal_125")[...], known)
    assert made.array(0, "signal_125").dtype == np.int32
    assert [(one["rate"], one["array"], one["index"]) for one in row["channels"]] == [
        (125.0, "signal_125", 0), (125.0, "signal_125", 1), (125.0, "signal_125", 2)
    ]  # fmt: skip
    assert [one["gain"] for one in row["channels"]] == [200.0] * 3
    assert [one["sample"] for one in row["annotations"]] == [0, 4861, None]
    assert [one["onset_s"] for one in row["annotations"]] == [0.0, 7777 / 200, 3.25]
    assert (row["subject"], row["split"], row["duration_s"]) == ("s", "val", 100.0)


def test_a_gap_is_not_filtered_over(objects: Objects, make_dataset: Make) -> None:
    segments = [Segment(0.0, 30.0), Segment(500.0, 70.0)]
    make_dataset("recordings", [recording("r", {200.0: FAST}, segments=segments)])
    halves = FAST[:, :6000], FAST[:, 6000:]
    made = transformed(objects, "resample", rate=125)
    known = np.concatenate([expected(one, 200, 125) for one in halves], axis=1)
    assert np.array_equal(made.array(0, "signal_125")[...], known)
    assert made.samples.to_pylist()[0]["segments"] == [
        {"onset_s": 0.0, "duration_s": 30.0},
        {"onset_s": 500.0, "duration_s": 70.0},
    ]
    made = transformed(objects, "filter", low=1.0, high=40.0)
    sos = sections(200.0, low=1.0, high=40.0)
    known = np.concatenate([np.rint(sosfiltfilt(sos, one, axis=1)) for one in halves], axis=1)
    assert np.array_equal(made.array(0, "signal_200")[...], known)


def test_what_is_missing_stays_missing(objects: Objects, make_dataset: Make) -> None:
    values = FAST.copy()
    values[0, 100:200] = -32768
    make_dataset("recordings", [recording("r", {200.0: values}, missing=-32768)])
    made = transformed(objects, "resample", rate=100).array(0, "signal_100")[...]
    assert np.flatnonzero(made[0] == -32768).tolist() == list(range(50, 100))
    made = transformed(objects, "filter", low=1.0).array(0, "signal_200")[...]
    assert np.flatnonzero(made[0] == -32768).tolist() == list(range(100, 200))
    assert (made[1] != -32768).all()


def test_filters_keep_gain_baseline_and_all_rates(objects: Objects, make_dataset: Make) -> None:
    one = recording("r", {200.0: FAST, 20.0: SLOW}, baseline=100.0, note="kept")
    make_dataset("recordings", [one])
    made = transformed(objects, "filter", notch=[5.0], leads=["a", ["II", "c"]])
    found = made.array(0, "signal_200")[...]
    known = np.rint(sosfiltfilt(sections(200.0, notch=[5.0]), FAST - 100.0, axis=1) + 100)
    assert np.array_equal(found[0], known[0])
    assert np.array_equal(found[1], FAST[1])
    known = np.rint(sosfiltfilt(sections(20.0, notch=[5.0]), SLOW - 100.0, axis=1) + 100)
    assert np.array_equal(made.array(0, "signal_20")[...], known)
    before, after = (
        open_dataset(objects, name).samples.to_pylist()[0] for name in ("recordings", "made")
    )
    assert before == after


@pytest.mark.parametrize("block", [700, 2**16])
def test_medians_then_bands(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "BLOCK", block)
    made = Filter(FilterOptions(baseline="median", high=40.0), {}, {})
    (one,) = made.apply(InMemory(recording("r", {200.0: FAST})))
    base = FAST.astype(float)
    for width in (41, 121):
        base = median_filter(base, (1, width), mode="nearest")
    known = np.rint(sosfiltfilt(sections(200.0, high=40.0), FAST - base, axis=1))
    assert np.array_equal(InMemory(one).array("signal_200"), known)


def test_a_causal_filter_begins_at_rest() -> None:
    made = Filter(FilterOptions(low=1.0, phase="causal"), {}, {})
    (one,) = made.apply(InMemory(recording("r", {200.0: FAST})))
    sos = sections(200.0, low=1.0)
    rest = sosfilt_zi(sos)[:, None, :] * FAST[None, :, :1]
    assert np.array_equal(
        InMemory(one).array("signal_200"), np.rint(sosfilt(sos, FAST, zi=rest)[0])
    )


def test_a_record_that_the_band_does_not_fit_is_refused() -> None:
    made = Filter(FilterOptions(high=40.0), {}, {})
    with pytest.raises(DataError) as caught:
        list(made.apply(InMemory(recording("r", {50.0: FAST}))))
    assert caught.value.code == "bad-band"
    for options in ({}, {"baseline": "median", "phase": "causal"}):
        with pytest.raises(ValidationError):
            FilterOptions(**options)


@pytest.mark.real_data
def test_a_real_record_at_another_rate_is_that_of_scipy(data_dir: Path) -> None:
    from medray.steps.transform.transforms.resample import Resample, ResampleOptions

    record = mitbih(data_dir, "203")
    (one,) = Resample(ResampleOptions(rate=250), {}, {}).apply(InMemory(record))
    values = record.arrays["signal_360"]
    assert isinstance(values, np.ndarray)
    assert np.array_equal(InMemory(one).array("signal_250"), expected(values, 360, 250))
