import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    matthews_corrcoef,
    roc_auc_score,
)
from sklearn.metrics import roc_curve as sklearn_roc_curve

from medray.tasks.metrics.probability import (
    auroc,
    average_precision,
    brier,
    calibration_error,
    matthews,
    reliability,
    roc_curve,
    share,
)


def cases(seed: int, n: int = 300, ties: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    positive = random.random(n) < 0.3
    scores = np.clip(random.normal(0.4 + 0.2 * positive, 0.2), 0, 1)
    weights = random.integers(0, 4, (5, n)).astype(float)
    return (scores.round(1) if ties else scores), positive, weights


@pytest.mark.parametrize("ties", [True, False])
def test_weighted_ranking_metrics_agree_with_scikit_learn(ties: bool) -> None:
    scores, positive, weights = cases(0, ties=ties)
    for row, area, precision in zip(
        weights,
        auroc(scores, positive, weights),
        average_precision(scores, positive, weights),
        strict=True,
    ):
        assert area == pytest.approx(roc_auc_score(positive, scores, sample_weight=row))
        assert precision == pytest.approx(
            average_precision_score(positive, scores, sample_weight=row)
        )


def test_auroc_counts_pairs() -> None:
    scores, positive, _ = cases(1, n=60)
    pairs = scores[positive][:, None] - scores[~positive][None]
    want = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert auroc(scores, positive, np.ones((1, 60)))[0] == pytest.approx(want)


def test_one_class_only_is_not_defined() -> None:
    scores, weights = np.array([0.1, 0.7]), np.ones((1, 2))
    for positive in (np.array([True, True]), np.array([False, False])):
        assert np.isnan(auroc(scores, positive, weights)[0])
    assert np.isnan(average_precision(scores, np.array([False, False]), weights)[0])


@pytest.mark.parametrize("classes", [2, 4])
def test_weighted_matthews_agrees_with_scikit_learn(classes: int) -> None:
    random = np.random.default_rng(7)
    y, called = random.integers(0, classes, (2, 200))
    called = np.where(random.random(200) < 0.5, y, called)
    weights = random.integers(0, 4, (5, 200)).astype(float)
    one = np.eye(classes, dtype=bool)
    for row, got in zip(weights, matthews(one[called], one[y], weights), strict=True):
        assert got == pytest.approx(matthews_corrcoef(y, called, sample_weight=row))
    assert np.isnan(matthews(one[called], one[np.zeros_like(y)], weights)).all()


def test_brier_agrees_with_scikit_learn() -> None:
    scores, positive, weights = cases(2)
    for row, got in zip(weights, brier(scores, positive.astype(float), weights), strict=True):
        assert got == pytest.approx(brier_score_loss(positive, scores, sample_weight=row))
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    truth = np.eye(3)[[0, 1]]
    by_hand = (0.09 + 0.04 + 0.01 + 0.01 + 0.81 + 0.64) / 2
    assert brier(probabilities, truth, np.ones((1, 2)))[0] == pytest.approx(by_hand)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    hit = np.array([True, True, True, False, True, False])
    want = (4 * abs(0.75 - 0.95) + 2 * abs(0.5 - 0.55)) / 6
    assert calibration_error(confidence, hit, np.ones((1, 6)))[0] == pytest.approx(want)
    weights = np.array([[1.0, 1, 1, 1, 0, 0]])
    assert calibration_error(confidence, hit, weights)[0] == pytest.approx(0.2)
    points = reliability(confidence, hit)
    assert points.cases == [2, 4]
    np.testing.assert_allclose(points.confidence, [0.55, 0.95])
    np.testing.assert_allclose(points.frequency, [0.5, 0.75])


def test_the_ends_of_the_scale_have_a_bin() -> None:
    points = reliability(np.array([0.0, 1.0]), np.array([False, True]))
    assert (points.confidence, points.frequency, points.cases) == ([0.0, 1.0], [0.0, 1.0], [1, 1])


def test_share_gives_sensitivity_and_specificity() -> None:
    called = np.array([1, 1, 0, 0, 1], bool)
    positive = np.array([1, 0, 0, 1, 1], bool)
    weights = np.array([[1.0, 1, 1, 1, 1], [1, 2, 1, 1, 3]])
    np.testing.assert_allclose(share(called, positive, weights), [2 / 3, 4 / 5])
    np.testing.assert_allclose(share(~called, ~positive, weights), [1 / 2, 1 / 3])


def test_roc_curve_is_scikit_learns_and_stays_small() -> None:
    scores, positive, _ = cases(3)
    fpr, tpr = roc_curve(scores, positive)
    want_fpr, want_tpr, _ = sklearn_roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(fpr, want_fpr)
    np.testing.assert_allclose(tpr, want_tpr)
    many, truth, _ = cases(4, n=5000, ties=False)
    fpr, tpr = roc_curve(many, truth, points=50)
    assert len(fpr) <= 50
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0.0, 0.0, 1.0, 1.0)
    area = float(np.trapezoid(tpr, fpr))
    assert area == pytest.approx(auroc(many, truth, np.ones((1, 5000)))[0], abs=2e-3)
