"""Kaplan-Meier and its kin, against published tables and hand computation."""

import numpy as np
import pytest

from medray.tasks.metrics.survival.estimators import (
    aalen_johansen,
    kaplan_meier,
    still_watched,
)

# Weeks in remission under 6-mercaptopurine (Freireich et al. 1963), + where it lasted.
MERCAPTOPURINE = (
    "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
)  # fmt: skip
# Survival and Greenwood's standard error, as textbooks print them (Kleinbaum & Klein 2012, ch. 2).
PUBLISHED = {
    6: (0.857, 0.0764),
    7: (0.807, 0.0869),
    10: (0.753, 0.0963),
    13: (0.690, 0.1068),
    16: (0.627, 0.1141),
    22: (0.538, 0.1282),
    23: (0.448, 0.1346),
}


def told(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Times, and 1 where the event was seen."""
    words = text.split()
    time = np.array([float(word.rstrip("+")) for word in words])
    return time, np.array([not word.endswith("+") for word in words]).astype(np.int64)


def test_kaplan_meier_is_that_of_the_textbook() -> None:
    curve = kaplan_meier(*told(MERCAPTOPURINE))
    z = 1.959964
    for week, (survival, error) in PUBLISHED.items():
        value, low, high = (float(one[0]) for one in curve.at(np.array([week + 0.5]), 1.0))
        assert value == pytest.approx(survival, abs=5e-4)
        # The interval is symmetric on the log-log scale, about as wide as the error says.
        scaled = error / (survival * abs(np.log(survival)))
        assert low == pytest.approx(survival ** np.exp(z * scaled), abs=2e-3)
        assert high == pytest.approx(survival ** np.exp(-z * scaled), abs=2e-3)
    assert curve.at(np.array([5.9]), 1.0)[0] == 1.0
    assert curve.at_risk[0] == 21
    assert curve.at_risk[list(curve.times).index(23)] == 6


def test_an_event_comes_before_a_censoring_at_its_time() -> None:
    assert kaplan_meier(*told("1 1+ 2")).values.tolist() == pytest.approx([2 / 3, 0.0])
    watched = still_watched(*told("1 1+ 2"), np.ones((1, 3)))
    # Of two that were at risk of being lost at 1, one was: the third had its event before.
    assert watched.at(np.array([0.5, 1.0, 2.0])).tolist() == [[1.0, 0.5, 0.5]]
    assert watched.at(np.array([1.0]), side="left").tolist() == [[1.0]]


def test_there_is_no_interval_of_few_or_of_certainty() -> None:
    curve = kaplan_meier(*told("1+ 2 3 4 5 6 7 8"))
    known = np.isfinite(curve.low)
    assert known.tolist() == ((curve.at_risk >= 5) & (curve.values < 1)).tolist()
    assert known.sum() == 3
    nobody = kaplan_meier(*told("1+ 2+ 3+"))
    assert nobody.values.tolist() == [1.0, 1.0, 1.0]
    assert np.isnan(nobody.low).all()


def test_incidence_of_one_cause_is_what_is_not_survived() -> None:
    time, event = told(MERCAPTOPURINE)
    whole, part = kaplan_meier(time, event), aalen_johansen(time, event, 1)
    assert np.allclose(part.values, 1 - whole.values, atol=1e-12)
    # Its variance is Greenwood's then: the same standard error, on another scale.
    z = 1.959964
    low = part.low[np.isfinite(part.low)]
    value = part.values[np.isfinite(part.low)]
    error = np.log(np.log(low) / np.log(value)) / z * np.abs(value * np.log(value))
    wanted = [PUBLISHED[week][1] for week in (6, 7, 10, 13, 16, 22, 23)]
    steps = np.flatnonzero(np.diff(np.concatenate([[0.0], value])) > 0)
    assert error[steps][:7] == pytest.approx(wanted, abs=1e-4)


def test_incidences_of_causes_and_survival_add_up_to_one() -> None:
    time = np.array([1.0, 2, 3, 4, 5])
    event = np.array([1, 2, 0, 1, 2])
    one, other = (aalen_johansen(time, event, cause).values for cause in (1, 2))
    assert one.tolist() == pytest.approx([0.2, 0.2, 0.2, 0.5, 0.5])
    assert other.tolist() == pytest.approx([0.0, 0.2, 0.2, 0.2, 0.5])
    assert np.allclose(one + other, 1 - kaplan_meier(time, event).values)


def test_a_weight_of_two_is_the_case_twice() -> None:
    random = np.random.default_rng(0)
    time, event = random.integers(1, 9, 30).astype(float), random.integers(0, 2, 30)
    weights = random.integers(0, 3, (4, 30)).astype(float)
    asked = np.arange(0, 10.0)
    found = still_watched(time, event, weights).at(asked)
    for row, weight in zip(found, weights.astype(int), strict=True):
        twice = still_watched(
            np.repeat(time, weight), np.repeat(event, weight), np.ones((1, weight.sum()))
        )
        assert row == pytest.approx(twice.at(asked)[0], abs=1e-12)
