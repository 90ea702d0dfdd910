import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from torch.nn import functional

from medray.errors import DataError
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.base import Task
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.regression import (
    CASE_SCHEMA,
    METRICS,
    pearson,
    r2,
    spearman,
    summarise_regression,
)


def task_of(frequencies: list[float] | None = None, **options: object) -> Task:
    return build_task({"name": "regression", **options}, frequencies)


def values(seed: int = 0, cases: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and truth; with ties, and far from zero."""
    random = np.random.default_rng(seed)
    actual = random.normal(100, 3, cases).round()
    return actual + random.normal(0, 2, cases), actual


def test_metrics_are_those_of_the_libraries() -> None:
    given, actual = values()
    one = np.ones((1, len(actual)))
    wanted = {
        "r2": r2_score(actual, given),
        "pearson": stats.pearsonr(actual, given).statistic,
        "spearman": stats.spearmanr(actual, given).statistic,
        "rmse": mean_squared_error(actual, given) ** 0.5,
        "mae": mean_absolute_error(actual, given),
    }
    for name, value in wanted.items():
        assert METRICS[name](given, actual, one)[0] == pytest.approx(value, abs=1e-12)


def test_a_weight_of_two_is_the_case_twice() -> None:
    given, actual = values()
    weights = np.random.default_rng(1).integers(0, 4, (5, len(actual))).astype(np.float64)
    for metric in METRICS.values():
        got = metric(given, actual, weights)
        for row, weight in zip(got, weights.astype(int), strict=True):
            twice = [np.repeat(one, weight) for one in (given, actual)]
            plain = metric(twice[0], twice[1], np.ones((1, weight.sum())))[0]
            assert row == pytest.approx(plain, abs=1e-12)


def test_metrics_are_undefined_where_nothing_varies() -> None:
    flat, one = np.full(4, 2.0), np.ones((1, 4))
    for metric in (r2, pearson, spearman):
        assert np.isnan(metric(flat, flat, one)[0])


def test_loss_is_of_standardised_values() -> None:
    task = task_of([10.0, 4.0], target="value")
    target = task.targets([{"value": 14}, {"value": 2.0}])
    assert target is not None
    answers = torch.tensor([[0.5], [0.0]])
    assert task.loss(answers, target).tolist() == [0.25, 4.0]
    huber = task_of([10.0, 4.0], loss="huber", huber_delta=0.5)
    wanted = functional.huber_loss(
        answers, torch.tensor([[1.0], [-2.0]]), reduction="none", delta=0.5
    )
    assert torch.equal(huber.loss(answers, target), wanted[:, 0])
    assert task.probabilities(answers).tolist() == [[12.0], [10.0]]


def test_missing_values_are_not_learnt() -> None:
    task = task_of([0.0, 5.0, 1.0, 2.0], target=("a", "b"))
    target = task.targets([{"a": 1.0, "b": 9}, {"a": None, "b": 7.0}])
    assert target is not None
    answers = torch.zeros(2, 2, requires_grad=True)
    loss = task.loss(answers, target)
    assert loss.tolist() == [(1 + 4) / 2, 1.0]
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert answers.grad is not None
    assert answers.grad.tolist() == [[-1.0, -2.0], [0.0, -2.0]]


def test_statistics_are_of_what_is_known() -> None:
    found = task_of(target=("a", "b")).statistics(
        np.array([[1.0, 5.0], [3.0, np.nan], [5.0, 5.0]], np.float32)
    )
    assert found == pytest.approx((3.0, 5.0, np.std([1, 3, 5]), 1.0))
    with pytest.raises(DataError) as caught:
        task_of(target=("a", "b")).statistics(np.array([[1.0, np.nan]]))
    assert caught.value.code == "bad-target"


@pytest.mark.parametrize(
    "row", [{}, {"value": None}, {"value": "3"}, {"value": float("inf")}, {"value": True}]
)
def test_unusable_targets_are_named(row: dict[str, object]) -> None:
    with pytest.raises(DataError, match="bad-target") as caught:
        task_of().targets([{"sample_id": "s1", **row}])
    assert caught.value.about == "s1"


def test_validation_knows_r2_correlations_and_error() -> None:
    given, actual = values()
    table = np.stack([given, given[::-1]], 1)
    targets = np.stack([actual, np.where(np.arange(50) < 10, np.nan, actual)], 1)
    task = task_of(target=("a", "b"))
    rows = [task.judge(row, None) for row in table]
    metrics = task.summarise(np.asarray(rows), targets)
    first, second = r2_score(actual, given), r2_score(actual[10:], given[::-1][10:])
    assert metrics["val_r2_a"] == pytest.approx(first)
    assert metrics["val_r2_b"] == pytest.approx(second)
    assert metrics["val_r2"] == pytest.approx((first + second) / 2)
    single = task_of().summarise(table[:, :1], targets[:, :1])
    assert set(single) == {"val_r2", "val_pearson", "val_spearman", "val_rmse", "val_ci"}
    assert single["val_rmse"] == pytest.approx(mean_squared_error(actual, given) ** 0.5)


def scored(task: Task, given: np.ndarray, actual: np.ndarray, lost: int) -> pa.Table:
    rows = []
    for index, (one, truth) in enumerate(zip(given, actual, strict=True)):
        predicted = Sample(f"s{index}", task.decide(np.array([one])))
        prediction = predicted if index >= lost else None
        (row,) = task.score(Sample(f"s{index}", {"value": float(truth)}), prediction)
        rows.append({"case": f"s{index}", **row})
    return pa.Table.from_pylist(rows, pa.schema([("case", pa.string()), *CASE_SCHEMA]))


def test_the_summary_has_every_metric_with_an_interval() -> None:
    given, actual = values(cases=200)
    summary = task_of().conclude(scored(task_of(), given, actual, lost=0), Bootstrap(repeats=200))
    found = summary["metrics"]["r2"]
    assert found["value"] == pytest.approx(r2_score(actual, given))
    assert found["low"] < found["value"] < found["high"]
    assert summary["metrics"]["spearman"]["value"] == pytest.approx(
        stats.spearmanr(actual, given).statistic
    )
    assert summary["counts"] == {"scored": 200}
    curve = summary["curves"]["calibration"]["value"]
    assert curve["cases"] == [20] * 10
    assert np.mean(curve["actual"]) == pytest.approx(actual.mean())
    assert curve["predicted"] == sorted(curve["predicted"])
    assert summary["worst"][0]["error"] == pytest.approx(np.abs(given - actual).max())


def test_a_case_without_prediction_counts_as_the_worst() -> None:
    given, actual = values(cases=60)
    table = scored(task_of(), given, actual, lost=3)
    summary = summarise_regression(table, ["value"], Bootstrap(repeats=0))
    low, high = actual.min(), actual.max()
    worst = given.copy()
    worst[:3] = [low if truth - low > high - truth else high for truth in actual[:3]]
    assert summary["metrics"]["r2"]["value"] == pytest.approx(r2_score(actual, worst))
    assert summary["metrics"]["r2"]["value"] < r2_score(actual, given)
    assert summary["counts"] == {"no-prediction": 3, "scored": 57}
    assert [row["case"] for row in summary["worst"][:3]] == ["s0", "s1", "s2"]


def test_predictions_that_do_not_fit_are_refused() -> None:
    truth = Sample("s", {"value": 1.0})
    for row, code in (({"predicted": [1.0, 2.0]}, "grid-mismatch"),
                      ({"predicted": float("nan")}, "nonfinite-output")):  # fmt: skip
        with pytest.raises(DataError) as caught:
            task_of().score(truth, Sample("s", row))
        assert caught.value.code == code
