"""Signals changed at random: by seeds alone, within what was asked for."""

from typing import Any

import numpy as np
import pytest

from medray.modalities.signal.augment import SignalAugment
from medray.modalities.signal.chance import normal, uniform
from medray.modalities.signal.change import changed
from medray.modalities.signal.inputs import Signals

RATE, LENGTH = 100.0, 81
SEEDS = np.random.default_rng(3).integers(0, 2**63, 64).astype(np.uint64)


def given(leads: int = 3) -> Signals:
    time = np.arange(LENGTH) - LENGTH // 2
    bump = np.exp(-((time / 6) ** 2)).astype(np.float32)
    signal = np.broadcast_to(bump, (len(SEEDS), leads, LENGTH)).copy()
    return Signals(signal, 0.5 * signal, np.zeros((len(SEEDS), 2), np.float32))


def apply(seeds: np.ndarray = SEEDS, **how: Any) -> Signals:
    return changed(given(), SignalAugment(**how), seeds, RATE)


def test_numbers_are_even_and_nearly_normal_and_of_their_own_stream() -> None:
    drawn = uniform(SEEDS, 0, 4000)
    assert (drawn.min() >= 0, drawn.max() < 1) == (True, True)
    assert np.histogram(drawn, 10, (0, 1))[0].std() / (drawn.size / 10) < 0.02
    other = uniform(SEEDS, 1, 4000)
    assert abs(np.corrcoef(drawn.ravel(), other.ravel())[0, 1]) < 0.01
    bell = normal(SEEDS, 0, 4000)
    assert bell.mean() == pytest.approx(0, abs=0.01)
    assert bell.std() == pytest.approx(1, abs=0.01)
    assert np.abs(bell).max() < 3.5
    neighbours = np.corrcoef(bell[:, :-1].ravel(), bell[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.01


ALL: dict[str, Any] = {
    "amplitude": 0.3, "noise": 0.2, "wander": 0.3, "warp": 0.1, "shift_s": 0.05, "lead_drop": 0.3,
    "columns": 0.2,
}  # fmt: skip


def test_a_sample_is_changed_the_same_beside_whatever_others() -> None:
    whole = apply(**ALL)
    some = Signals(*(part[5:9] for part in (given().signal, given().context, given().columns)))
    part = changed(some, SignalAugment(**ALL), SEEDS[5:9], RATE)
    assert (part.signal == whole.signal[5:9]).all()
    assert part.context is not None
    assert whole.context is not None
    assert (part.context == whole.context[5:9]).all()
    assert (part.columns == whole.columns[5:9]).all()
    assert len({one.tobytes() for one in whole.signal}) == len(SEEDS)


def test_nothing_asked_for_is_nothing_changed() -> None:
    made = apply()
    assert (made.signal == given().signal).all()


def test_amplitude_is_one_factor_for_a_signal_and_its_context() -> None:
    made = apply(amplitude=0.3)
    assert made.context is not None
    factors = made.signal[:, :, 40] / given().signal[:, :, 40]
    assert 0.7 <= factors.min() < 0.8 < 1.2 < factors.max() <= 1.3
    np.testing.assert_allclose(made.context, 0.5 * made.signal, rtol=1e-6)


def test_noise_and_wander_are_the_signals_own() -> None:
    for how, most in (({"noise": 0.2}, 0.2 * 3.5), ({"wander": 0.4}, 0.4)):
        made = apply(**how)
        assert (made.context == given().context).all()
        added = made.signal - given().signal
        assert 0 < np.abs(added).max() <= most
        assert np.std([one.std() for one in added]) > 0.01  # of each sample as much as is drawn
    slow = apply(wander=0.4, wander_hz=(1.0, 1.0)).signal - given().signal
    turns = np.abs(np.fft.rfft(slow[..., :-1])).argmax(-1)  # 80 samples, 0.8 s
    assert set(turns.ravel().tolist()) <= {0, 1}


def test_time_runs_faster_around_the_middle_and_moves_signals_alone() -> None:
    made = apply(warp=0.2)
    assert (made.signal.argmax(2) == 40).all()
    areas = made.signal[:, 0].sum(1) / given().signal[0, 0].sum()
    assert 1 / 1.2 <= areas.min() < 0.9 < 1.1 < areas.max() <= 1 / 0.8 + 1e-3
    assert made.context is not None
    np.testing.assert_allclose(made.context, 0.5 * made.signal, atol=1e-6)
    moved = apply(shift_s=0.05)
    peaks = moved.signal[:, 0].argmax(1) - 40
    assert (peaks.min(), peaks.max()) == (-5, 5)
    assert (moved.context == given().context).all()


def test_leads_fall_out_but_never_all() -> None:
    made = apply(lead_drop=0.6)
    there = (made.signal != 0).any(2)
    assert made.context is not None
    assert ((made.context != 0).any(2) == there).all()
    assert there.any(1).all()
    assert 0.3 < there.mean() < 0.7
    one = changed(
        Signals(given().signal[:, :1], None, given().columns),
        SignalAugment(lead_drop=0.9), SEEDS, RATE,
    )  # fmt: skip
    assert (one.signal != 0).any(2).all()
