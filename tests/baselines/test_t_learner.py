"""Least squares by arm, and chances by logistic regression."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from medray.baselines.stored import decode, encode
from medray.baselines.t_learner import TLearner
from medray.tasks import build_task

FIRST = build_task({"name": "treatment-effect"})
LOST = build_task({"name": "treatment-effect", "dropouts": "weigh"})
SECOND = build_task({"name": "treatment-effect", "pseudo": "p"})


def problem() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    design = random.normal(size=(200, 3)).astype(np.float32)
    treated = (random.random(200) < 1 / (1 + np.exp(-design[:, 0]))).astype(np.float32)
    outcome = design[:, 1] + treated * (1 + design[:, 2]) + random.normal(0, 0.1, 200)
    return design, np.stack([outcome, treated], 1).astype(np.float32)


def test_each_arm_by_itself_and_who_is_treated() -> None:
    design, targets = problem()
    fitted = TLearner.fit(design, targets, FIRST)
    assert fitted is not None
    found = fitted.answers(design)
    for arm in (0, 1):
        own = targets[:, 1] == arm
        wanted = LinearRegression().fit(design[own], targets[own, 0]).predict(design)
        np.testing.assert_allclose(found[:, arm], wanted, atol=1e-5)
    chance = LogisticRegression(max_iter=1000).fit(design, targets[:, 1] == 1)
    np.testing.assert_allclose(found[:, 2], chance.predict_proba(design)[:, 1], atol=1e-5)
    (again,) = decode(encode([fitted]), TLearner)
    assert np.array_equal(again.answers(design), found)


def test_outcomes_that_are_lost_teach_who_loses_them() -> None:
    design, targets = problem()
    whole = TLearner.fit(design, targets, LOST)
    assert whole is not None
    assert whole.answers(design)[:, 3:].min() > 0.999  # nobody is lost
    known = np.arange(200) % 4 != 0
    targets[~known, 0] = np.nan
    fitted = TLearner.fit(design, targets, LOST)
    kept = TLearner.fit(design[known], targets[known], FIRST)
    assert fitted is not None
    assert kept is not None
    found = fitted.answers(design)
    np.testing.assert_allclose(found[:, :2], kept.answers(design)[:, :2], atol=1e-5)
    assert found[:, 3:].mean() == pytest.approx(0.75, abs=0.03)


def test_of_pseudo_outcomes_it_is_one_regression() -> None:
    design, targets = problem()
    fitted = TLearner.fit(design, targets, SECOND)
    assert fitted is not None
    wanted = LinearRegression().fit(design, targets[:, 0]).predict(design)
    np.testing.assert_allclose(fitted.answers(design)[:, 0], wanted, atol=1e-5)


def test_of_one_arm_and_of_other_targets_there_is_none() -> None:
    design, targets = problem()
    targets[:, 1] = 1
    assert TLearner.fit(design, targets, FIRST) is None
    assert TLearner.fit(design, np.zeros(200, np.int64), FIRST) is None
