"""Calibration: curves are those of scikit-learn and of the papers, and slopes of regressions."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from medray.tasks.risk.calibration import Curve, fitted, logit, recalibrated


def cases(seed: int = 0, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Risks that are too extreme by twice, and too high; and events."""
    random = np.random.default_rng(seed)
    right = random.normal(-1, 1.2, count)
    events = (random.random(count) < 1 / (1 + np.exp(-right))).astype(np.float64)
    return 1 / (1 + np.exp(-(2 * right + 0.5))), events


def test_slope_and_intercept_are_those_of_logistic_regression() -> None:
    risks, events = cases()
    found = recalibrated(logit(risks), events, np.ones((1, len(risks))))[0]
    wanted = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(risks)[:, None], events)
    assert found == pytest.approx([wanted.intercept_[0], wanted.coef_[0, 0]], abs=1e-5)
    assert found[1] == pytest.approx(0.5, abs=0.1)


def test_in_the_large_the_mean_risk_is_the_share_of_events() -> None:
    risks, events = cases()
    intercept, slope = recalibrated(logit(risks), events, np.ones((1, len(risks))), slope=False)[0]
    assert slope == 1
    moved = 1 / (1 + np.exp(-(logit(risks) + intercept)))
    assert moved.mean() == pytest.approx(events.mean(), abs=1e-9)


def test_a_weight_of_two_is_the_case_twice_and_many_are_fitted_at_once() -> None:
    risks, events = cases(count=60)
    weights = np.random.default_rng(1).integers(0, 4, (5, 60)).astype(np.float64)
    found = recalibrated(logit(risks), events, weights)
    for row, weight in zip(found, weights.astype(int), strict=True):
        twice = np.repeat(logit(risks), weight), np.repeat(events, weight)
        assert row == pytest.approx(recalibrated(*twice, np.ones((1, weight.sum())))[0], abs=1e-8)


def test_where_scores_part_the_classes_there_is_no_slope() -> None:
    risks, events = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.0, 0, 1, 1])
    assert np.isnan(recalibrated(logit(risks), events, np.ones((1, 4)))).all()


def least(scores: np.ndarray, wanted: np.ndarray, free: bool) -> tuple[float, float]:
    """Intercept and slope of the least cross-entropy, by another optimiser."""

    def loss(pair: np.ndarray) -> float:
        at = (pair[1] if free else 0.0) + pair[0] * scores
        return float((np.logaddexp(0, at) - wanted * at).sum())

    slope, intercept = minimize(loss, [1.0, 0.0], tol=1e-12).x
    return (intercept if free else 0.0), slope


@pytest.mark.parametrize("method", ["platt", "temperature"])
def test_curves_lose_least(method: str) -> None:
    risks, events = cases(count=50)
    wanted = least(logit(risks), events, method == "platt")
    assert fitted(method, risks, events) == pytest.approx(wanted, abs=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["platt", "temperature"])
def test_where_classes_do_not_overlap_targets_are_those_of_platt(method: str) -> None:
    risks, events = np.array([0.1, 0.2, 0.7, 0.8, 0.9]), np.array([0.0, 0, 1, 1, 1])
    targets = np.array([1 / 4, 1 / 4, 4 / 5, 4 / 5, 4 / 5])
    wanted = least(logit(risks), targets, method == "platt")
    assert fitted(method, risks, events) == pytest.approx(wanted, abs=1e-4)  # type: ignore[arg-type]


def test_isotonic_is_that_of_scikit_learn_within_its_edges() -> None:
    risks, events = cases(count=80)
    risks = risks.round(2)  # with ties
    numbers = fitted("isotonic", risks, events)
    asked = np.array([0.0, *np.unique(risks), 1.0])
    found = Curve("isotonic", numbers).of_risks(asked)
    wanted = IsotonicRegression(out_of_bounds="clip").fit(risks, events).predict(asked)
    np.testing.assert_allclose(found, np.clip(wanted, 1 / 82, 81 / 82), atol=1e-9)
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("method", ["platt", "temperature", "isotonic"])
def test_calibrated_risks_have_a_slope_of_one_on_other_cases(method: str) -> None:
    curve = Curve(method, fitted(method, *cases(0, 4000)))  # type: ignore[arg-type]
    risks, events = cases(1, 4000)
    before, after = (
        recalibrated(logit(one), events, np.ones((1, 4000)))[0, 1]
        for one in (risks, curve.of_risks(risks))
    )
    assert before == pytest.approx(0.5, abs=0.07)
    assert after == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("method", ["platt", "isotonic", "none"])
def test_logits_and_risks_go_the_same_way(method: str) -> None:
    risks, events = cases(count=100)
    curve = Curve(method, fitted(method, risks, events))  # type: ignore[arg-type]
    found = curve.of_logits(torch.from_numpy(logit(risks)))
    np.testing.assert_allclose(found.numpy(), curve.of_risks(risks), atol=1e-6)


def test_a_network_that_ranks_the_wrong_way_round_is_not_turned_round() -> None:
    risks, events = cases()
    intercept, slope = fitted("platt", 1 - risks, events)
    assert slope == 0
    assert 1 / (1 + np.exp(-intercept)) == pytest.approx(events.mean(), abs=0.01)


@pytest.mark.parametrize("events", [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]])
def test_too_few_of_a_class_make_no_curve_and_it_is_said(events: list[int]) -> None:
    numbers = fitted("platt", np.full(4, 0.5), np.array(events, np.float64))
    assert numbers == ()
    assert "not calibrated" in Curve("platt", numbers).describe()
