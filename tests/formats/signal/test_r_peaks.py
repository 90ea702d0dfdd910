"""R peaks: made-up hearts, what is no heart, and six real records against their annotations."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from medray.errors import DataError
from medray.formats.signal import r_peaks as module
from medray.formats.signal.aami import aami
from medray.formats.signal.beats import detected
from medray.formats.signal.leads import Leads, wanted_of
from medray.formats.signal.r_peaks import matched, r_peaks
from medray.steps.transform.transforms.beats import BeatOptions, Beats
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory
from tests.recordings import MITBIH, mitbih, recording


def heart(rate: float, seconds: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """A lead with a beat, steep and tall, and its slow T wave 0.3 s later; and the beats."""
    generator = np.random.default_rng(0)
    places = np.cumsum(generator.uniform(0.7, 1.0, int(seconds / 0.85) - 4))
    time = np.arange(int(seconds * rate)) / rate
    signal = generator.normal(0, 0.02, len(time)) + 0.5 * np.sin(2 * np.pi * 0.3 * time)
    for place in places:
        signal += np.exp(-(((time - place) / 0.012) ** 2) / 2)
        signal += 0.3 * np.exp(-(((time - place - 0.3) / 0.04) ** 2) / 2)
    return signal[None], np.rint(places * rate).astype(np.int64)


def found_in(values: np.ndarray, rate: float) -> np.ndarray:
    return r_peaks(lambda start, stop: values[:, start:stop], values.shape[1], rate)


@pytest.mark.parametrize("rate", [100.0, 125.0, 360.0, 1000.0])
@pytest.mark.parametrize("factor", [1.0, -1e6])
def test_every_beat_of_a_made_up_heart_is_found_at_its_place(rate: float, factor: float) -> None:
    values, places = heart(rate)
    found = found_in(values * factor, rate)
    assert len(found) == len(places)
    assert np.abs(found - places).max() <= 0.02 * rate


def test_pages_show_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    values, _ = heart(250.0)
    whole = found_in(values, 250.0)
    monkeypatch.setattr(module, "PAGE", 3)
    assert np.array_equal(found_in(values, 250.0), whole)


def test_a_noisy_lead_beside_a_good_one_does_no_harm() -> None:
    values, places = heart(250.0)
    noise = np.random.default_rng(1).normal(0, 5, values.shape)
    found = found_in(np.concatenate([noise, values]), 250.0)
    assert matched(places, found, 25) / len(places) > 0.98
    assert matched(places, found, 25) / len(found) > 0.98


@pytest.mark.parametrize(
    "values",
    [np.zeros((2, 9000)), np.full((1, 50), 5.0), np.full((1, 1), 1e6), np.full((2, 7200), np.nan)],
)
def test_where_nothing_beats_nothing_is_found(values: np.ndarray) -> None:
    assert found_in(values, 360.0).tolist() == []


def test_slow_recordings_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        found_in(np.zeros((1, 500)), 50.0)
    assert caught.value.code == "slow-rate"


def test_pairs_are_counted_once_and_within_tolerance() -> None:
    assert matched(np.array([10, 20, 40]), np.array([9, 11, 26, 41]), 5) == 2
    assert matched(np.array([10]), np.array([]), 5) == 0


def test_found_beats_become_samples_without_labels() -> None:
    values, places = heart(250.0)
    one = recording("r", {250.0: np.rint(values * 1000).astype(np.int16)})
    made = Beats(BeatOptions(beats="detected", rate=125), {}, {}).apply(InMemory(one))
    rows = [each.row for each in made if isinstance(each, Sample)]
    assert len(rows) == len(places)
    assert max(abs(row["sample"] - at) for row, at in zip(rows, places, strict=True)) <= 5
    assert {(row["symbol"], row["label"]) for row in rows} == {("", None)}


def judged(data_dir: Path) -> Iterator[tuple[int, int, int]]:
    """Of each record: beats, beats found, and those that are the same."""
    for name in MITBIH:
        record = InMemory(mitbih(data_dir, name))
        truth = [one["sample"] for one in record.row["annotations"] if aami(one["symbol"])]
        leads = Leads(record, wanted_of(record.row, []))
        found = np.array([beat.sample for beat in detected(record, leads)])
        yield len(truth), len(found), matched(np.array(truth), found, 36)


@pytest.mark.real_data
def test_beats_of_real_records_are_found(data_dir: Path) -> None:
    counts = np.array(list(judged(data_dir)))
    truth, found, both = counts.T
    assert (both[:3] / truth[:3] >= 0.995).all()
    assert (both[:3] / found[:3] >= 0.995).all()
    assert both.sum() / truth.sum() >= 0.99
    assert both.sum() / found.sum() >= 0.99
