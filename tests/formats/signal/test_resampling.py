"""Another rate, part by part: scipy's answer for the whole, and the same bytes for any parts."""

import numpy as np
import pytest
from scipy.signal import resample_poly

from medray.errors import DataError
from medray.formats.signal.resampling import Resampler

RATES = [(360.0, 125.0), (100.0, 256.0), (250.0, 250.0), (0.5, 0.1), (128.0, 1.0), (256.41, 250.0)]


def resampled(values: np.ndarray, made: Resampler, block: int) -> np.ndarray:
    """All of it, in blocks of so many."""

    def read(start: int, stop: int) -> np.ndarray:
        assert 0 <= start < stop <= values.shape[1]
        return values[:, start:stop]

    size = made.size(values.shape[1])
    starts = range(0, size, block)
    parts = [made.part(read, values.shape[1], at, min(at + block, size)) for at in starts]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize(("source", "target"), RATES)
def test_parts_are_those_of_the_whole_signal(source: float, target: float) -> None:
    values = np.random.default_rng(0).normal(900, 50, (2, 3001))
    made = Resampler(source, target)
    whole = resampled(values, made, 10**9)
    window = made.taps / made.up
    known = resample_poly(values, made.up, made.down, axis=1, window=window, padtype="edge")
    assert whole.shape == known.shape
    assert np.allclose(whole, known, rtol=0, atol=1e-9)
    for block in (1, 7, 1000):
        if whole.shape[1] / block < 2000:
            assert np.array_equal(resampled(values, made, block), whole), block


def test_the_filter_is_that_of_scipy_but_for_its_gain() -> None:
    values = np.random.default_rng(0).normal(0, 50, (1, 3001))
    known = resample_poly(values, 25, 72, axis=1, padtype="edge")
    assert np.allclose(resampled(values, Resampler(360.0, 125.0), 500), known, atol=0.01)


@pytest.mark.parametrize(("source", "target"), RATES)
def test_a_constant_stays_what_it_is(source: float, target: float) -> None:
    values = np.full((1, 2000), 187_000.0)
    assert np.allclose(resampled(values, Resampler(source, target), 300), 187_000, atol=1e-6)


@pytest.mark.parametrize("block", [1, 5, 700])
def test_what_is_missing_stays_missing_and_spoils_nothing_beside_it(block: int) -> None:
    values = np.full((2, 3000), 1000.0)
    values[0, 500:700] = values[1, 0:3] = values[1, -1:] = np.nan
    found = resampled(values, Resampler(360.0, 125.0), block)
    places = np.minimum((np.arange(found.shape[1]) * 2 * 72 + 25) // 50, 2999)
    assert np.array_equal(np.isnan(found), np.isnan(values[:, places]))
    assert np.allclose(found[~np.isnan(found)], 1000)
    noise = np.random.default_rng(0).normal(0, 1, (1, 3000))
    whole = resampled(noise, Resampler(360.0, 125.0), block)
    noise[0, 1500] = np.nan
    apart = np.flatnonzero(resampled(noise, Resampler(360.0, 125.0), block)[0] != whole[0])
    assert apart.min() >= (1500 - 29) * 125 / 360
    assert apart.max() <= (1500 + 29) * 125 / 360 + 1


def test_places_go_to_the_nearest_sample() -> None:
    made = Resampler(360.0, 125.0)
    assert [made.place(at) for at in (0, 36, 77, 108, 650_000)] == [0, 12, 27, 38, 225_694]
    assert made.size(650_000) == 225_695


def test_rates_without_a_simple_ratio_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        Resampler(360.0, 249.99999)
    assert caught.value.code == "odd-rates"
