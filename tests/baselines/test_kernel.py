"""Kernel regression over ranks: scikit-learn's of the best settings where samples are left out."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import norm, rankdata
from sklearn.kernel_ridge import KernelRidge

from medray.baselines.kernel import LENGTHS, STRENGTHS, Kernel
from medray.baselines.stored import decode, encode
from medray.tasks import build_task

REGRESSION = build_task({"name": "regression", "target": ["a", "b"]})
CLASSES = build_task({"name": "classification", "classes": ["x", "y", "none"]})


def problem(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    design = random.normal(size=(count, 5)).astype(np.float32)
    design[:, 3] = np.arange(count) < 2  # nearly always 0: nobody looks at it
    values = np.stack([np.sin(2 * design[:, 0]), design[:, 1] * design[:, 2]], 1)
    return design, (values + 0.1 * random.normal(size=values.shape)).astype(np.float32)


def test_values_are_those_of_scikit_learn_with_the_settings_that_leave_out_best() -> None:
    design, values = problem()
    own = [0, 1, 2, 4]
    scores = norm.ppf((rankdata(design[:, own], axis=0) - 0.5) / len(design))
    squares = ((scores[:, None] - scores) ** 2).sum(2)
    usual, mean = np.median(squares), values[:, :1].mean()

    def fitted(rows: np.ndarray, length: float, strength: float, mean: float) -> KernelRidge:
        gamma = 1 / (2 * length**2 * usual)
        ridge = KernelRidge(kernel="rbf", gamma=gamma, alpha=strength)
        return ridge.fit(scores[rows], values[rows, :1] - mean)

    def left_out(length: float, strength: float) -> float:
        every, off = np.arange(len(design)), []
        for at in every:
            made = fitted(every != at, length, strength, mean)
            off.append(made.predict(scores[[at]])[0, 0] + mean - values[at, 0])
        return float(np.mean(np.square(off)))

    best = min(product(LENGTHS, STRENGTHS), key=lambda some: left_out(*some))
    wanted = fitted(np.ones(len(design), bool), *best, mean).predict(scores) + mean
    one = Kernel.fit(design, values[:, :1], REGRESSION)
    assert one is not None
    assert one.column.tolist() == own
    np.testing.assert_allclose(one.answers(design), wanted, atol=2e-5)


def test_it_tells_what_no_straight_line_could() -> None:
    design, values = problem(300)
    one = Kernel.fit(design[:200], values[:200], REGRESSION)
    assert one is not None
    off = ((one.answers(design[200:]) - values[200:]) ** 2).mean(0)
    assert (off < 0.25 * values[200:].var(0)).all()


def test_only_the_order_of_a_column_counts() -> None:
    design, values = problem()
    bent = design.copy()
    bent[:, 0], bent[:, 1] = np.exp(3 * design[:, 0]), design[:, 1] * 1e6
    plain, other = (Kernel.fit(one[:40], values[:40], REGRESSION) for one in (design, bent))
    assert plain is not None
    assert other is not None
    assert np.array_equal(plain.answers(design[40:]), other.answers(bent[40:]))


def test_what_is_not_known_teaches_nothing() -> None:
    design, values = problem()
    values[::3, 1] = np.nan
    both = Kernel.fit(design, values, REGRESSION)
    assert both is not None
    alone = Kernel.fit(design, values[:, :1], REGRESSION)
    assert alone is not None
    np.testing.assert_allclose(both.answers(design)[:, :1], alone.answers(design), atol=1e-6)
    assert not both.coefficients[::3, 1].any()
    assert np.isfinite(both.answers(design)).all()


def test_classes_and_labels_have_probabilities() -> None:
    design, values = problem(200)
    classes = (values[:, 0] > 0).astype(np.int64)
    one = Kernel.fit(design[:150], classes[:150], CLASSES)
    assert one is not None
    found = one.answers(design[150:])
    assert found.sum(1) == pytest.approx(1)
    assert (found[:, :2].argmax(1) == classes[150:]).mean() > 0.85
    assert found[:, 2].max() < 0.2  # nobody has it
    labels = (values > 0).astype(np.float32)
    labels[::5, 0] = np.nan
    one = Kernel.fit(design[:150], labels[:150], REGRESSION)
    assert one is not None
    found = one.answers(design[150:])
    assert 0 < found.min() <= found.max() < 1
    known = ~np.isnan(labels[150:])
    assert ((found > 0.5) == (labels[150:] > 0.5))[known].mean() > 0.85


def test_where_there_is_nothing_to_learn_there_is_none() -> None:
    design, values = problem()
    assert Kernel.fit(np.zeros_like(design), values, REGRESSION) is None
    assert Kernel.fit(design, np.full_like(values, np.nan), REGRESSION) is None
    assert Kernel.fit(design, np.ones(len(design), np.int64), CLASSES) is None


def test_it_travels() -> None:
    design, values = problem()
    one = Kernel.fit(design, values, REGRESSION)
    assert one is not None
    (found,) = decode(encode([one]), Kernel)
    assert np.array_equal(found.answers(design), one.answers(design))
