"""Boosted trees answer as scikit-learn's, and travel without it."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import roc_auc_score

from medray.baselines.boosting import LEAVES, RATE, Boosting
from medray.baselines.stored import decode, encode
from medray.baselines.trees import LEAF
from medray.tasks import build_task

REGRESSION = build_task({"name": "regression", "target": ["a", "b"]})
CLASSES = build_task({"name": "classification", "classes": ["x", "y", "z", "none"]})
OPTIONS = {
    "learning_rate": RATE, "max_leaf_nodes": LEAVES, "early_stopping": False, "random_state": 0
}  # fmt: skip


def problem() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    design = random.poisson(1.5, (400, 6)).astype(np.float32)
    values = np.stack([design[:, 0] * design[:, 1], design[:, 2] - design[:, 3]], 1)
    values += random.normal(0, 0.5, values.shape)
    values[::4, 1] = np.nan
    return design, values.astype(np.float32)


def rounds(fitted: Boosting, group: int) -> int:
    return int((fitted.roots[group] != LEAF).sum())


def test_values_are_those_of_scikit_learn_and_missing_ones_teach_nothing() -> None:
    design, values = problem()
    fitted = Boosting.fit(design[:300], values[:300], REGRESSION)
    assert fitted is not None
    found = fitted.answers(design[300:])
    for at in (0, 1):
        known = ~np.isnan(values[:300, at])
        wanted = HistGradientBoostingRegressor(max_iter=rounds(fitted, at), **OPTIONS)
        wanted.fit(design[:300][known], values[:300, at][known].astype(np.float64))
        np.testing.assert_allclose(found[:, at], wanted.predict(design[300:]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("edges", [[0.5], [0.5, 1.5]])
def test_classes_are_those_of_scikit_learn_and_absent_ones_are_never_called(
    edges: list[float],
) -> None:
    design, values = problem()
    classes = np.digitize(values[:, 0], edges)
    fitted = Boosting.fit(design[:300], classes[:300], CLASSES)
    assert fitted is not None
    wanted = HistGradientBoostingClassifier(max_iter=rounds(fitted, 1), **OPTIONS)
    wanted.fit(design[:300], classes[:300])
    found, several = fitted.answers(design[300:]), len(edges) + 1
    np.testing.assert_allclose(found[:, :several], wanted.predict_proba(design[300:]), atol=1e-6)
    assert found[:, several:].max() < 1e-9


def test_labels_are_answered_each_by_itself() -> None:
    design, values = problem()
    labels = np.where(np.isnan(values), np.nan, values > 0.5).astype(np.float32)
    labels[:, 1] = 1  # always there
    fitted = Boosting.fit(design[:300], labels[:300], REGRESSION)
    assert fitted is not None
    found = fitted.answers(design[300:])
    assert roc_auc_score(labels[300:, 0], found[:, 0]) > 0.85
    assert found[:, 1].min() > 0.999


def test_rounds_are_chosen_by_what_was_held_out() -> None:
    random = np.random.default_rng(0)
    design = random.normal(size=(300, 5)).astype(np.float32)
    noise = Boosting.fit(design, random.integers(0, 2, 300), CLASSES)
    signal = Boosting.fit(design, (design[:, 0] > 0).astype(np.int64), CLASSES)
    assert noise is not None
    assert signal is not None
    assert rounds(noise, 1) < 20 < rounds(signal, 1)


def test_trees_travel() -> None:
    design, values = problem()
    fitted = Boosting.fit(design, values, REGRESSION)
    assert fitted is not None
    (found,) = decode(encode([fitted]), Boosting)
    assert np.array_equal(found.answers(design), fitted.answers(design))


@pytest.mark.parametrize("count", [0, 1])
def test_of_one_class_there_are_none(count: int) -> None:
    assert Boosting.fit(np.ones((5, 2), np.float32), np.full(5, count), CLASSES) is None


def test_targets_that_are_no_answers_teach_nothing() -> None:
    design, values = problem()
    effects = build_task({"name": "treatment-effect"})  # of outcome and treatment three answers
    assert Boosting.fit(design, values, effects) is None
