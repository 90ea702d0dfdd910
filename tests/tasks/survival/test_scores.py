"""Concordance and Brier scores against brute force, and what a summary makes of cases."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.concordance import concordance
from medray.tasks.metrics.survival.brier import brier, integrated
from medray.tasks.metrics.survival.curves import at_times, median
from medray.tasks.metrics.survival.summary import concordance_of, judged_times, summarise_survival


def drawn(seed: int, cases: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Risks, times and events, all with ties."""
    random = np.random.default_rng(seed)
    time = random.integers(1, 15, cases).astype(float)
    return random.integers(0, 8, cases) / 8.0, time, random.integers(0, 3, cases)


def pairs(risk: np.ndarray, time: np.ndarray, event: np.ndarray, cause: int) -> float:
    """C by looking at every pair."""
    agree, count = 0.0, 0
    for i, j in itertools.permutations(range(len(time)), 2):
        never = event[j] not in (0, cause)
        later = time[i] < time[j] or (time[i] == time[j] and event[j] == 0) or never
        if event[i] == cause and later:
            count += 1
            agree += (risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j])
    return agree / count


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cause", [1, 2])
def test_c_is_that_of_all_pairs(seed: int, cause: int) -> None:
    risk, time, event = drawn(seed)
    found = concordance_of(risk, time, event, cause, np.ones((1, len(time))))
    assert found[0] == pytest.approx(pairs(risk, time, event, cause), abs=1e-12)


def test_c_weighs_a_case_as_often_as_it_is_drawn() -> None:
    risk, time, event = drawn(7)
    event = (event > 0).astype(int)
    weights = np.random.default_rng(1).integers(0, 3, (6, len(time))).astype(float)
    found = concordance_of(risk, time, event, 1, weights)
    for value, weight in zip(found, weights.astype(int), strict=True):
        twice = [np.repeat(one, weight) for one in (risk, time, event)]
        assert value == pytest.approx(pairs(*twice, 1), abs=1e-12)


def test_c_has_a_direction_and_is_not_defined_without_events() -> None:
    time, event, one = np.array([1.0, 2, 3]), np.array([1, 1, 0]), np.ones((1, 3))
    assert concordance_of(np.array([3.0, 2, 1]), time, event, 1, one)[0] == 1
    assert concordance_of(np.array([1.0, 2, 3]), time, event, 1, one)[0] == 0
    assert np.isnan(concordance_of(np.arange(3.0), time, np.zeros(3, int), 1, one)[0])
    # Without censoring it is the concordance of values, turned round.
    plain = concordance(np.array([1.0, 3, 2]), time, one)
    assert concordance_of(-np.array([1.0, 3, 2]), time, np.ones(3, int), 1, one) == plain


def test_brier_without_censoring_is_a_mean_square() -> None:
    time, event = np.array([1.0, 2, 3, 4]), np.ones(4, int)
    told = np.array([[0.9, 1.0], [0.5, 0.8], [0.2, 0.4], [0.1, 0.3]])
    times = np.array([1.5, 3.0])
    found = brier(told, time, event, 1, times, np.ones((1, 4)))
    happened = time[:, None] <= times
    assert found[0] == pytest.approx(((happened - told) ** 2).mean(0))
    assert integrated(found, times)[0] == pytest.approx(
        (found[0, 0] / 2 * 1.5 + found[0].mean() * 1.5) / 3
    )


def test_brier_weighs_by_who_is_still_watched() -> None:
    # Of four, one is lost at 2 (so 2 of 3 are watched after it), and one has another event at 3.
    time, event = np.array([1.0, 2, 3, 4]), np.array([1, 0, 2, 1])
    told = np.array([[0.7], [0.6], [0.2], [0.4]])
    found = brier(told, time, event, 1, np.array([3.5]), np.ones((1, 4)))
    wanted = (0.3**2 / 1 + 0.2**2 / (2 / 3) + 0.4**2 / (2 / 3)) / 4
    assert found[0, 0] == pytest.approx(wanted)


def test_curves_are_straight_between_the_times_told() -> None:
    times = np.array([2.0, 4.0])
    curve = np.array([0.2, 0.8])
    assert at_times(curve, times, np.array([0.0, 1, 2, 3, 4, 9])).tolist() == pytest.approx(
        [0, 0.1, 0.2, 0.5, 0.8, 0.8]
    )
    assert median(curve, times) == pytest.approx(3.0)
    assert median(np.array([0.1, 0.4]), times) is None


