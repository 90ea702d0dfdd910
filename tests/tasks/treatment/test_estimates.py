"""Effects: by hand, by what is known of a simulation, and as Hernán and Robins have them."""

from pathlib import Path

import numpy as np
import pytest
from pyarrow import csv
from sklearn.linear_model import LogisticRegression

from medray.tasks.treatment import estimates as by
from medray.tasks.treatment.estimates import Nuisance, value_of, with_interval

NAN = float("nan")


def nuisance(**columns: list[float]) -> Nuisance:
    count = len(columns["treated"])
    filled = {"observed": [1.0] * count, "y0": [0.0] * count, "y1": [0.0] * count, **columns}
    return Nuisance(**{name: np.asarray(values, np.float64) for name, values in filled.items()})


FOUR = nuisance(
    treated=[1, 1, 0, 0],
    outcome=[5, 3, 2, 1],
    y0=[1, 2, 1, 1],
    y1=[4, 4, 2, 3],
    propensity=[0.5, 0.8, 0.5, 0.2],
)


def value(terms: by.Terms) -> float:
    return float(value_of(terms, np.ones((1, len(terms[0][1].above))))[0])


def test_by_hand() -> None:
    assert value(by.naive(FOUR)) == 4 - 1.5
    # Weights 2 and 1.25 of the treated, 2 and 1.25 of the others.
    treated, others = (2 * 5 + 1.25 * 3) / 3.25, (2 * 2 + 1.25 * 1) / 3.25
    assert value(by.weighted(FOUR)) == pytest.approx(treated - others)
    assert value(by.regressed(FOUR)) == (3 + 2 + 1 + 2) / 4
    robust = [3 + 2 * (5 - 4), 2 + 1.25 * (3 - 4), 1 - 2 * (2 - 1), 2 - 1.25 * (1 - 1)]
    assert FOUR.doubly_robust == pytest.approx(robust)
    assert value(by.doubly_robust(FOUR)) == pytest.approx(np.mean(robust))
    # Odds 1 and 1/4 of the others; what is left of theirs is 1 and 0.
    assert value(by.doubly_robust_of_treated(FOUR)) == pytest.approx(((5 - 1) + (3 - 2) - 1) / 2)
    wanted = 4 - (1 * 2 + 0.25 * 1) / 1.25
    assert value(by.weighted_of_treated(FOUR)) == pytest.approx(wanted)
    assert value(by.regressed_of_treated(FOUR)) == (3 + 2) / 2


def test_who_has_no_outcome_weighs_nothing_and_others_for_them() -> None:
    lost = nuisance(
        treated=[1, 1, 0], outcome=[5, NAN, 2], y0=[1, 1, 1], y1=[4, 6, 2],
        propensity=[0.5] * 3, observed=[0.5, 0.5, 1],
    )  # fmt: skip
    assert lost.weight.tolist() == [4, 0, 2]
    assert lost.doubly_robust.tolist() == [3 + 4 * 1, 5, 1 - 2 * 1]
    assert value(by.weighted(lost)) == 5 - 2
    # Of the treated: 4 - 1 + (5 - 4) / .5 of one, 5 of the other; the third is off by 1.
    assert value(by.doubly_robust_of_treated(lost)) == pytest.approx((3 + 2 + 5 - 1) / 2)


def test_an_interval_is_that_of_a_mean_and_of_subjects() -> None:
    effects = np.array([1.0, 3.0, 2.0, 6.0, 3.0, 1.0])
    terms = [(1.0, by.Ratio(effects, np.ones(6)))]
    found = with_interval(terms, None)
    wide = 1.959964 * effects.std(ddof=1) / np.sqrt(6)
    mean = effects.mean()
    assert (found.low, found.high) == pytest.approx((mean - wide, mean + wide), abs=1e-5)
    # Each case twice, as cases of one subject: nothing more is known.
    twice = [(1.0, by.Ratio(np.repeat(effects, 2), np.ones(12)))]
    again = with_interval(twice, np.repeat(list("abcdef"), 2).tolist())
    assert (again.low, again.high) == pytest.approx((found.low, found.high))
    assert with_interval(terms, list("aabbcd")).low is None


def simulated(count: int, seed: int) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    x = random.normal(size=count)
    propensity = 1 / (1 + np.exp(-x))
    treated = (random.random(count) < propensity).astype(np.float64)
    outcome = 2 * x + treated * (1 + x) + random.normal(size=count)
    return x, propensity, treated, outcome


@pytest.mark.parametrize("right", ["outcomes", "propensities"])
def test_one_of_two_models_has_to_be_right(right: str) -> None:
    x, propensity, treated, outcome = simulated(40_000, 0)
    models = right == "outcomes"
    cases = Nuisance(
        treated,
        outcome,
        2 * x if models else 0 * x,
        2 * x + 1 + x if models else 0 * x,
        np.full(len(x), 0.4) if models else propensity,
        np.ones(len(x)),
    )
    assert value(by.naive(cases)) > 2  # confounded: the effect is 1
    found = with_interval(by.doubly_robust(cases), None)
    assert found.value == pytest.approx(1, abs=0.06)
    on_treated = (treated * (1 + x)).sum() / treated.sum()
    assert value(by.doubly_robust_of_treated(cases)) == pytest.approx(on_treated, abs=0.1)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for seed in range(200):
        x, propensity, treated, outcome = simulated(300, seed)
        cases = Nuisance(treated, outcome, 2 * x, 2 * x + 1 + x, propensity, np.ones(300))
        found = with_interval(by.doubly_robust(cases), None)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 1 <= found.high
    assert 180 <= held <= 198  # of 200 at 95 %


@pytest.mark.real_data
def test_smoking_as_hernan_and_robins_have_it(data_dir: Path) -> None:
    """Chapter 12: 3.4 kg (2.4 to 4.5) by weights, 2.5 unadjusted."""
    table = csv.read_csv(data_dir / "treatment/nhefs/NHEFS.csv")
    known = [one is not None for one in table["wt82_71"].to_pylist()]
    column = {
        name: np.asarray(table[name].to_pylist(), np.float64)[known]
        for name in ("qsmk", "sex", "race", "age", "education", "smokeintensity", "smokeyrs",
                     "exercise", "active", "wt71", "wt82_71")
    }  # fmt: skip
    parts = [column["sex"], column["race"]]
    for name in ("age", "smokeintensity", "smokeyrs", "wt71"):
        parts += [column[name], column[name] ** 2]
    for name in ("education", "exercise", "active"):
        parts += [column[name] == level for level in np.unique(column[name])[1:]]
    design = np.stack(parts, 1).astype(np.float64)
    design = (design - design.mean(0)) / design.std(0)
    chance = LogisticRegression(C=np.inf, max_iter=1000).fit(design, column["qsmk"])
    propensity = chance.predict_proba(design)[:, 1]
    nothing = np.zeros(len(propensity))
    cases = Nuisance(column["qsmk"], column["wt82_71"], nothing, nothing, propensity, nothing + 1)
    assert len(nothing) == 1566
    assert value(by.naive(cases)) == pytest.approx(2.54, abs=0.005)
    found = with_interval(by.weighted(cases), None)
    assert found.value == pytest.approx(3.44, abs=0.005)
    assert (found.low, found.high) == pytest.approx((2.4, 4.5), abs=0.1)
