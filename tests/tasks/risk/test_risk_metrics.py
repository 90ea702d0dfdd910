"""Risks: net benefit and operating points by hand, the rest as scikit-learn has it."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.risk.metrics import RISKS, at_point, net_benefit, statistics, summarise
from medray.tasks.risk.points import Points

ONE = np.ones((1, 10))
RISK = np.array([0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
EVENT = np.array([0, 0, 1, 0, 0, 1, 0, 1, 1, 1], bool)
STATED = Points((0.25, 0.5), (), (), ())


def table(risks: np.ndarray, events: np.ndarray, points: Points, **more: list) -> pa.Table:
    return pa.table(
        {
            "case": [f"c{at}" for at in range(len(risks))],
            "status": ["scored"] * len(risks),
            "risk": risks,
            "event": events.astype(int),
            "alerts": [points.alerts(one) for one in risks.tolist()],
            **more,
        }
    )


def test_metrics_are_those_of_scikit_learn() -> None:
    found = {name: float(one[0]) for name, one in statistics(RISK, EVENT)(ONE).items()}
    assert found["auroc"] == pytest.approx(roc_auc_score(EVENT, RISK))
    assert found["average_precision"] == pytest.approx(average_precision_score(EVENT, RISK))
    assert found["brier"] == pytest.approx(brier_score_loss(EVENT, RISK))
    assert found["log_loss"] == pytest.approx(log_loss(EVENT, RISK))


def test_an_impossible_event_costs_no_more_than_is_said() -> None:
    found = statistics(np.array([0.0, 1.0]), np.array([True, True]))(np.ones((1, 2)))
    assert found["log_loss"][0] == pytest.approx(-np.log(1e-7) / 2)
    assert np.isnan(found["calibration_intercept"][0])


def test_calibration_of_one_class_is_undefined() -> None:
    risks = np.array([0.4, 0.5, 0.6])
    for events in (np.ones(3, bool), np.zeros(3, bool)):
        found = statistics(risks, events)(np.ones((1, 3)))
        assert np.isnan(found["calibration_slope"]).all()
        assert np.isnan(found["calibration_intercept"]).all()
    # Nor is it of a resample that has drawn one class alone.
    two = statistics(RISK, EVENT)(np.stack([np.ones(len(EVENT)), EVENT.astype(np.float64)]))
    assert np.isnan(two["calibration_slope"]).tolist() == [False, True]


def test_net_benefit_by_hand() -> None:
    # From 0.25 on: 6 alerts, 4 of them true; (4 - 2 / 3) / 10. For all: (5 - 5 / 3) / 10.
    called = RISK >= 0.25
    assert net_benefit(called, EVENT, 0.25, ONE)[0] == pytest.approx((4 - 2 / 3) / 10)
    assert net_benefit(~(RISK < 0), EVENT, 0.25, ONE)[0] == pytest.approx((5 - 5 / 3) / 10)
    assert net_benefit(RISK > 1, EVENT, 0.25, ONE)[0] == 0


def test_an_operating_point_by_hand() -> None:
    found = {name: float(one[0]) for name, one in at_point(RISK >= 0.5, EVENT, 0.5, ONE).items()}
    assert found == pytest.approx(
        {
            "sensitivity": 3 / 5, "specificity": 4 / 5, "ppv": 3 / 4, "npv": 4 / 6,
            "alert_rate": 0.4, "net_benefit": (3 - 1) / 10, "treat_all": 0.0,
        }
    )  # fmt: skip


def test_cutoffs_find_at_least_the_share_that_is_asked_for() -> None:
    points = Points((), (0.6, 0.8), (0.3, 0.35), ())
    assert points.open
    found = points.chosen(RISK, EVENT.astype(np.float64))
    assert found == pytest.approx((0.7, 0.4, 0.7, 0.6), rel=2e-6)
    assert found[0] < 0.7  # a case at the cutoff has an alert
    assert Points((), (0.6, 0.8), (0.3, 0.35), found).alerts(0.65) == [0, 1, 0, 1]
    assert points.alerts(0.65) == [None] * 4
    assert points.chosen(RISK, np.zeros(10)) == ()


def test_a_summary_has_points_curves_and_counts() -> None:
    found = summarise(table(RISK, EVENT, STATED), STATED, Bootstrap(repeats=200))
    assert (found["cases"], found["events"], found["counts"]) == (10, 5, {"scored": 10})
    first, second = found["points"]
    assert first["point"] == "risk ≥ 0.25"
    assert (first["found"], first["alerts"]) == (4, 6)
    assert second["sensitivity"]["value"] == 3 / 5
    assert second["sensitivity"]["low"] < 3 / 5 < second["sensitivity"]["high"]
    assert found["metrics"]["sensitivity"] == first["sensitivity"]  # of the first point
    decision = found["curves"]["decision"]
    at = RISKS.index(0.25)
    assert decision["value"][at] == pytest.approx(first["net_benefit"]["value"])
    assert decision["all"][at] == pytest.approx(first["treat_all"]["value"])
    assert sum(found["curves"]["histogram"]) == 10
    tenths = found["curves"]["calibration"]
    assert tenths["cases"] == [1] * 10
    assert tenths["low"] == [None] * 10  # one subject says nothing of how sure it is


def test_equal_risks_are_in_one_tenth() -> None:
    risks = np.repeat([0.1, 0.7], [30, 10])
    events = np.arange(40) % 3 == 0
    found = summarise(table(risks, events, STATED), STATED, Bootstrap(repeats=50))
    tenths = found["curves"]["calibration"]
    assert tenths["cases"] == [30, 10]
    assert tenths["confidence"] == pytest.approx([0.1, 0.7])
    assert tenths["frequency"] == pytest.approx([10 / 30, 4 / 10])
    assert None not in tenths["low"]


def test_subjects_are_drawn_whole_and_few_have_no_interval() -> None:
    risks, events = np.tile(RISK, 2), np.tile(EVENT, 2)
    four = table(risks, events, STATED, subject=[f"s{at % 4}" for at in range(20)])
    found = summarise(four, STATED, Bootstrap(repeats=50))
    assert all(one["low"] is None for one in found["metrics"].values())
    assert found["metrics"]["auroc"]["subjects"] == 4