def table(risk: np.ndarray, time: np.ndarray, event: np.ndarray, **more: list) -> pa.Table:
    """Rows whose curves rise evenly to the risk at 10."""
    rows = [
        {
            "case": f"c{at}",
            "status": "scored",
            "time": float(time[at]),
            "event": int(event[at] > 0),
            "risks": [float(risk[at])],
            "times": [5.0, 10.0],
            "incidence": [float(risk[at]) / 2, float(risk[at])],
            **{name: values[at] for name, values in more.items()},
        }
        for at in range(len(time))
    ]
    return pa.Table.from_pylist(rows)


def test_a_summary_has_intervals_curves_and_counts() -> None:
    risk, time, event = drawn(3, 200)
    summary = summarise_survival(table(risk, time, event), ["death"], Bootstrap(200))
    one = np.ones((1, len(time)))
    found = summary["metrics"]["c_index"]
    assert found["value"] == concordance_of(risk, time, (event > 0).astype(int), 1, one)[0]
    assert found["low"] < found["value"] < found["high"]
    assert summary["events"] == {"death": int((event > 0).sum())}
    assert summary["metrics"]["brier"]["value"] > 0
    groups = summary["curves"]["groups"]
    assert list(groups) == ["low", "middle", "high"]
    assert sum(one["at_risk"][1][0] for one in groups.values()) == 200
    calibration = next(iter(summary["curves"]["calibration"].values()))
    assert calibration["predicted"] == sorted(calibration["predicted"])
    assert calibration["cases"] == [40] * 5
    assert all(a <= b <= c for a, b, c in zip(
        calibration["low"], calibration["actual"], calibration["high"], strict=True))  # fmt: skip


def test_who_was_not_answered_counts_as_told_the_opposite() -> None:
    time, event = np.array([1.0, 2, 3, 4, 5, 6]), np.array([1, 1, 0, 1, 0, 1])
    risk = np.array([0.9, 0.8, 0.3, 0.5, 0.2, 0.1])
    whole = summarise_survival(table(risk, time, event), ["e"], Bootstrap(0))["metrics"]
    assert whole["c_index"]["value"] == 1.0
    rows = table(risk, time, event).to_pylist()
    rows[0] |= {"status": "no-prediction", "risks": None, "times": None, "incidence": None}
    less = summarise_survival(pa.Table.from_pylist(rows), ["e"], Bootstrap(0))
    # The first has the earliest event, so the lowest risk: its five pairs go wrong, of 11.
    assert less["metrics"]["c_index"]["value"] == pytest.approx(6 / 11)
    assert less["metrics"]["brier"]["value"] > whole["brier"]["value"]
    assert less["counts"] == {"no-prediction": 1, "scored": 5}


def test_intervals_are_of_subjects_and_of_five_at_least() -> None:
    risk, time, event = drawn(5, 12)
    shared = table(risk, time, event, subject=[f"s{at % 4}" for at in range(12)])
    summary = summarise_survival(shared, ["e"], Bootstrap(50))
    assert summary["metrics"]["c_index"]["low"] is None
    assert summary["metrics"]["c_index"]["subjects"] == 4
    # Cases that share subjects are not independent: no band of theirs would hold.
    assert all(one["low"] is None for one in summary["curves"]["groups"].values())
    for one in summary["curves"]["calibration"].values():
        assert set(one["low"]) == {None}


@pytest.mark.parametrize("seen", [0, 1])
def test_hardly_any_event_is_no_error(seen: int) -> None:
    event = np.zeros(10, int)
    event[:seen] = 1
    cases = table(np.linspace(1, 0, 10), np.arange(1.0, 11), event)
    summary = summarise_survival(cases, ["e"], Bootstrap(20))
    assert (summary["metrics"]["c_index"]["value"] is None) == (not seen)
    assert summary["metrics"]["brier"]["value"] is not None


def test_times_are_judged_while_cases_are_watched() -> None:
    time = np.arange(1.0, 101)
    assert judged_times(time, 1e9)[-1] == 91  # ten are watched up to there
    assert judged_times(time, 50.0)[-1] == 50
    assert judged_times(np.zeros(3), 5.0).size == 0
