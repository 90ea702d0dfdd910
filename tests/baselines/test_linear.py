"""Linear baselines: scikit-learn's own answers, and the figures known for real tables."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from medray.baselines import logistic, ridge
from medray.baselines.base import Baseline
from medray.baselines.logistic import Logistic
from medray.baselines.ridge import Ridge
from medray.baselines.stored import decode, encode
from medray.errors import DataError, SpecError
from tests.outsiders import Median


def problem(samples: int, columns: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    design = generator.normal(3, 5, (samples, columns)).astype(np.float32)
    design[:, 0] = 7  # a column that says nothing
    scores = (design[:, 1:4] - 3) @ generator.normal(0, 1, (3, classes))
    return design, (scores + generator.normal(0, 2, scores.shape)).argmax(1)


@pytest.mark.parametrize(("samples", "columns"), [(90, 8), (40, 300)])
@pytest.mark.parametrize("classes", [2, 3])
def test_equals_scikit_learn(
    samples: int, columns: int, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    design, target = problem(samples, columns, classes)
    monkeypatch.setattr(logistic, "STRENGTHS", (0.01,))
    got = Logistic.of_classes(design, target, classes).answers(design)
    scale = design.std(0)
    scaled = (design - design.mean(0)) / np.where(scale > 0, scale, 1)
    wanted = linear_model.LogisticRegression(C=0.01, max_iter=2000, tol=1e-8).fit(scaled, target)
    np.testing.assert_allclose(got, wanted.predict_proba(scaled), atol=3e-3)


def test_a_class_that_training_lacks_is_never_answered() -> None:
    design, target = problem(60, 5, 2)
    answers = Logistic.of_classes(design, target * 2, 3).answers(design)
    assert answers.shape == (60, 3)
    assert answers[:, 1].max() < 1e-6
    assert (answers.argmax(1) == target * 2).mean() > 0.8
    with pytest.raises(SpecError, match="one-class"):
        Logistic.of_classes(design, np.zeros(60, int), 2)


def test_labels_each_for_itself() -> None:
    design, target = problem(200, 6, 2)
    labels = np.stack([target, 1 - target, np.ones(200), np.zeros(200)], 1).astype(np.float32)
    answers = Logistic.of_labels(design, labels).answers(design)
    np.testing.assert_allclose(answers[:, 0], 1 - answers[:, 1], atol=1e-4)
    assert (answers[:, 2] > 0.99).all()
    assert (answers[:, 3] < 0.01).all()


@pytest.mark.parametrize(("samples", "columns"), [(300, 10), (50, 400)])
def test_values_by_ridge(samples: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    design, _ = problem(samples, columns)
    generator = np.random.default_rng(1)
    values = design[:, 1:3] * 2 + generator.normal(0, 1, (samples, 2))
    values[::7, 1] = np.nan
    monkeypatch.setattr(ridge, "ALPHAS", (10.0,))
    got = Ridge.of_values(design, values).answers(design)
    scale = design.std(0)
    scaled = (design - design.mean(0)) / np.where(scale > 0, scale, 1)
    for at in range(2):
        known = ~np.isnan(values[:, at])
        mean = values[known, at].mean()
        wanted = linear_model.Ridge(10.0, fit_intercept=False, tol=1e-10)
        wanted.fit(scaled[known].astype(np.float64), values[known, at] - mean)
        np.testing.assert_allclose(got[:, at], wanted.predict(scaled) + mean, rtol=1e-3, atol=1e-2)


def test_baselines_travel() -> None:
    design, target = problem(60, 5)
    members: tuple[Baseline, ...] = (
        Logistic.of_classes(design, target, 3),
        Ridge.of_values(design, target[:, None].astype(float)),
    )
    for one in members:
        file = encode([one, one])
        for again in decode(file, type(one)):
            np.testing.assert_array_equal(one.answers(design), again.answers(design))
        for wrong in (file[:-1], encode([Median(target, 3)])):
            with pytest.raises(DataError, match="bad-weights"):
                decode(wrong, type(one))


def _table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with gzip.open(path, "rt") as file:
        rows = [line.rstrip("\n").split(",") for line in file][1:]
    return np.array([row[1:] for row in rows], np.float32), np.array([row[0] for row in rows])


@pytest.mark.drill
def test_golub_and_khan(data_dir: Path) -> None:
    for name, most in (("golub", 3), ("khan", 1)):
        design, labels = _table(data_dir / f"genomics/expression/{name}.csv.gz")
        target = np.unique(labels, return_inverse=True)[1]
        wrong = 0
        for train, held in StratifiedKFold(5, shuffle=True, random_state=0).split(design, target):
            fitted = Logistic.of_classes(design[train], target[train], int(target.max()) + 1)
            wrong += int((fitted.answers(design[held]).argmax(1) != target[held]).sum())
        assert wrong <= most


def test_rosmap(data_dir: Path) -> None:
    root = data_dir / "multiomics/rosmap"

    def read(name: str) -> np.ndarray:
        with gzip.open(root / name, "rt") as file:
            return np.loadtxt(file, delimiter=",", dtype=np.float32)

    train, test = (
        np.concatenate([read(f"{n}_{part}.csv.gz") for n in (1, 2, 3)], 1) for part in ("tr", "te")
    )
    target, truth = read("labels_tr.csv.gz").astype(int), read("labels_te.csv.gz").astype(int)
    answers = Logistic.of_classes(train, target, 2).answers(test)
    assert roc_auc_score(truth, answers[:, 1]) >= 0.89
    assert (answers.argmax(1) == truth).mean() >= 0.78
