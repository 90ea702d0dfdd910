"""What a record says of its beats: its median beat, its median interval, physical units."""

import numpy as np
import pytest

from medray.formats.signal import context
from medray.formats.signal.context import chosen, median_beat, median_rr, physical


def test_the_median_beat_is_that_of_each_place_of_each_lead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beats = np.random.default_rng(0).integers(-900, 900, (31, 2, 17)).astype(np.int16)
    beats[3] = 32767  # one odd beat moves a mean, and no median
    wanted = np.sort(beats, axis=0)[15].astype(np.float32)
    assert (median_beat(beats) == wanted).all()
    monkeypatch.setattr(context, "PART_BYTES", 1)  # place by place
    assert (median_beat(beats) == wanted).all()


def test_what_is_missing_does_not_count() -> None:
    beats = np.array([[[1.0, np.nan, np.nan]], [[3.0, 4.0, np.nan]], [[9.0, 6.0, np.nan]]])
    assert np.array_equal(median_beat(beats), [[3.0, 5.0, np.nan]], equal_nan=True)


def test_of_many_beats_some_are_looked_at_evenly() -> None:
    assert chosen(3361, 125).tolist() == list(range(3361))
    many = chosen(100_000, 300)
    assert len(many) == context.MOST_BEATS
    assert set(np.diff(many)) == {24, 25}
    assert many[-1] >= 99_970
    assert len(chosen(100_000, 12 * 1000)) == context.MOST_VALUES // 12_000


def test_intervals_that_are_unknown_or_none_do_not_count() -> None:
    assert median_rr(np.array([np.nan, 0.8, -1, 0.9, 0, 1.0, np.inf], np.float32)) == pytest.approx(
        0.9
    )
    assert median_rr(np.array([np.nan, 0.0])) is None


def test_digital_values_become_physical_by_lead() -> None:
    digital = np.array([[[10, 20], [1024, 1034]]], np.int16)
    made = physical(digital, [200.0, 10.0], [0.0, 1024.0])
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, [[[0.05, 0.1], [0.0, 1.0]]], rtol=1e-6)
    assert physical(digital[0])[1, 1] == 1034
