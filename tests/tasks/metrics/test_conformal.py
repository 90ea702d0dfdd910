"""Bounds that new errors keep to: exact ranks, and coverage as binomial chance has it."""

import numpy as np
import pytest
from scipy import stats

from medray.tasks.metrics.conformal import bound, fewest, least, margins


@pytest.mark.parametrize(
    ("errors", "level", "rank"), [(9, 0.9, 9), (10, 0.9, 10), (19, 0.9, 18), (99, 0.95, 95)]
)
def test_the_bound_is_the_error_of_a_rank(errors: int, level: float, rank: int) -> None:
    mixed = np.random.default_rng(0).permutation(errors) + 1.0
    assert bound(mixed, level) == rank


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_of_too_few_there_is_none(level: float) -> None:
    enough = fewest(level)
    assert np.isnan(bound(np.arange(enough - 1.0), level))
    assert bound(np.arange(float(enough)), level) == enough - 1


def test_new_errors_keep_to_it_as_often_as_was_asked() -> None:
    # The share that a bound of n errors keeps is Beta-distributed; over many bounds its mean is
    # rank / (n + 1), and a bound that was a rank lower would miss the test by far.
    random, level, size, bounds = np.random.default_rng(1), 0.9, 40, 4000
    kept = [
        float((random.exponential(size=50) <= bound(random.exponential(size=size), level)).mean())
        for _ in range(bounds)
    ]
    wanted = 37 / 41
    deviation = float(np.std(kept)) / bounds**0.5
    assert abs(np.mean(kept) - wanted) < 4 * deviation < 1 / 41


def test_margins_are_of_each_value_where_it_is_known() -> None:
    random = np.random.default_rng(2)
    truth = random.normal(size=(2000, 2)) * [1.0, 5.0]
    answers = np.zeros_like(truth)
    known = truth.copy()
    known[::2, 1] = np.nan
    first, second = margins(answers, known, 0.8)
    assert first == bound(np.abs(truth[:, 0]), 0.8)
    assert second == bound(np.abs(truth[1::2, 1]), 0.8)
    fresh = np.abs(random.normal(size=(5000, 2)) * [1.0, 5.0])
    for half, errors in zip((first, second), fresh.T, strict=True):
        inside = int((errors <= half).sum())
        # Of the bound's own chance, and of these cases'.
        low, high = stats.beta.ppf([1e-4, 1 - 1e-4], 801, 200)
        assert stats.binom.ppf(1e-4, 5000, low) <= inside <= stats.binom.ppf(1 - 1e-4, 5000, high)


def test_a_rare_class_is_held_as_often_as_the_others() -> None:
    random, level = np.random.default_rng(3), 0.9

    def drawn(cases: int) -> tuple[np.ndarray, np.ndarray]:
        truth = (random.random(cases) < 0.05).astype(int)
        second = 1 / (1 + np.exp(3 - 2 * truth - random.normal(size=cases)))
        return np.stack([1 - second, second], 1), truth

    limits = least(*drawn(20_000), level)
    probabilities, truth = drawn(20_000)
    held = probabilities[np.arange(len(truth)), truth] >= np.array(limits)[truth]
    for one in (0, 1):
        own = truth == one
        n = int(own.sum())
        assert abs(held[own].mean() - level) < 4 * (2 * level * (1 - level) / n) ** 0.5
    # What calls the likelier class misses most of the rare one.
    assert (probabilities.argmax(1) == truth)[truth == 1].mean() < 0.5


def test_a_class_of_too_few_cases_is_in_every_set() -> None:
    probabilities = np.tile([0.9, 0.1], (100, 1))
    truth = np.zeros(100, int)
    truth[:8] = 1
    assert least(probabilities, truth, 0.9) == [0.9, 0.0]
