"""What a record says of its beats: its median beat, its median interval, physical units."""

import numpy as np
import pytest

from medray.formats.signal import context
from medray.formats.signal.context import median_beat, median_rr, physical


def test_the_median_beat_is_that_of_each_place_of_each_lead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beats = np.random.default_rng(0).integers(-900, 900, (31, 2, 17)).astype(np.int16)
    beats[3] = 32767  # one odd beat moves a mean, and no median
    wanted = np.sort(beats, axis=0)[15].astype(np.float32)
    assert (median_beat(beats) == wanted).all()
    monkeypatch.setattr(context, "PART_BYTES", 1)  # place by place
    assert (median_beat(beats) == wanted).all()


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
