"""The concordance index is what counting all pairs gives, with ties and weights."""

import numpy as np
import pytest

from medray.tasks.metrics.concordance import concordance


def counted(predicted: np.ndarray, actual: np.ndarray, weights: np.ndarray) -> float:
    above = actual[:, None] > actual
    agrees = (predicted[:, None] > predicted) + 0.5 * (predicted[:, None] == predicted)
    both = weights[:, None] * weights * above
    return float((both * agrees).sum() / both.sum())


@pytest.mark.parametrize("levels", [2, 3, 9, 1000])
def test_it_is_what_counting_all_pairs_gives(levels: int) -> None:
    generator = np.random.default_rng(levels)
    actual = generator.integers(0, levels, 150).astype(float)
    predicted = np.round(actual + generator.normal(0, levels / 2, 150))
    weights = np.stack([np.ones(150), *generator.integers(0, 4, (3, 150))])
    found = concordance(predicted, actual, weights)
    wanted = [counted(predicted, actual, one) for one in weights]
    assert found == pytest.approx(wanted, abs=1e-12)
    assert concordance(-predicted, actual, weights) == pytest.approx(1 - found, abs=1e-12)


def test_a_constant_says_nothing_and_the_truth_everything() -> None:
    actual, one = np.array([5.0, 5, 6, 8]), np.ones((1, 4))
    assert concordance(np.zeros(4), actual, one) == [0.5]
    assert concordance(actual, actual, one) == [1]
    assert np.isnan(concordance(actual, np.ones(4), one)).all()
