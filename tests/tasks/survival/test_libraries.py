"""Estimators, scores and coefficients against values that lifelines 0.30.3 and torchsurv 0.2.0 gave
for the same cohort."""

import numpy as np
import pytest

from medray.baselines.cox import fitted
from medray.tasks.metrics.survival.brier import brier
from medray.tasks.metrics.survival.estimators import aalen_johansen, kaplan_meier
from medray.tasks.metrics.survival.summary import concordance_of

SIZE = 60


class Cohort:
    """Sixty cases; times of `tied` are whole."""

    def __init__(self) -> None:
        random = np.random.default_rng(11)
        self.design = random.normal(size=(SIZE, 3))
        self.tied = np.ceil(random.exponential(np.exp(-self.design[:, 0])) * 6)
        self.event = (random.random(SIZE) < 0.7).astype(np.int64)
        self.risk = np.round(self.design[:, 0] + random.normal(size=SIZE) * 0.5, 1)
        self.untied = random.exponential(5, SIZE)
        self.cause = random.integers(0, 3, SIZE)
        told = np.clip(random.random((SIZE, 4)), 0, 1)
        self.survival = -np.sort(-told, axis=1)
        self.later = random.exponential(5, SIZE)


ONE = np.ones((1, SIZE))


def test_concordance() -> None:
    cohort = Cohort()
    found = concordance_of(cohort.risk, cohort.tied, cohort.event, 1, ONE)
    assert found[0] == pytest.approx(0.7128184059161874, abs=1e-12)


@pytest.mark.parametrize(
    ("moment", "wanted"),
    [
        (1.0, (0.8, 0.6747705121035192, 0.8811066341565887)),
        (3.0, (0.672672672672673, 0.5351418362595595, 0.7776760863594894)),
        (6.0, (0.52658719325386, 0.38422419190426044, 0.6505040729252213)),
    ],
)
def test_kaplan_meier_and_its_interval(moment: float, wanted: tuple[float, ...]) -> None:
    cohort = Cohort()
    found = kaplan_meier(cohort.tied, cohort.event).at(np.array([moment]), 1.0)
    assert [float(one[0]) for one in found] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("moment", "wanted"),
    [
        (2.0, (0.1340579710144928, 0.06264901664331879, 0.2327802284001008)),
        (5.0, (0.23024623496817642, 0.1304147344202494, 0.34687348990409084)),
        (8.0, (0.3267485540865473, 0.20192491549127287, 0.45746260952964785)),
    ],
)
def test_aalen_johansen_and_its_interval(moment: float, wanted: tuple[float, ...]) -> None:
    cohort = Cohort()
    found = aalen_johansen(cohort.untied, cohort.cause, 1).at(np.array([moment]), 0.0)
    assert [float(one[0]) for one in found] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("penalizer", "wanted"),
    [
        (0.0, (0.9807870868565853, -0.34630214564251954, 0.08714537848452801)),
        (0.1, (0.7754870045156711, -0.2962037605209074, 0.04418314654312703)),
    ],
)
def test_coefficients_of_cox(penalizer: float, wanted: tuple[float, ...]) -> None:
    # There the penalty is of a mean and of columns scaled by the sample's deviation.
    cohort = Cohort()
    scale = cohort.design.std(0, ddof=1)
    scaled = (cohort.design - cohort.design.mean(0)) / scale
    found = fitted(scaled, cohort.tied, cohort.event > 0, penalizer * SIZE) / scale
    assert found == pytest.approx(wanted, abs=5e-5)


def test_brier_scores() -> None:
    # Without ties: of a censoring at the time of an event torchsurv has both at risk of being lost.
    cohort = Cohort()
    times = np.array([2.0, 4.0, 6.0, 8.0])
    found = brier(1 - cohort.survival, cohort.later, cohort.event, 1, times, ONE)
    wanted = [0.25714249677302337, 0.31827620996813016, 0.2902977394347189, 0.2883341309429587]
    assert found[0] == pytest.approx(wanted, abs=1e-6)
