import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from medray.baselines.forest import TREES, Forest
from medray.baselines.stored import decode, encode
from medray.tasks import build_task

REGRESSION = build_task({"name": "regression", "target": ["a", "b"]})
CLASSES = build_task({"name": "classification", "classes": ["x", "y", "z", "none"]})


def problem() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    design = random.poisson(1.0, (150, 12)).astype(np.float32)
    values = np.stack([design[:, 0] * design[:, 1], design[:, 2] - design[:, 3]], 1)
    values[::4, 1] = np.nan
    return design, values.astype(np.float32)


def test_values_are_those_of_scikit_learn_and_missing_ones_teach_nothing() -> None:
    design, values = problem()
    fitted = Forest.fit(design[:100], values[:100], REGRESSION)
    assert fitted is not None
    found = fitted.answers(design[100:])
    for at in (0, 1):
        known = ~np.isnan(values[:100, at])
        wanted = RandomForestRegressor(TREES, max_features=1 / 3, random_state=0)
        wanted.fit(design[:100][known], values[:100, at][known])
        np.testing.assert_allclose(found[:, at], wanted.predict(design[100:]), rtol=1e-5, atol=1e-6)


def test_classes_are_those_of_scikit_learn_and_absent_ones_are_never_called() -> None:
    design, values = problem()
    classes = np.digitize(values[:, 0], [0.5, 1.5])  # of x, y and z, the fourth has none
    fitted = Forest.fit(design[:100], classes[:100], CLASSES)
    assert fitted is not None
    wanted = RandomForestClassifier(TREES, random_state=0).fit(design[:100], classes[:100])
    found = fitted.answers(design[100:])
    np.testing.assert_allclose(found[:, :3], wanted.predict_proba(design[100:]), atol=1e-6)
    assert not found[:, 3].any()


def test_labels_are_answered_by_their_share() -> None:
    design, values = problem()
    labels = np.where(np.isnan(values), np.nan, values > 0).astype(np.float32)
    fitted = Forest.fit(design, labels, REGRESSION)
    assert fitted is not None
    found = fitted.answers(design)
    assert 0 <= found.min() <= found.max() <= 1
    known = ~np.isnan(labels)
    assert ((found > 0.5) == (labels > 0.5))[known].mean() > 0.95


def test_trees_travel() -> None:
    design, values = problem()
    fitted = Forest.fit(design, values, REGRESSION)
    assert fitted is not None
    (found,) = decode(encode([fitted]), Forest)
    assert np.array_equal(found.answers(design), fitted.answers(design))


@pytest.mark.parametrize("count", [0, 1])
def test_of_one_class_there_are_none(count: int) -> None:
    assert Forest.fit(np.ones((5, 2), np.float32), np.full(5, count), CLASSES) is None


def test_targets_that_are_no_answers_teach_nothing() -> None:
    design, values = problem()
    effects = build_task({"name": "treatment-effect"})  # of outcome and treatment three answers
    assert Forest.fit(design, values, effects) is None
