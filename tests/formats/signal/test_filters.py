"""Filters block by block: scipy's answers for the whole, whatever the blocks."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy.ndimage import median_filter
from scipy.signal import sosfilt, sosfilt_zi, sosfiltfilt

from medray.errors import DataError
from medray.formats.signal import filters
from medray.formats.signal.filters import Reader, causal, sections, without_baseline, zero_phase

NOISE = np.cumsum(np.random.default_rng(0).normal(0, 20, (2, 40_001)), axis=1) + 5000
BANDS = [{"low": 0.5, "high": 40.0}, {"low": 0.05}, {"high": 30.0, "order": 4}, {"notch": [50.0]}]


def reader(values: np.ndarray) -> Reader:
    def read(start: int, stop: int) -> np.ndarray:
        assert 0 <= start < stop <= values.shape[1]
        return values[:, start:stop]

    return read


def whole(parts: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(parts), axis=1)


@pytest.fixture(params=[997, 8192, 2**16])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(filters, "BLOCK", request.param)
    return int(request.param)


@pytest.mark.parametrize("band", BANDS)
def test_a_causal_filter_gives_the_bytes_of_the_whole(band: dict[str, float], block: int) -> None:
    sos = sections(360.0, **band)
    rest = sosfilt_zi(sos)[:, None, :] * NOISE[None, :, :1]
    known, _ = sosfilt(sos, NOISE, axis=1, zi=rest)
    assert np.array_equal(whole(causal(reader(NOISE), NOISE.shape[1], sos)), known)


@pytest.mark.parametrize("band", BANDS)
def test_a_filter_without_phase_gives_the_values_of_the_whole(
    band: dict[str, float], block: int
) -> None:
    sos = sections(360.0, **band)
    known = sosfiltfilt(sos, NOISE, axis=1)
    found = whole(zero_phase(reader(NOISE), NOISE.shape[1], sos))
    assert np.abs(found - known).max() <= 1e-9 * np.abs(NOISE).max()


@pytest.mark.parametrize("size", [1, 2, 11, 998])
def test_short_signals_are_filtered_too(size: int) -> None:
    sos = sections(360.0, low=0.5, high=40.0)
    values = NOISE[:, :size]
    found = whole(zero_phase(reader(values), size, sos))
    known = sosfiltfilt(sos, values, axis=1, padlen=min(15, size - 1))
    assert np.allclose(found, known, rtol=0, atol=1e-6)
    assert whole(causal(reader(values), size, sos)).shape == (2, size)
    assert whole(without_baseline(reader(values), size, 360.0)).shape == (2, size)


def test_a_baseline_is_that_of_medians_over_the_whole(block: int) -> None:
    base = NOISE
    for width in (73, 217):
        base = median_filter(base, (1, width), mode="nearest")
    found = whole(without_baseline(reader(NOISE), NOISE.shape[1], 360.0))
    assert np.array_equal(found, NOISE - base)


def test_what_is_missing_is_gone_over_and_stays_missing(block: int) -> None:
    values = NOISE.copy()
    values[0, 990:1100] = values[1, :20] = values[1, -5:] = np.nan
    filled = values.copy()
    filled[0, 990:1100], filled[1, :20], filled[1, -5:] = (
        values[0, 989],
        values[1, 20],
        values[1, -6],
    )
    sos = sections(360.0, low=0.5, high=40.0)
    size = values.shape[1]
    for found, known in (
        (causal(reader(values), size, sos), causal(reader(filled), size, sos)),
        (zero_phase(reader(values), size, sos), zero_phase(reader(filled), size, sos)),
        (without_baseline(reader(values), size, 360), without_baseline(reader(filled), size, 360)),
    ):
        one, other = whole(found), whole(known)
        assert np.array_equal(np.isnan(one), np.isnan(values))
        assert np.array_equal(one[~np.isnan(one)], other[~np.isnan(one)])
    gone = np.full((1, 50), np.nan)
    assert np.isnan(whole(causal(reader(gone), 50, sos))).all()


def test_a_tone_in_the_band_stays_where_it_is_and_one_outside_goes() -> None:
    time = np.arange(20_000) / 360
    tones = np.stack([np.sin(2 * np.pi * f * time) for f in (10.0, 50.0, 0.05)])
    sos = sections(360.0, low=0.5, high=40.0, notch=[50.0])
    found = whole(zero_phase(reader(tones), 20_000, sos))[:, 4000:-4000]
    assert np.abs(found[0] - tones[0, 4000:-4000]).max() < 0.02
    assert np.abs(found[1]).max() < 1e-3
    assert np.abs(found[2]).max() < 2e-3


@pytest.mark.parametrize(
    "band", [{}, {"low": 200.0}, {"low": 5.0, "high": 1.0}, {"notch": [180.0]}, {"low": 0.0}]
)
def test_bands_that_are_none_are_refused(band: dict[str, float]) -> None:
    with pytest.raises(DataError) as caught:
        sections(360.0, **band)
    assert caught.value.code == "bad-band"


def test_a_filter_that_never_forgets_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        list(zero_phase(reader(NOISE), 1000, sections(10_000.0, low=0.001)))
    assert caught.value.code == "slow-filter"
