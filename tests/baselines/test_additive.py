"""The additive model: exact where halves add up, and what is left of it for halves that are new."""

import numpy as np
import pytest

from medray.baselines.additive import Additive
from medray.tasks import build_task

TASK = build_task({"name": "regression"})
FIRST = np.array([[0, 5], [7, 1], [2**24 - 1, 3]], np.float32)
SECOND = np.array([[0, 5], [9, 9]], np.float32)


def design(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array([[*FIRST[c], *SECOND[p]] for c, p in pairs], np.float32)


def test_it_is_exact_where_halves_add_up() -> None:
    pairs = [(c, p) for c in range(3) for p in range(2)]
    values = np.array([[1.0 * c + 10 * p] for c, p in pairs])
    found = Additive.fit(design(pairs), values, TASK)
    assert found is not None
    assert np.allclose(found.answers(design(pairs)), values)
    back = Additive.of(found.tensors())
    assert np.array_equal(back.answers(design(pairs)), found.answers(design(pairs)))


def test_a_new_half_adds_nothing() -> None:
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1)]
    values = np.array([[1.0, 5.0], [3.0, np.nan], [5.0, 9.0], [7.0, 1.0]])
    found = Additive.fit(design(pairs), values, TASK)
    assert found is not None
    asked = design([(2, 0), (2, 1), (0, 0)])
    asked[1, 2:] = 1  # a protein that nobody has seen
    known = values[~np.isnan(values[:, 1]), 1]
    wanted = [[3, 7], [4, known.mean()], [1, 5 + 7 - known.mean()]]
    assert np.allclose(found.answers(asked), wanted)


def test_classes_do_not_add_up() -> None:
    assert Additive.fit(design([(0, 0)]), np.array([1]), TASK) is None


def test_it_is_the_mean_of_rows_and_columns() -> None:
    generator = np.random.default_rng(0)
    matrix = generator.normal(5, 2, (3, 2))
    pairs = [(c, p) for c in range(3) for p in range(2)]
    found = Additive.fit(design(pairs), matrix.reshape(-1, 1), TASK)
    assert found is not None
    wanted = matrix.mean(1, keepdims=True) + matrix.mean(0) - matrix.mean()
    assert found.answers(design(pairs))[:, 0] == pytest.approx(wanted.ravel(), abs=1e-6)
