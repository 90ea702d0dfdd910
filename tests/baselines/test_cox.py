"""Cox regression against published coefficients, brute force and its own derivatives."""

import numpy as np
import pytest

from medray.baselines.cox import Cox, _RiskSets, fitted
from medray.tasks import build_task
from medray.tasks.base import Task
from tests.tasks.survival.test_estimators import MERCAPTOPURINE, told

# Weeks in remission without treatment (Freireich et al. 1963); all relapsed.
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"


def leukaemia() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Design (42, 1): 1 without treatment; times, and whether a relapse was seen."""
    treated, not_treated = told(MERCAPTOPURINE), told(PLACEBO)
    time = np.concatenate([treated[0], not_treated[0]])
    event = np.concatenate([treated[1], not_treated[1]]) > 0
    return (np.arange(42) >= 21).astype(np.float32)[:, None], time, event


def task_of(**options: object) -> Task:
    return build_task({"name": "survival", "times": [5.0, 10.0, 20.0], **options})


def test_the_coefficient_is_the_published_one() -> None:
    # R's survival (Therneau): coxph(Surv(time, cens) ~ treat), gehan of MASS, ties "efron".
    assert fitted(*leukaemia(), 0.0)[0] == pytest.approx(1.5721, abs=5e-5)


def test_derivatives_are_those_of_the_likelihood() -> None:
    random = np.random.default_rng(0)
    design = random.normal(size=(40, 3))
    time, event = random.integers(1, 9, 40).astype(float), random.random(40) < 0.6
    sets = _RiskSets(design, time, event)
    at, small = random.normal(size=3) / 3, 1e-5
    value, slope, curvature = sets.at(at, 0.7)
    for number in range(3):
        moved = np.zeros(3)
        moved[number] = small
        above, below = sets.at(at + moved, 0.7), sets.at(at - moved, 0.7)
        assert (above[0] - below[0]) / (2 * small) == pytest.approx(slope[number], rel=1e-6)
        assert -(above[1] - below[1]) / (2 * small) == pytest.approx(curvature[number], rel=1e-5)
    # The likelihood itself: Efron's, death by death.
    wanted = -0.7 / 2 * at @ at
    risk = np.exp(design @ at)
    for moment in np.unique(time[event]):
        dying = np.flatnonzero((time == moment) & event)
        among = risk[time >= moment].sum()
        for number in range(len(dying)):
            less = number / len(dying) * risk[dying].sum()
            wanted += np.log(risk[dying[number]]) - np.log(among - less)
    assert value == pytest.approx(wanted)


def test_curves_are_breslows() -> None:
    design, time, event = leukaemia()
    targets = np.stack([time, event], 1).astype(np.float32)
    made = Cox.fit(design, targets, task_of())
    assert made is not None
    # Little is held back of one column that says so much.
    weight = float(made.coefficients[0, 0])
    assert 1.2 < weight < 1.6
    risk = np.exp(design[:, 0] * weight)
    for row, column in zip(made.answers(design[[0, 41]]), (0, 41), strict=True):
        for value, moment in zip(row, (5.0, 10.0, 20.0), strict=True):
            hazard = sum(
                ((time == one) & event).sum() / risk[time >= one].sum()
                for one in np.unique(time[event])
                if one <= moment
            )
            assert value == pytest.approx(1 - np.exp(-hazard * risk[column]), abs=1e-5)
    again = Cox.of(made.tensors())
    assert np.array_equal(again.answers(design), made.answers(design))


def test_causes_have_a_hazard_each_and_share_what_is_left() -> None:
    random = np.random.default_rng(1)
    design = random.normal(size=(300, 2)).astype(np.float32)
    first = random.exponential(np.exp(-design[:, 0]), 300)
    second = random.exponential(np.exp(-design[:, 1]), 300)
    lost = random.exponential(2, 300)
    time = np.minimum(np.minimum(first, second), lost)
    cause = np.where(lost == time, 0, np.where(first == time, 1, 2))
    task = task_of(events=["a", "b"], times=[0.2, 0.5, 1.0])
    made = Cox.fit(design, np.stack([time, cause], 1).astype(np.float32), task)
    assert made is not None
    assert made.coefficients.shape == (2, 2)
    assert np.allclose(made.coefficients, np.eye(2), atol=0.25)
    told_ = made.answers(design).reshape(300, 2, 3)
    assert (np.diff(told_, axis=2) >= 0).all()
    assert (told_.sum(1) <= 1 + 1e-6).all()


def test_it_learns_nothing_without_events_and_less_of_noise() -> None:
    random = np.random.default_rng(2)
    design = random.normal(size=(60, 30)).astype(np.float32)
    targets = np.stack([random.exponential(1, 60), np.ones(60)], 1).astype(np.float32)
    noise = Cox.fit(design, targets, task_of(times=[1.0]))
    assert noise is not None
    free = fitted(design, targets[:, 0], targets[:, 1] > 0, 0.0)
    assert np.abs(noise.coefficients).sum() < np.abs(free).sum() / 4
    assert Cox.fit(design, targets * [1, 0], task_of(times=[1.0])) is None
    assert Cox.fit(design[:, :1] * 0, targets, task_of(times=[1.0])) is not None
